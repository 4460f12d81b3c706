//! Iterators over the events of a batch, and the check of a whole batch.

use super::names::Positions;
use super::read::{Head, Name, Preamble, Reading, malformed, stopped, utf8};
use crate::error::DecodeError;
use crate::event::Event;
use crate::event_id::Epoch;
use crate::frame::{self, HEADER_BYTES, kind};
use crate::kind::Kind;
use crate::limits::BATCH_BYTES;
use crate::timestamp::Timestamp;
use crate::varint::Reader;
use bytes::Bytes;
use std::iter::FusedIterator;

/// One event of a [`Batch`](super::Batch), borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef<'a> {
    seq: u64,
    time: Timestamp,
    topic: &'a str,
    topic_number: usize,
    kind: &'a str,
    data: &'a [u8],
}

impl<'a> EventRef<'a> {
    /// Returns the event's number in the log.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the time at which the server accepted the event.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the topic that the event was published on.
    pub const fn topic(&self) -> &'a str {
        self.topic
    }

    /// Returns the topic's position among [`Batch::topics`](super::Batch::topics), counted from 1.
    pub(super) const fn topic_number(&self) -> usize {
        self.topic_number
    }

    /// Returns the kind of event.
    pub const fn kind(&self) -> &'a str {
        self.kind
    }

    /// Returns the data that the publisher sent.
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }
}

/// An iterator over the borrowed events of a [`Batch`](super::Batch).
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
    seq: u64,
    time: u64,
    topics: Vec<&'a str>,
    kinds: Vec<&'a str>,
}

const CHECKED: &str = "a batch was checked when it was made";

impl<'a> Iter<'a> {
    pub(super) fn new(frame: &'a Bytes) -> Self {
        let body = &frame[HEADER_BYTES..];
        let preamble = Preamble::read(body).expect(CHECKED);
        Self {
            rest: &body[preamble.len..],
            seq: preamble.first_seq,
            time: preamble.first_time,
            topics: Vec::new(),
            kinds: Vec::new(),
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = EventRef<'a>;

    fn next(&mut self) -> Option<EventRef<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let head = Head::read(self.rest).expect(CHECKED);
        self.seq += head.seq_step;
        self.time += head.time_step;
        let topic_number = match head.topic {
            Name::Number(number) => number as usize,
            Name::New(bytes) => {
                self.topics.push(utf8(bytes).expect(CHECKED));
                self.topics.len()
            }
        };
        let kind = match head.kind {
            Name::Number(0) => Kind::MESSAGE_TEXT,
            Name::Number(number) => self.kinds[number as usize - 2],
            Name::New(bytes) => {
                let kind = utf8(bytes).expect(CHECKED);
                self.kinds.push(kind);
                kind
            }
        };
        let (data, rest) = self.rest[head.len..].split_at(head.data_len as usize);
        self.rest = rest;
        Some(EventRef {
            seq: self.seq,
            time: Timestamp::from_micros(self.time),
            topic: self.topics[topic_number - 1],
            topic_number,
            kind,
            data,
        })
    }
}

impl FusedIterator for Iter<'_> {}

/// An iterator over the events of a [`Batch`](super::Batch) that share its bytes.
#[derive(Debug)]
pub struct Events {
    body: Bytes,
    at: usize,
    epoch: Epoch,
    reading: Reading,
}

impl Events {
    pub(super) fn new(frame: Bytes, epoch: Epoch) -> Self {
        let body = frame.slice(HEADER_BYTES..);
        let preamble = Preamble::read(&body).expect(CHECKED);
        let mut reading = Reading::new();
        reading.begin(&preamble);
        Self {
            body,
            at: preamble.len,
            epoch,
            reading,
        }
    }

    fn read(&mut self) -> Result<Event, DecodeError> {
        let rest = &self.body[self.at..];
        let head = Head::read(rest).map_err(|stop| stopped(stop, self.body.len()))?;
        let data = usize::try_from(head.data_len).unwrap_or(usize::MAX);
        if data > rest.len() - head.len {
            return Err(DecodeError::Truncated {
                kind: kind::BATCH,
                offset: self.body.len(),
            });
        }
        let meta = self.reading.accept(&head)?;
        let start = self.at + head.len;
        self.at = start + data;
        let data = self.body.slice(start..self.at);
        Ok(self.reading.event(self.epoch, meta, data))
    }
}

impl Iterator for Events {
    type Item = Result<Event, DecodeError>;

    /// Returns `None` after an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.body.len() {
            return None;
        }
        let result = self.read();
        if result.is_err() {
            self.at = self.body.len();
        }
        Some(result)
    }
}

impl FusedIterator for Events {}

/// The contents of a batch that [`check`] has accepted.
pub(super) struct Contents {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) first_time: Timestamp,
    pub(super) last_time: Timestamp,
    pub(super) count: u32,
    pub(super) topics: Positions,
}

/// Checks that `frame` is exactly one batch and that every event in it is valid.
pub(super) fn check(frame: &Bytes) -> Result<Contents, DecodeError> {
    check_envelope(frame)?;
    let body = &frame[HEADER_BYTES..];
    let preamble = Preamble::read(body).map_err(|stop| stopped(stop, body.len()))?;
    let mut events = Events {
        body: frame.slice(HEADER_BYTES..),
        at: preamble.len,
        epoch: Epoch::new(0),
        reading: Reading::new(),
    };
    events.reading.begin(&preamble);

    let mut topics = Vec::new();
    let mut count = 0;
    let (mut last_seq, mut last_time) = (0, Timestamp::default());
    while events.at < events.body.len() {
        if let Some(at) = name_at(&events.body[events.at..]) {
            topics.push(position(HEADER_BYTES + events.at + at));
        }
        let event = events.read()?;
        (last_seq, last_time) = (event.id().seq(), event.time());
        count += 1;
    }
    if count > 1 && frame.len() > BATCH_BYTES {
        return Err(malformed(TOO_LONG));
    }
    let [first, others @ ..] = &topics[..] else {
        return Err(malformed(EMPTY));
    };
    Ok(Contents {
        first_seq: preamble.first_seq,
        last_seq,
        first_time: Timestamp::from_micros(preamble.first_time),
        last_time,
        count,
        topics: Positions::new(*first, others),
    })
}

/// Checks the length and the kind of a frame.
fn check_envelope(frame: &[u8]) -> Result<(), DecodeError> {
    let expected = frame::length(frame, usize::MAX)?.map(|length| length + frame::LENGTH_BYTES);
    let Some(expected) = expected.filter(|expected| frame.len() >= *expected) else {
        return Err(DecodeError::Truncated {
            kind: frame.get(frame::LENGTH_BYTES).copied().unwrap_or_default(),
            offset: frame.len().saturating_sub(HEADER_BYTES),
        });
    };
    let kind = frame[HEADER_BYTES - 1];
    if kind != kind::BATCH {
        return Err(DecodeError::misplaced(kind));
    }
    match frame.len() - expected {
        0 => Ok(()),
        bytes => Err(DecodeError::Leftover { kind, bytes }),
    }
}

/// `QP-6.6`
pub(crate) const TOO_LONG: &str = "a batch of several events is longer than 64 KiB";
/// `QP-6.1`
pub(crate) const EMPTY: &str = "a batch has no event";

/// Returns the position of the topic's length byte, if this event writes its topic in full.
fn name_at(event: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(event);
    let _steps = (reader.varint().ok()?, reader.varint().ok()?);
    let number = reader.varint().ok()?;
    (number == 0).then(|| event.len() - reader.rest.len())
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
