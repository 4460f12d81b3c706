//! `Publish`: one event, or one for each topic that matches.

use crate::frame::{self, HEADER_BYTES, kind};
use crate::limits::{KIND_BYTES, TOPIC_BYTES};
use crate::varint::{Reader, Stop};
use crate::{DecodeError, Kind};
use bytes::{Bytes, BytesMut};

/// One publish (`QP-8.2`).
///
/// ```text
/// 0x31 | flags u8 | length u8, topic | length u8, kind | data to the end |
///
/// flags: bit 0: the topic is a pattern, and every topic that it matches is meant
/// kind:  length 0 is "message"
/// ```
///
/// The texts and the data share the frame's bytes. Whether the topic is one is for the server to see:
/// here it is any text of 1 to 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    matching: bool,
    topic: Bytes,
    kind: Bytes,
    data: Bytes,
}

const MATCHING: u8 = 1;
const CHECKED: &str = "texts are checked when a publish is made";

impl Publish {
    /// Publishes `data` on `topic`, or with `matching` on all topics of a pattern.
    ///
    /// # Panics
    /// If `topic` is empty or longer than 255 bytes.
    pub fn new(matching: bool, topic: &str, kind: &Kind, data: Bytes) -> Self {
        assert_topic(topic);
        Self {
            matching,
            topic: Bytes::copy_from_slice(topic.as_bytes()),
            kind: Bytes::copy_from_slice(kind.as_str().as_bytes()),
            data,
        }
    }

    /// Whether the topic is a pattern, and every topic that it matches is meant.
    pub const fn is_matching(&self) -> bool {
        self.matching
    }

    /// The topic, or the pattern if this is matching; not checked beyond its length.
    pub fn topic(&self) -> &str {
        std::str::from_utf8(&self.topic).expect(CHECKED)
    }

    /// The kind, which is a good one.
    pub fn kind(&self) -> &str {
        std::str::from_utf8(&self.kind).expect(CHECKED)
    }

    /// What is published.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The whole frame, as it goes on the wire.
    pub fn encode(&self) -> Bytes {
        let length = HEADER_BYTES + 3 + self.topic.len() + self.kind.len() + self.data.len();
        let mut out = BytesMut::with_capacity(length);
        write(
            &mut out,
            self.matching,
            self.topic(),
            self.kind(),
            &self.data,
        );
        out.freeze()
    }

    /// Reads the body of a frame.
    pub(super) fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut fields = || Ok((reader.byte()?, reader.short_bytes()?, reader.short_bytes()?));
        let (flags, topic, kind) = fields().map_err(|_: Stop| DecodeError::Truncated {
            kind: kind::PUBLISH,
            offset: body.len(),
        })?;
        if flags & !MATCHING != 0 {
            return Err(malformed("a flag is not known"));
        }
        if topic.is_empty() {
            return Err(malformed("the topic is empty"));
        }
        text(topic)?;
        if !kind.is_empty() {
            crate::kind::check(text(kind)?)?;
        }
        Ok(Self {
            matching: flags & MATCHING != 0,
            topic: body.slice_ref(topic),
            kind: if kind.is_empty() {
                Bytes::from_static(Kind::MESSAGE_TEXT.as_bytes())
            } else {
                body.slice_ref(kind)
            },
            data: body.slice_ref(reader.rest),
        })
    }
}

/// Appends a publish to `out`, for many of them in one buffer.
///
/// # Panics
/// If `topic` is empty or longer than 255 bytes, or `kind` is empty or longer than 64.
pub fn write(out: &mut BytesMut, matching: bool, topic: &str, kind: &str, data: &[u8]) {
    assert_topic(topic);
    assert!(
        (1..=KIND_BYTES).contains(&kind.len()),
        "a kind has 1 to {KIND_BYTES} bytes"
    );
    let kind = if kind == Kind::MESSAGE_TEXT { "" } else { kind };
    out.reserve(HEADER_BYTES + 3 + topic.len() + kind.len() + data.len());
    frame::write(kind::PUBLISH, out, |out| {
        out.extend_from_slice(&[u8::from(matching) * MATCHING, topic.len() as u8]);
        out.extend_from_slice(topic.as_bytes());
        out.extend_from_slice(&[kind.len() as u8]);
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(data);
    });
}

fn assert_topic(topic: &str) {
    assert!(
        (1..=TOPIC_BYTES).contains(&topic.len()),
        "a topic has 1 to {TOPIC_BYTES} bytes"
    );
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| malformed("a text is not UTF-8"))
}

const fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed {
        kind: kind::PUBLISH,
        what,
    }
}
