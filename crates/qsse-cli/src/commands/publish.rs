//! `qsse pub`: publishes one event or many.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use qsse_client::{Client, Dialect, EventId, Key, Kind, Pattern, PublishError, Topic};

use super::{Stop, Stopped, never_connected, print_result};
use crate::connect::{connect, lacking_in_go, publisher, report};
use crate::exit::{Status, fail, usage, usage_because};
use crate::settings::Settings;
use crate::text;

mod lines;
mod name;
mod stream;

/// The most that is read of one event: what a server takes is far less, and it says so.
const READ_BYTES: usize = 64 * 1024 * 1024;

/// Publish an event, or every line of standard input as one
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse pub ride.7.start '{\"driver\":\"Ada\"}'
  tail -f app.log | qsse pub logs.app             each line is an event
  qsse pub --file photo.jpg camera.1              the whole file is one
  qsse pub --key order-4711 orders '{\"n\":4711}'   one event, however often it is run
  qsse pub --matching 'ride.*' 'storm ahead'      to every topic that the server knows
  qsse sub --json '*' -s here | qsse pub --from-json -s there")]
pub(crate) struct Options {
    /// The topic; with --matching a pattern
    #[arg(value_name = "TOPIC", required_unless_present = "from_json")]
    topic: Option<String>,
    /// The event's data; without it each line of standard input is an event
    #[arg(value_name = "BODY", conflicts_with_all = ["from_json", "file"], allow_hyphen_values = true)]
    body: Option<String>,
    /// What sort of event it is [default: message]
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// Publish to every topic that the pattern matches, of those that the server has declared or keeps an event of
    #[arg(long, conflicts_with = "from_json")]
    matching: bool,
    /// Read what `qsse sub --json` prints, whose topic and kind win
    #[arg(long, conflicts_with = "file")]
    from_json: bool,
    /// Publish all of this file as one event; - is standard input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Print the result as a JSON object
    #[arg(long)]
    json: bool,
    /// Publish once, however often this is run with the same KEY: needs one event, by BODY or --file
    // Not named `key`: that is the setting of a server.
    #[arg(long = "key", value_name = "KEY")]
    event_key: Option<String>,
}

/// What became of the events.
#[derive(Default)]
struct Outcome {
    count: u64,
    first: Option<EventId>,
    last: Option<EventId>,
    /// Taken from the input, and not known to be published.
    unacknowledged: u64,
    /// Why it ended early, if it did.
    error: Option<anyhow::Error>,
}

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    options.check_key()?;
    let topic = options.topic.as_deref().unwrap_or_default();
    let is_name = options.topic.is_some() && !options.matching;
    if is_name && let Err(error) = Topic::new(topic) {
        let hint = match Pattern::new(topic) {
            Ok(_) => "; --matching publishes to every topic that a pattern matches",
            Err(_) => "",
        };
        return Err(usage(format!("{topic:?}: {error}{hint}")));
    }
    if options.matching
        && let Err(error) = Pattern::new(topic)
    {
        return Err(usage(format!("{topic:?}: {error}")));
    }
    lacking_in_go(settings, "publishing")?;
    let stop = Stop::watch(settings)?;
    let one = tokio::select! {
        biased;
        why = stop.wait() => return match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(fail(Status::Unreachable, "time is up, and the input has not ended")),
        },
        one = options.one_event() => one?,
    };
    let connect = match options.event_key {
        Some(_) => publisher(settings, name::of_this_user)?,
        None => connect(settings)?,
    };
    let client = tokio::select! {
        biased;
        why = stop.wait() => return match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(never_connected(settings)),
        },
        client = connect => client?,
    };
    if client.dialect() == Dialect::Go {
        // Before anything is taken from the input.
        return Err(PublishError::Unsupported.into());
    }
    let reporter = client.clone();
    let reporter = tokio::spawn(async move { report(&reporter).await });
    let outcome = match one {
        Some(data) => publish_one(&client, &options, &data, &stop).await,
        None => stream::publish(&client, &options, settings, &stop).await,
    };
    reporter.abort();
    let printed = match options.shown(&outcome) {
        Some(line) => print_result(line, &stop).await,
        None => Ok(()),
    };
    match outcome.error.or(printed.err()) {
        Some(error) => Err(error),
        None if outcome.unacknowledged > 0 => Ok(Status::Unacknowledged),
        None => Ok(Status::Done),
    }
}

impl Options {
    fn check_key(&self) -> Result<()> {
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

    fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or_default()
    }

    fn kind(&self) -> Kind {
        self.kind.clone().unwrap_or_default()
    }

    /// The data, where all of the input is one event.
    ///
    /// A file may be a pipe whose writer takes its time, so a thread reads it, and is left behind if this is cancelled.
    async fn one_event(&self) -> Result<Option<Vec<u8>>> {
        if let Some(body) = &self.body {
            return Ok(Some(body.clone().into_bytes()));
        }
        let Some(path) = self.file.clone() else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || read(&path));
        read.await.context("cannot read the event")?.map(Some)
    }

    /// The line that says what became of the events.
    fn shown(&self, outcome: &Outcome) -> Option<String> {
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

/// All of a file, or of standard input.
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

async fn publish_one(client: &Client, options: &Options, data: &[u8], stop: &Stop) -> Outcome {
    let publish = async {
        let (topic, kind) = (options.topic(), options.kind());
        if options.matching {
            let mut publish = client.publish_matching(topic, data).kind(kind.as_str());
            if let Some(key) = &options.event_key {
                publish = publish.key(key);
            }
            let published = publish.await?;
            return Ok((published.count(), published.first(), published.last()));
        }
        let mut publish = client.publish(topic, data).kind(kind.as_str());
        if let Some(key) = &options.event_key {
            publish = publish.key(key);
        }
        let id = publish.await?;
        anyhow::Ok((1, Some(id), Some(id)))
    };
    let result = tokio::select! {
        biased;
        why = stop.wait() => Err(ended(why)),
        result = publish => result,
    };
    match result {
        Ok((count, first, last)) => Outcome {
            count,
            first,
            last,
            ..Outcome::default()
        },
        Err(error) => Outcome {
            unacknowledged: 1,
            error: Some(error),
            ..Outcome::default()
        },
    }
}

/// Stopped with something not acknowledged.
fn ended(why: Stopped) -> anyhow::Error {
    let why = match why {
        Stopped::Signal => "interrupted",
        Stopped::Timeout => "time is up",
    };
    fail(
        Status::Unacknowledged,
        format!("{why} before every event was acknowledged"),
    )
}
