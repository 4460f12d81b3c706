//! [`Publish`]: one event, or one for each topic that matches.

use super::key::{Key, Retry};
use crate::error::DecodeError;
use crate::event_id::Epoch;
use crate::frame::{self, HEADER_BYTES, kind};
use crate::kind::Kind;
use crate::limits::{KEY_BYTES, KIND_BYTES, TOPIC_BYTES};
use crate::varint::{self, Reader, Stop};
use bytes::{Bytes, BytesMut};

/// One publish (`QP-8.2`).
///
/// ```text
/// 0x31 | flags u8 | length u8, topic | length u8, kind | key | retry | data to the end |
///
/// flags: bit 0: the topic is a pattern, and every topic that it matches is meant
///        bit 1: there is a key: length u8, 1 to 64 bytes
///        bit 2: there is a retry: epoch v, milliseconds since the first attempt v
/// kind:  length 0 is "message"
/// ```
///
/// Texts and data share the frame's bytes. The topic may be any text of 1 to 255 bytes here; the
/// server checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    matching: bool,
    topic: Bytes,
    kind: Bytes,
    key: Option<Key>,
    retry: Option<Retry>,
    data: Bytes,
}

const MATCHING: u8 = 1;
const KEYED: u8 = 2;
const RETRY: u8 = 4;

/// The most bytes that key and retry take.
const KEYED_BYTES: usize = 1 + KEY_BYTES + 2 * varint::MAX;

const CHECKED: &str = "texts are checked when a publish is made";

impl Publish {
    /// Creates a publish of `data` on `topic`, or, if `matching`, on all topics of a pattern.
    ///
    /// # Panics
    /// `topic` is empty or longer than 255 bytes.
    pub fn new(matching: bool, topic: &str, kind: &Kind, data: Bytes) -> Self {
        assert_topic(topic);
        Self {
            matching,
            topic: Bytes::copy_from_slice(topic.as_bytes()),
            kind: Bytes::copy_from_slice(kind.as_str().as_bytes()),
            key: None,
            retry: None,
            data,
        }
    }

    /// Sets the key, and the retry mark if it was sent before.
    #[must_use]
    pub fn keyed(mut self, key: Key, retry: Option<Retry>) -> Self {
        (self.key, self.retry) = (Some(key), retry);
        self
    }

    /// Returns whether the topic is a pattern that stands for every topic that it matches.
    pub const fn is_matching(&self) -> bool {
        self.matching
    }

    /// Returns the topic or pattern. Only its length has been checked.
    pub fn topic(&self) -> &str {
        std::str::from_utf8(&self.topic).expect(CHECKED)
    }

    /// Returns the kind, which is valid.
    pub fn kind(&self) -> &str {
        std::str::from_utf8(&self.kind).expect(CHECKED)
    }

    /// Returns the key. It shares the frame's bytes; copy it to store it.
    pub const fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// Returns the retry mark, if it was sent before.
    pub const fn retry(&self) -> Option<Retry> {
        self.retry
    }

    /// Returns the data.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// Returns the whole frame, as it is sent.
    pub fn encode(&self) -> Bytes {
        let length = HEADER_BYTES + 3 + self.topic.len() + self.kind.len() + self.data.len();
        let mut out = BytesMut::with_capacity(length);
        let (topic, kind) = (self.topic(), self.kind());
        match &self.key {
            None => write(&mut out, self.matching, topic, kind, &self.data),
            Some(key) => {
                let (matching, data) = (self.matching, &self.data);
                write_keyed(&mut out, matching, topic, kind, (key, self.retry), data);
            }
        }
        out.freeze()
    }

    /// Decodes the body of a frame.
    pub(super) fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        let short = |_: Stop| DecodeError::Truncated {
            kind: kind::PUBLISH,
            offset: body.len(),
        };
        let mut reader = Reader::new(body);
        let mut fields = || Ok((reader.byte()?, reader.short_bytes()?, reader.short_bytes()?));
        let (flags, topic, kind) = fields().map_err(short)?;
        check_flags(flags)?;
        let (key, retry) = match flags & (KEYED | RETRY) {
            0 => (None, None),
            // QP-8.12
            RETRY => return Err(malformed("a retry without a key")),
            keyed => {
                let key = reader.short_bytes().map_err(short)?;
                // QP-8.11
                let key = Key::new(body.slice_ref(key));
                let key = key.map_err(|_| malformed("a key does not have 1 to 64 bytes"))?;
                let retry = (keyed & RETRY != 0).then(|| retry(&mut reader));
                (Some(key), retry.transpose()?)
            }
        };
        check_topic(topic)?;
        if !kind.is_empty() {
            crate::kind::check(text(kind)?)?;
        }
        Ok(Self {
            matching: is_matching(flags),
            topic: body.slice_ref(topic),
            kind: if kind.is_empty() {
                Bytes::from_static(Kind::MESSAGE_TEXT.as_bytes())
            } else {
                body.slice_ref(kind)
            },
            key,
            retry,
            data: body.slice_ref(reader.rest),
        })
    }
}

/// Appends a publish to `out`, so that one buffer can take many.
///
/// # Panics
/// `topic` is empty or longer than 255 bytes, or `kind` is empty or longer than 64.
pub fn write(out: &mut BytesMut, matching: bool, topic: &str, kind: &str, data: &[u8]) {
    let flags = u8::from(matching) * MATCHING;
    out.reserve(HEADER_BYTES + 3 + topic.len() + kind.len() + data.len());
    frame::write(kind::PUBLISH, out, |out| {
        put_names(out, flags, topic, kind);
        out.extend_from_slice(data);
    });
}

/// Does the same as [`write`](fn@write), with a key, and a retry mark if this is not the first
/// attempt.
///
/// # Panics
/// Those of `write`.
pub fn write_keyed(
    out: &mut BytesMut,
    matching: bool,
    topic: &str,
    kind: &str,
    (key, retry): (&Key, Option<Retry>),
    data: &[u8],
) {
    let marks = if retry.is_some() {
        KEYED | RETRY
    } else {
        KEYED
    };
    let flags = marks | if matching { MATCHING } else { 0 };
    out.reserve(HEADER_BYTES + 3 + topic.len() + kind.len() + KEYED_BYTES + data.len());
    frame::write(kind::PUBLISH, out, |out| {
        put_names(out, flags, topic, kind);
        let key = key.as_bytes();
        out.extend_from_slice(&[key.len() as u8]);
        out.extend_from_slice(key);
        if let Some(Retry { epoch, ago_ms }) = retry {
            let (mut numbers, mut end) = ([0; 2 * varint::MAX], 0);
            varint::put(&mut numbers, &mut end, epoch.get());
            varint::put(&mut numbers, &mut end, ago_ms);
            out.extend_from_slice(&numbers[..end]);
        }
        out.extend_from_slice(data);
    });
}

fn put_names(out: &mut BytesMut, flags: u8, topic: &str, kind: &str) {
    assert_topic(topic);
    assert!(
        (1..=KIND_BYTES).contains(&kind.len()),
        "a kind has 1 to {KIND_BYTES} bytes"
    );
    let kind = if kind == Kind::MESSAGE_TEXT { "" } else { kind };
    out.extend_from_slice(&[flags, topic.len() as u8]);
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(&[kind.len() as u8]);
    out.extend_from_slice(kind.as_bytes());
}

fn retry(reader: &mut Reader<'_>) -> Result<Retry, DecodeError> {
    let mut number = || {
        reader.varint().map_err(|stop| match stop {
            Stop::Short => malformed("a retry ends too early"),
            Stop::Overflow => malformed("a number does not fit"),
        })
    };
    Ok(Retry {
        epoch: Epoch::new(number()?),
        ago_ms: number()?,
    })
}

/// Checks that each flag is known (QP-8.2).
pub(super) fn check_flags(flags: u8) -> Result<(), DecodeError> {
    if flags & !(MATCHING | KEYED | RETRY) != 0 {
        return Err(malformed("a flag is not known"));
    }
    Ok(())
}

pub(super) const fn is_matching(flags: u8) -> bool {
    flags & MATCHING != 0
}

/// Checks that a topic is a text and not empty (QP-8.2).
pub(super) fn check_topic(topic: &[u8]) -> Result<&str, DecodeError> {
    if topic.is_empty() {
        return Err(malformed("the topic is empty"));
    }
    text(topic)
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
