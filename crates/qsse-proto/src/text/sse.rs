//! Server-sent events: the format that browsers read.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use super::event::{Line, TextEvent, write_json};
use super::notice::{Body, TextNotice};
use crate::event_id::EventId;
use crate::kind::Kind;

/// What the `data` of a server-sent event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SseForm {
    /// The event's data. Line breaks of any kind become those of the format, and data that is not
    /// UTF-8 comes in base64 as an event of the kind `qsse.binary` (QP-14.4, QP-14.5).
    #[default]
    Plain,
    /// `{"topic":"…","kind":"…","time":"…","data":"…"}`, with `"encoding":"base64"` where the data
    /// is not UTF-8: for wildcards, and for exact bytes (QP-14.6).
    Json,
}

/// Returns whether events of this kind would be taken for something else by browsers, or for a
/// notice of the server: `error`, `open`, and what begins with `qsse.`. They are written with `x-`
/// in front (QP-14.3).
pub fn is_reserved_kind(kind: &str) -> bool {
    matches!(kind, "error" | "open") || kind.starts_with("qsse.")
}

impl TextEvent<'_> {
    /// Appends the event to `out` as a server-sent event (QP-14.3 to QP-14.6).
    pub fn write_sse(&self, form: SseForm, out: &mut Vec<u8>) {
        write_event(self, form, out);
    }
}

impl TextNotice<'_> {
    /// Appends the notice as a server-sent event of the kind `qsse.gap`, `qsse.reset` or `qsse.end`
    /// (QP-14.7, QP-14.8).
    pub fn write_sse(&self, out: &mut Vec<u8>) {
        let (kind, id) = match self {
            Self::Gap(gap) => ("qsse.gap", Some(gap.to)),
            Self::Reset(reset) => ("qsse.reset", Some(reset.position)),
            Self::End { .. } => ("qsse.end", None),
        };
        write_notice(kind, id, out, |out| write_json(out, &Body::from(self)));
    }
}

fn write_event(event: &TextEvent<'_>, form: SseForm, out: &mut Vec<u8>) {
    out.reserve(event.data.len() + event.data.len() / 8 + 64);
    write_id(event.id, out);
    match form {
        SseForm::Plain => event.with_text(|data, encoding| {
            match encoding {
                Some(_) => write_kind("qsse.binary", out),
                None => write_kind(&shown(event.kind), out),
            }
            write_data(data.as_bytes(), out);
        }),
        SseForm::Json => {
            write_kind(&shown(event.kind), out);
            event.with_text(|data, encoding| {
                let line = Line {
                    id: None,
                    topic: event.topic,
                    kind: event.kind,
                    time: event.time,
                    data,
                    encoding,
                };
                out.extend_from_slice(b"data: ");
                // JSON escapes line breaks.
                write_json(out, &line);
                out.push(b'\n');
            });
        }
    }
    out.push(b'\n');
}

fn write_notice(
    kind: &str,
    id: Option<EventId>,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) {
    if let Some(id) = id {
        write_id(id, out);
    }
    write_kind(kind, out);
    out.extend_from_slice(b"data: ");
    body(out);
    out.extend_from_slice(b"\n\n");
}

/// Appends a block that moves the client's position and dispatches nothing (QP-14.2).
pub fn write_position(position: EventId, out: &mut Vec<u8>) {
    write_id(position, out);
    out.push(b'\n');
}

/// Appends the time after which a client connects again (QP-14.2).
pub fn write_retry(after: Duration, out: &mut Vec<u8>) {
    write!(out, "retry: {}\n\n", after.as_millis()).expect("memory takes everything");
}

/// Appends a comment, which clients skip and which keeps proxies awake (QP-14.2).
pub fn write_comment(out: &mut Vec<u8>) {
    out.extend_from_slice(b":\n\n");
}

fn write_id(id: EventId, out: &mut Vec<u8>) {
    writeln!(out, "id: {id}").expect("memory takes everything");
}

fn write_kind(kind: &str, out: &mut Vec<u8>) {
    // Without a kind, clients say `message`.
    if kind == Kind::MESSAGE_TEXT {
        return;
    }
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'\n');
}

fn shown(kind: &str) -> Cow<'_, str> {
    match is_reserved_kind(kind) {
        true => Cow::Owned(format!("x-{kind}")),
        false => Cow::Borrowed(kind),
    }
}

/// Writes a field for each line. A break at the end begins one more line, which is empty.
fn write_data(data: &[u8], out: &mut Vec<u8>) {
    let mut rest = data;
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
        out.push(b'\n');
        let Some(end) = end else { return };
        let width = if rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + width..];
    }
}
