//! [`Options`]: the command line of `qsse pub`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use qsse_client::{EventId, Key, Kind};

use super::outcome::Outcome;
use crate::exit::{Status, fail, usage, usage_because};
use crate::text;

/// The most that is read for one event. Servers accept far less, and report it.
pub(super) const READ_BYTES: usize = 64 * 1024 * 1024;

/// Publish an event, or each line of standard input as one
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse pub ride.7.start '{\"driver\":\"Ada\"}'
  tail -f app.log | qsse pub logs.app             each line is an event
  qsse pub --file photo.jpg camera.1              the whole file is one event
  qsse pub --key order-4711 orders '{\"n\":4711}'   one event, even if it is run again
  qsse pub --matching 'ride.*' 'storm ahead'      to every topic that the server knows
  qsse sub --json '*' -s here | qsse pub --from-json -s there")]
pub(crate) struct Options {
    /// The topic; a pattern with --matching
    #[arg(value_name = "TOPIC", required_unless_present = "from_json")]
    pub(super) topic: Option<String>,
    /// The event's data; without it, each line of standard input is an event
    #[arg(value_name = "BODY", conflicts_with_all = ["from_json", "file"], allow_hyphen_values = true)]
    pub(super) body: Option<String>,
    /// The kind of event [default: message]
    #[arg(long, value_name = "KIND")]
    pub(super) kind: Option<Kind>,
    /// Publish to every topic that the pattern matches and the server has declared or has an event
    /// of
    #[arg(long, conflicts_with = "from_json")]
    pub(super) matching: bool,
    /// Read what `qsse sub --json` prints; topic and kind come from there
    #[arg(long, conflicts_with = "file")]
    pub(super) from_json: bool,
    /// Publish the whole file as one event; - is standard input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(super) file: Option<PathBuf>,
    /// Print the result as a JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// Publish only once, even if this is run again with the same KEY; needs one event, by BODY or
    /// --file
    // It is not named `key`, because a server setting is.
    #[arg(long = "key", value_name = "KEY")]
    pub(super) event_key: Option<String>,
}

impl Options {
    pub(super) fn check_key(&self) -> Result<()> {
        let Some(key) = &self.event_key else {
            return Ok(());
        };
        if self.body.is_none() && self.file.is_none() {
            let message = "--key: a key is for one event, so give it as BODY or --file; lines of standard input would all be the same";
            return Err(usage(message));
        }
        Key::new(key.clone()).map_err(|error| usage_because("--key", error))?;
        Ok(())
    }

    pub(super) fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or_default()
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind.clone().unwrap_or_default()
    }

    /// Returns the data, if the input is a single event.
    ///
    /// The file may be a pipe whose writer is slow. So a thread reads it, and is abandoned if this
    /// is cancelled.
    pub(super) async fn one_event(&self) -> Result<Option<Vec<u8>>> {
        if let Some(body) = &self.body {
            return Ok(Some(body.clone().into_bytes()));
        }
        let Some(path) = self.file.clone() else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || read(&path));
        read.await.context("cannot read the event")?.map(Some)
    }

    /// Returns the line that reports the result.
    pub(super) fn shown(&self, outcome: &Outcome) -> Option<String> {
        let Outcome {
            count,
            first,
            last,
            unacknowledged,
            ..
        } = outcome;
        let id = |id: &Option<EventId>| id.map(|id| id.to_string());
        if self.json {
            let line = serde_json::json!({
                "count": count, "first": id(first), "last": id(last), "unacknowledged": unacknowledged,
            });
            return Some(line.to_string());
        }
        match last {
            Some(last) if *count == 1 => Some(last.to_string()),
            Some(last) => Some(format!(
                "{}, the last is {last}",
                text::counted(*count, "event")
            )),
            None if outcome.error.is_some() => None,
            None => Some(text::counted(*count, "event")),
        }
    }
}

/// Reads a whole file, or all of standard input.
fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        let file = std::fs::File::open(path);
        Box::new(file.map_err(|error| usage_because(format_args!("cannot open {shown}"), error))?)
    };
    let mut data = Vec::new();
    input
        .take(READ_BYTES as u64 + 1)
        .read_to_end(&mut data)
        .map_err(|error| usage_because(format_args!("cannot read {shown}"), error))?;
    if data.len() > READ_BYTES {
        return Err(fail(
            Status::Unacknowledged,
            format!("{shown} is over 64 MiB: too large for one event"),
        ));
    }
    Ok(data)
}
