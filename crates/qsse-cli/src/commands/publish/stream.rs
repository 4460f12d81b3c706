//! Many events: one per line of standard input, sent without waiting for each acknowledgement.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use qsse_client::{Client, Kind, PublishError, Publisher};
use serde::Deserialize;
use tracing::Level;

use super::lines::{Line, Lines};
use super::options::{Options, READ_BYTES};
use super::outcome::{Outcome, ended};
use crate::console;
use crate::exit::{Status, fail, status_of, usage_because};
use crate::settings::Settings;
use crate::stop::{Stop, Stopped};

/// How long an interrupted `pub` waits for what is in flight.
const FLUSH: Duration = Duration::from_secs(2);

/// What `sub --json` prints for an event. Objects with one other key are notices.
#[derive(Deserialize)]
struct JsonEvent {
    topic: Option<String>,
    kind: Option<String>,
    data: Option<String>,
    encoding: Option<String>,
    #[serde(default, rename = "id")]
    _id: serde::de::IgnoredAny,
}

/// One event to publish.
struct Draft<'a> {
    topic: std::borrow::Cow<'a, str>,
    kind: Kind,
    data: std::borrow::Cow<'a, [u8]>,
}

/// The destination of the events, and the result so far.
struct Sink<'a> {
    client: &'a Client,
    publisher: Publisher,
    matching: bool,
    keep_trying: bool,
    /// The ids of events that were published one by one, because one publish makes several.
    one_by_one: Outcome,
    /// How many lines those were.
    answered: u64,
    /// The number of events that were read from the input.
    taken: u64,
}

pub(super) async fn publish(
    client: &Client,
    options: &Options,
    settings: &Settings,
    stop: &Stop,
) -> Outcome {
    let mut sink = Sink {
        client,
        publisher: client.publisher().exactly_once(),
        matching: options.matching,
        keep_trying: settings.on("reconnect"),
        one_by_one: Outcome::default(),
        answered: 0,
        taken: 0,
    };
    let mut error = None;
    let stopped = tokio::select! {
        biased;
        why = stop.wait() => Some(why),
        result = sink.publish_lines(options) => {
            error = result.err();
            None
        }
    };
    if error.is_none() {
        let flushed = tokio::select! {
            biased;
            flushed = sink.flush() => flushed.map_err(Into::into),
            why = late(stop, stopped) => Err(ended(why)),
        };
        error = flushed.err();
    }
    let mut outcome = sink.outcome();
    if let Some(Stopped::Timeout) = stopped {
        error = error.or_else(|| {
            Some(fail(
                Status::Unreachable,
                "time is up before the input ended",
            ))
        });
    }
    // A connection that was lost with events in flight is a different failure than an unreachable
    // server.
    outcome.error = error.map(|error| match status_of(&error) {
        Status::Unreachable if outcome.unacknowledged > 0 => {
            fail(Status::Unacknowledged, format!("{error:#}"))
        }
        _ => error,
    });
    outcome
}

/// Returns when to give up what is in flight: soon after the first stop, at once on the second.
async fn late(stop: &Stop, stopped: Option<Stopped>) -> Stopped {
    match stopped {
        Some(why) => {
            tokio::time::sleep(FLUSH).await;
            why
        }
        None => stop.wait().await,
    }
}

impl Sink<'_> {
    async fn publish_lines(&mut self, options: &Options) -> anyhow::Result<()> {
        // JSON makes an event longer: a control character takes six bytes.
        let max = if options.from_json {
            READ_BYTES.saturating_mul(2)
        } else {
            READ_BYTES
        };
        let mut lines = Lines::read(max);
        let mut number = 0_u64;
        loop {
            if !self.wait_for(&mut lines).await? {
                return Ok(());
            }
            let Some(line) = lines.take() else {
                continue;
            };
            number += 1;
            let draft = match line {
                Line::TooLong => {
                    let size = bytesize::ByteSize(max as u64);
                    Err(format!("it is over {size}, which no server takes"))
                }
                Line::Whole(line) if options.from_json => match from_json(line, options) {
                    Ok(None) => continue,
                    Ok(Some(draft)) => Ok(draft),
                    Err(problem) => Err(problem),
                },
                Line::Whole(line) => Ok(Draft {
                    topic: options.topic().into(),
                    kind: options.kind(),
                    data: line.into(),
                }),
            };
            self.taken += 1;
            let sent = match draft {
                Ok(draft) => self.send(&draft).await,
                Err(problem) => {
                    refused(number, &problem).await;
                    continue;
                }
            };
            match sent {
                Ok(()) => {}
                // These errors concern only this line, and nothing of it was sent.
                Err(
                    error @ (PublishError::TooLarge { .. }
                    | PublishError::Topic(_)
                    | PublishError::Kind(_)),
                ) => refused(number, &error.to_string()).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a line; `false` at the end of the input. Meanwhile it handles acknowledgements.
    async fn wait_for(&self, lines: &mut Lines) -> anyhow::Result<bool> {
        let mut flushed = false;
        loop {
            tokio::select! {
                biased;
                line = lines.wait() => {
                    return line.map_err(|error| usage_because("cannot read standard input", error));
                }
                result = self.flush(), if !flushed => {
                    result?;
                    flushed = true;
                }
                reason = self.client.closed() => return Err(PublishError::Closed(reason).into()),
            }
        }
    }

    async fn send(&mut self, draft: &Draft<'_>) -> Result<(), PublishError> {
        loop {
            let result = if self.matching {
                self.send_matching(draft).await
            } else {
                self.publisher
                    .send_kind(&draft.topic, &draft.kind, &draft.data)
                    .await
            };
            match result {
                // Nothing was sent, and the connection may return.
                Err(PublishError::NotConnected { .. }) if self.keep_trying => {}
                result => return result,
            }
        }
    }

    /// One by one, because only then the acknowledgement tells how many topics matched.
    async fn send_matching(&mut self, draft: &Draft<'_>) -> Result<(), PublishError> {
        let publish = self.client.publish_matching(&draft.topic, &draft.data);
        let published = publish.kind(draft.kind.as_str()).await?;
        let sum = &mut self.one_by_one;
        sum.count += published.count();
        sum.first = sum.first.or(published.first());
        sum.last = published.last().or(sum.last);
        self.answered += 1;
        Ok(())
    }

    async fn flush(&self) -> Result<(), PublishError> {
        self.publisher.flush().await.map(|_| ())
    }

    fn outcome(self) -> Outcome {
        if self.matching {
            let unacknowledged = self.taken - self.answered;
            return Outcome {
                unacknowledged,
                ..self.one_by_one
            };
        }
        let progress = self.publisher.progress();
        Outcome {
            count: progress.acknowledged,
            first: progress.first,
            last: progress.last,
            unacknowledged: self.taken.saturating_sub(progress.acknowledged),
            error: None,
        }
    }
}

/// Reports a line that is not published. Waits if standard error is read slowly.
async fn refused(number: u64, problem: &str) {
    let text = format!("line {number} is not published: {problem}");
    console::message(Level::WARN, text);
    console::told().await;
}

/// Returns the event of a JSON line; `None` for a notice.
fn from_json<'a>(line: &'a [u8], options: &'a Options) -> Result<Option<Draft<'a>>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let event: JsonEvent = serde_json::from_slice(line)
        .map_err(|error| format!("it is not JSON of an event: {error}"))?;
    let Some(data) = event.data else {
        return Ok(None);
    };
    let data = match event.encoding.as_deref() {
        None => data.into_bytes(),
        Some("base64") => BASE64_STANDARD
            .decode(data)
            .map_err(|error| format!("its data is not base64: {error}"))?,
        Some(other) => {
            return Err(format!(
                "its encoding {other:?} is unknown: base64 is the only one"
            ));
        }
    };
    let topic = match event.topic {
        Some(topic) => topic.into(),
        None if options.topic.is_some() => options.topic().into(),
        None => return Err("it has no topic, and none was given".into()),
    };
    let kind = match event.kind {
        Some(kind) => Kind::new(kind).map_err(|error| error.to_string())?,
        None => options.kind(),
    };
    Ok(Some(Draft {
        topic,
        kind,
        data: data.into(),
    }))
}
