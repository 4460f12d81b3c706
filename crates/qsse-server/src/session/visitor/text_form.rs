//! [`TextForm`]: how a visitor's stream is written.

use std::time::Duration;

use bytes::Bytes;
use qsse_log::Encoding;
use qsse_proto::batch::Batch;
use qsse_proto::text::{
    SseForm, TextEvent, TextNotice, write_comment, write_position, write_retry,
};
use qsse_proto::{Epoch, EventId};

/// How a visitor's stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextForm {
    /// Server-sent events.
    Sse(SseForm),
    /// Lines of JSON, as `qsse sub --json` prints them.
    Lines,
}

const SSE_PLAIN: Encoding = Encoding::new("sse", |batch, epoch| {
    encode(batch, epoch, |event, out| {
        event.write_sse(SseForm::Plain, out)
    })
});

const SSE_JSON: Encoding = Encoding::new("sse json", |batch, epoch| {
    encode(batch, epoch, |event, out| {
        event.write_sse(SseForm::Json, out)
    })
});

const LINES: Encoding = Encoding::new("lines", |batch, epoch| {
    encode(batch, epoch, |event, out| event.write_line(out))
});

/// Encodes a batch.
fn encode(batch: &Batch, epoch: Epoch, write: impl Fn(&TextEvent<'_>, &mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(batch.bytes().len() * 3 / 2);
    for event in batch.iter() {
        write(&TextEvent::of(&event, epoch), &mut out);
    }
    // It is kept for all readers of the filter.
    out.shrink_to_fit();
    out.into()
}

impl TextForm {
    /// Returns the form of the shared batches.
    pub(super) const fn encoding(self) -> Encoding {
        match self {
            Self::Sse(SseForm::Plain) => SSE_PLAIN,
            Self::Sse(SseForm::Json) => SSE_JSON,
            Self::Lines => LINES,
        }
    }

    /// Returns the beginning of a stream: when to come back, and the position before the first
    /// event, so that a client that is cut off before it misses nothing.
    pub(super) fn opening(self, position: EventId, retry: Duration) -> Bytes {
        let mut out = Vec::new();
        if let Self::Sse(_) = self {
            write_retry(retry, &mut out);
            write_position(position, &mut out);
        }
        out.into()
    }

    pub(super) fn notice(self, notice: &TextNotice<'_>) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Sse(_) => notice.write_sse(&mut out),
            Self::Lines => notice.write_line(&mut out),
        }
        out.into()
    }

    /// Returns the report that everything up to `position` was written.
    pub(super) fn position(self, position: EventId) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Sse(_) => write_position(position, &mut out),
            Self::Lines => out.push(b'\n'),
        }
        out.into()
    }

    /// Returns what keeps proxies awake.
    pub(super) fn keep_alive(self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Sse(_) => write_comment(&mut out),
            Self::Lines => out.push(b'\n'),
        }
        out.into()
    }

    /// Returns the end of a stream, after which a client comes back no earlier than `retry`.
    pub(super) fn end(self, notice: &TextNotice<'_>, retry: Option<Duration>) -> Bytes {
        let mut out = Vec::new();
        if let (Self::Sse(_), Some(retry)) = (self, retry) {
            write_retry(retry, &mut out);
        }
        out.extend_from_slice(&self.notice(notice));
        out.into()
    }
}
