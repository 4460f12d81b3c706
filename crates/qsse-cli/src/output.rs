//! The output formats of `sub`: text for people, JSON lines or raw data for programs.

use std::fmt::Write;

use qsse_client::{Code, Event, EventId, Notice};
use qsse_proto::text::TextEvent;
use serde::Serialize;

use crate::text;

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text {
        colours: bool,
        ids: bool,
    },
    Json,
    /// The data, then this byte.
    Raw(u8),
}

/// Writes events to memory.
pub(crate) struct Output {
    format: Format,
    /// What was written and not yet taken.
    pub(crate) buffer: Vec<u8>,
    line: String,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            buffer: Vec::new(),
            line: String::new(),
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match self.format {
            Format::Raw(end) => {
                self.buffer.extend_from_slice(event.data());
                self.buffer.push(end);
            }
            Format::Json => TextEvent::from(event).write_line(&mut self.buffer),
            Format::Text { colours, ids } => {
                let (dim, strong, off) = if colours {
                    ("\x1b[2m", "\x1b[36m", "\x1b[0m")
                } else {
                    ("", "", "")
                };
                let line = &mut self.line;
                line.clear();
                let _ = write!(line, "{dim}{}", event.time());
                if ids {
                    let _ = write!(line, " {}", event.id());
                }
                let _ = write!(line, "{off} {strong}");
                text::push_visible(line, event.topic().as_str().as_bytes());
                line.push_str(off);
                if !event.kind().is_message() {
                    line.push_str(" (");
                    text::push_visible(line, event.kind().as_str().as_bytes());
                    line.push(')');
                }
                line.push_str("  ");
                text::push_visible(line, event.data());
                line.push('\n');
                self.buffer.extend_from_slice(line.as_bytes());
            }
        }
    }

    /// Writes a notice as an object among JSON lines. In other formats, returns a text for standard
    /// error.
    pub(crate) fn notice(&mut self, notice: &Notice) -> Option<String> {
        let object = match (self.format, notice) {
            (Format::Json, Notice::Gap(gap)) => JsonNotice::Gap {
                from: gap.first(),
                to: gap.to,
                at_most: gap.at_most,
                reason: gap.reason.to_string(),
            },
            (Format::Json, Notice::Reset(reset)) => JsonNotice::Reset {
                after: reset.after,
                position: reset.position,
            },
            (Format::Json, Notice::Lost(loss)) => JsonNotice::Lost {
                reason: loss.to_string(),
            },
            (Format::Json, Notice::Unusable { .. }) => JsonNotice::Lost {
                reason: notice.to_string(),
            },
            (Format::Json, notice) if notice.code().is_some() => JsonNotice::Error {
                code: notice.code().map_or(0, Code::get),
                message: notice.to_string(),
            },
            (_, notice) => return Some(notice.to_string()),
        };
        self.object(&object);
        None
    }

    fn object(&mut self, object: &impl Serialize) {
        serde_json::to_writer(&mut self.buffer, object)
            .expect("memory takes everything, and all keys are text");
        self.buffer.push(b'\n');
    }
}

/// A notice: an object with one key.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum JsonNotice {
    Gap {
        from: EventId,
        to: EventId,
        at_most: u64,
        reason: String,
    },
    Reset {
        after: Option<EventId>,
        position: EventId,
    },
    Lost {
        reason: String,
    },
    Error {
        code: u64,
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use qsse_client::{Epoch, Kind, Loss, Reset, Timestamp, Topic};

    use super::*;

    fn written(format: Format, kind: &str, data: &'static [u8]) -> Vec<u8> {
        let event = Event::new(
            EventId::new(Epoch::new(1), 7),
            Topic::new("ride.7").unwrap(),
            Kind::new(kind).unwrap(),
            Timestamp::from_micros(5),
            data.into(),
        );
        let mut output = Output::new(format);
        output.event(&event);
        output.buffer
    }

    fn text(format: Format, kind: &str, data: &'static [u8]) -> String {
        String::from_utf8(written(format, kind, data)).unwrap()
    }

    #[test]
    fn json_has_the_documented_keys_in_their_order() {
        assert_eq!(
            text(Format::Json, "message", b"a\"\n\x1b"),
            "{\"id\":\"1-7\",\"topic\":\"ride.7\",\"kind\":\"message\",\"time\":\"1970-01-01T00:00:00.000005Z\",\
             \"data\":\"a\\\"\\n\\u001b\"}\n"
        );
        let line = text(Format::Json, "made", b"\xff\0");
        assert!(
            line.ends_with(",\"data\":\"/wA=\",\"encoding\":\"base64\"}\n"),
            "{line}"
        );
    }

    #[test]
    fn notices_are_objects_of_one_key() {
        let id = |seq| EventId::new(Epoch::new(1), seq);
        let reset = Notice::Reset(Reset::new(None, id(0)));
        let mut output = Output::new(Format::Json);
        assert_eq!(output.notice(&reset), None);
        assert_eq!(
            output.buffer,
            b"{\"reset\":{\"after\":null,\"position\":\"1-0\"}}\n"
        );
        let refused = Notice::PatternRefused {
            pattern: "ride.*".into(),
            code: Code::NOT_AUTHORISED,
        };
        let unusable = Notice::Unusable {
            topic: "a..b".into(),
            data: "x".into(),
            problem: Topic::new("a..b").unwrap_err(),
        };
        for (notice, start) in [
            (
                Notice::Lost(Loss::Reported),
                "{\"lost\":{\"reason\":\"the server reported",
            ),
            (unusable, "{\"lost\":{\"reason\":\"an event of 1 byte"),
            (
                refused,
                "{\"error\":{\"code\":1,\"message\":\"the server refused ride.*",
            ),
        ] {
            let mut output = Output::new(Format::Json);
            assert_eq!(output.notice(&notice), None);
            let line = String::from_utf8(output.buffer).unwrap();
            assert!(
                line.starts_with(start) && line.ends_with("\"}}\n"),
                "{line}"
            );
        }
    }

    #[test]
    fn raw_is_the_data_and_text_is_safe() {
        assert_eq!(written(Format::Raw(b'\n'), "k", b"\xff\x1b"), b"\xff\x1b\n");
        assert_eq!(written(Format::Raw(0), "k", b"a\nb"), b"a\nb\0");
        let plain = |ids| Format::Text {
            colours: false,
            ids,
        };
        let line = text(plain(false), "made", b"\x1b[2J\r\nx\xff");
        assert_eq!(
            line,
            "1970-01-01T00:00:00.000005Z ride.7 (made)  \\u{1b}[2J\\r\\nx\\xff\n"
        );
        let line = text(plain(true), "message", b"x");
        assert_eq!(line, "1970-01-01T00:00:00.000005Z 1-7 ride.7  x\n");
    }
}
