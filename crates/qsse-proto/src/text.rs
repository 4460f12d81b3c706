//! Events as text: server-sent events and JSON lines (section 14 of the protocol).
//!
//! Servers write these forms for clients that speak HTTP. An event has the same id in each form, so
//! a client that changes from one to another goes on where it was.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::batch::EventRef;
use crate::event::Event;
use crate::event_id::{Epoch, EventId};
use crate::notice::{Gap, Reset};
use crate::timestamp::Timestamp;

mod sse;

pub use sse::{SseForm, is_reserved_kind, write_comment, write_position, write_retry};

/// An event that is to be written as text.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TextEvent<'a> {
    /// Its id.
    pub id: EventId,
    /// Its topic.
    pub topic: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// When it was published.
    pub time: Timestamp,
    /// Its data, of any bytes.
    pub data: &'a [u8],
}

impl<'a> TextEvent<'a> {
    /// Returns an event of a batch, whose epoch is known.
    pub fn of(event: &EventRef<'a>, epoch: Epoch) -> Self {
        Self {
            id: EventId::new(epoch, event.seq()),
            topic: event.topic(),
            kind: event.kind(),
            time: event.time(),
            data: event.data(),
        }
    }

    /// Appends the event to `out` as a line of JSON:
    /// `{"id":"…","topic":"…","kind":"…","time":"…","data":"…"}`. Data that is not UTF-8 is written
    /// in base64, with a last key `"encoding":"base64"` (QP-14.9).
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.reserve(self.data.len() + self.topic.len() + 128);
        self.with_text(|data, encoding| {
            let line = Line {
                id: Some(self.id),
                topic: self.topic,
                kind: self.kind,
                time: self.time,
                data,
                encoding,
            };
            write_json(out, &line);
        });
        out.push(b'\n');
    }

    /// Appends the event to `out` as a server-sent event (QP-14.3 to QP-14.6).
    pub fn write_sse(&self, form: SseForm, out: &mut Vec<u8>) {
        sse::write_event(self, form, out);
    }

    /// Calls `with` with the data as text, and the name of its encoding.
    fn with_text(&self, with: impl FnOnce(&str, Option<&'static str>)) {
        match std::str::from_utf8(self.data) {
            Ok(text) => with(text, None),
            Err(_) => with(&BASE64_STANDARD.encode(self.data), Some("base64")),
        }
    }
}

impl<'a> From<&'a Event> for TextEvent<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            id: event.id(),
            topic: event.topic().as_str(),
            kind: event.kind().as_str(),
            time: event.time(),
            data: event.data(),
        }
    }
}

/// What a stream of text reports between two events, or at its end.
#[derive(Clone, Copy, Debug)]
pub enum TextNotice<'a> {
    /// Events may be missing.
    Gap(&'a Gap),
    /// The position is not of this log.
    Reset(&'a Reset),
    /// The stream ends here.
    End {
        /// The number of a [`Code`](crate::Code).
        code: u64,
        /// Why, and what to do.
        message: &'a str,
        /// Whether to connect again later. If not, a client gives up.
        retry: bool,
    },
}

impl TextNotice<'_> {
    /// Appends the notice as a line of JSON: an object with one key, `gap`, `reset` or `end`
    /// (QP-14.10).
    pub fn write_line(&self, out: &mut Vec<u8>) {
        write_json(out, &Keyed::from(self));
        out.push(b'\n');
    }

    /// Appends the notice as a server-sent event of the kind `qsse.gap`, `qsse.reset` or `qsse.end`
    /// (QP-14.7, QP-14.8).
    pub fn write_sse(&self, out: &mut Vec<u8>) {
        let (kind, id) = match self {
            Self::Gap(gap) => ("qsse.gap", Some(gap.to)),
            Self::Reset(reset) => ("qsse.reset", Some(reset.position)),
            Self::End { .. } => ("qsse.end", None),
        };
        sse::write_notice(kind, id, out, |out| write_json(out, &Body::from(self)));
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<EventId>,
    topic: &'a str,
    kind: &'a str,
    time: Timestamp,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

/// A notice without its name.
#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Gap {
        from: EventId,
        to: EventId,
        at_most: u64,
        reason: &'static str,
    },
    Reset {
        after: Option<EventId>,
        position: EventId,
    },
    End {
        code: u64,
        message: &'a str,
        retry: bool,
    },
}

/// A notice under its name.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Keyed<'a> {
    Gap(Body<'a>),
    Reset(Body<'a>),
    End(Body<'a>),
}

impl<'a> From<&TextNotice<'a>> for Body<'a> {
    fn from(notice: &TextNotice<'a>) -> Self {
        match *notice {
            TextNotice::Gap(gap) => Self::Gap {
                from: gap.first(),
                to: gap.to,
                at_most: gap.at_most,
                reason: gap.reason.meaning(),
            },
            TextNotice::Reset(reset) => Self::Reset {
                after: reset.after,
                position: reset.position,
            },
            TextNotice::End {
                code,
                message,
                retry,
            } => Self::End {
                code,
                message,
                retry,
            },
        }
    }
}

impl<'a> From<&TextNotice<'a>> for Keyed<'a> {
    fn from(notice: &TextNotice<'a>) -> Self {
        let body = notice.into();
        match notice {
            TextNotice::Gap(_) => Self::Gap(body),
            TextNotice::Reset(_) => Self::Reset(body),
            TextNotice::End { .. } => Self::End(body),
        }
    }
}

fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("memory takes everything, and all keys are text");
}

#[cfg(test)]
mod tests;
