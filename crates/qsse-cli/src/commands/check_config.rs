//! `qsse check-config`: the effective settings and their sources.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use tracing::Level;

use crate::connect;
use crate::console::{OutputError, message, print_blocking};
use crate::exit::{Status, usage, usage_because};
use crate::serve::access::Access;
use crate::serve::admin::{admin_address, admin_token};
use crate::serve::certificate::certificate;
use crate::settings::{Settings, Shape, TABLE, document};
use crate::text;

/// Show the effective settings and where each came from
#[derive(Args)]
#[command(after_help = "\
Takes the flags of serve, sub and pub, so you can check a command line before you use it. Also checks the files that the
settings name: certificate, key, tokens, store, authorities. Reports problems on standard error, with status 2.

Examples:
  qsse check-config
  qsse check-config --config qsse.toml --listen 0.0.0.0:4242 --tokens tokens.toml")]
pub(crate) struct Options {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// Print docs/configuration.md
    #[arg(long, hide = true)]
    document: bool,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> Result<Status> {
    if options.document {
        print_blocking(&document::document())?;
        return Ok(Status::Done);
    }
    print_blocking(&lines(options.json, settings)).or_else(OutputError::unless_closed)?;
    let problems = problems(settings);
    for problem in &problems {
        message(Level::ERROR, format_args!("{problem:#}"));
    }
    Ok(match problems.is_empty() {
        true => Status::Done,
        false => Status::Usage,
    })
}

/// Returns the problems with the files that the settings name, and with settings that contradict
/// each other.
fn problems(settings: &Settings) -> Vec<anyhow::Error> {
    let checks = [
        Access::from_settings(settings).err(),
        certificate(settings).err(),
        admin_address(settings).err(),
        admin_token(settings).err(),
        store(settings.text("store")).err(),
        connect::check_files(settings).err(),
    ];
    checks.into_iter().flatten().collect()
}

/// Checks that a store is there or can be made.
fn store(path: &str) -> Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    match std::fs::read_dir(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            let what = format_args!("cannot use {path} as a store");
            return Err(usage_because(what, error));
        }
    }
    let above = Path::new(path).ancestors().skip(1);
    let mut above = above.filter(|folder| !folder.as_os_str().is_empty());
    match above.find(|folder| folder.exists()) {
        Some(folder) if !folder.is_dir() => Err(usage(format!(
            "cannot make the store {path}: {} is not a folder",
            folder.display()
        ))),
        _ => Ok(()),
    }
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
