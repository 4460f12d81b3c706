//! `qsse check-config`: what is in effect, and why.

use anyhow::Result;
use clap::Args;

use crate::console::print_blocking;
use crate::exit::Status;
use crate::settings::{Settings, Shape, TABLE, document};
use crate::text;

/// Show the effective settings and where each came from
#[derive(Args)]
#[command(after_help = "\
Takes the flags of serve, sub and pub, so that a command line can be checked before it is used.

Examples:
  qsse check-config
  qsse check-config --config qsse.toml --listen 0.0.0.0:4242")]
pub(crate) struct Options {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Print docs/configuration.md
    #[arg(long, hide = true)]
    document: bool,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> Result<Status> {
    let out = if options.document {
        document::document()
    } else {
        lines(options.json, settings)
    };
    print_blocking(&out)?;
    Ok(Status::Done)
}

fn lines(json: bool, settings: &Settings) -> String {
    let width = TABLE
        .iter()
        .map(|setting| setting.key.len())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for setting in TABLE {
        let value = settings.value(setting.key);
        let shown = match setting.shape {
            _ if value.texts.is_empty() => "-".into(),
            Shape::Secret(_) => "(hidden)".into(),
            _ => text::one_line(&value.texts.join(",")),
        };
        let source = value.source.to_string();
        if json {
            let line = serde_json::json!({"key": setting.key, "value": shown, "source": source});
            out.push_str(&format!("{line}\n"));
        } else {
            out.push_str(&format!(
                "{:width$}  {shown:<24}  {}\n",
                setting.key,
                text::one_line(&source)
            ));
        }
    }
    out
}
