//! [`TextEvent`]: an event that is to be written as text.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::batch::EventRef;
use crate::event::Event;
use crate::event_id::{Epoch, EventId};
use crate::timestamp::Timestamp;

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

    /// Calls `with` with the data as text, and the name of its encoding.
    pub(super) fn with_text(&self, with: impl FnOnce(&str, Option<&'static str>)) {
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

/// The keys of an event in JSON.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<EventId>,
    pub(super) topic: &'a str,
    pub(super) kind: &'a str,
    pub(super) time: Timestamp,
    pub(super) data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encoding: Option<&'static str>,
}

pub(super) fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("memory takes everything, and all keys are text");
}
