//! Reads the events of a batch one by one: what precedes their data, and its meaning.

use crate::error::DecodeError;
use crate::event::{Event, LentEvent};
use crate::event_id::{Epoch, EventId};
use crate::frame::kind;
use crate::intern::Interner;
use crate::kind::Kind;
use crate::timestamp::Timestamp;
use crate::varint::{Reader, Stop};
use bytes::Bytes;
use qsse_topic::Topic;

/// What precedes the first event of a batch.
pub(crate) struct Preamble {
    pub(crate) first_seq: u64,
    pub(crate) first_time: u64,
    /// The length of the preamble.
    pub(crate) len: usize,
}

impl Preamble {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Stop> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            first_seq: reader.varint()?,
            first_time: reader.varint()?,
            len: bytes.len() - reader.rest.len(),
        })
    }
}

/// A name: in full at its first use in a batch, later by number.
#[derive(Clone, Copy)]
pub(crate) enum Name<'a> {
    New(&'a [u8]),
    Number(u64),
}

/// What precedes the data of an event, as it is encoded.
pub(crate) struct Head<'a> {
    pub(crate) seq_step: u64,
    pub(crate) time_step: u64,
    pub(crate) topic: Name<'a>,
    /// Number 0 is `message`.
    pub(crate) kind: Name<'a>,
    pub(crate) data_len: u64,
    /// The length of the head.
    pub(crate) len: usize,
}

impl<'a> Head<'a> {
    /// The largest length: five numbers and two names.
    pub(crate) const MAX: usize = 5 * crate::varint::MAX + 2 * (1 + 255);

    #[inline]
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Stop> {
        let mut reader = Reader::new(bytes);
        let seq_step = reader.varint()?;
        let time_step = reader.varint()?;
        let topic = match reader.varint()? {
            0 => Name::New(reader.short_bytes()?),
            number => Name::Number(number),
        };
        let kind = match reader.varint()? {
            1 => Name::New(reader.short_bytes()?),
            number => Name::Number(number),
        };
        Ok(Self {
            seq_step,
            time_step,
            topic,
            kind,
            data_len: reader.varint()?,
            len: bytes.len() - reader.rest.len(),
        })
    }
}

/// Returns an error about the body of a batch.
pub(crate) const fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed {
        kind: kind::BATCH,
        what,
    }
}

/// Returns the error for a head that cannot be read although its frame is complete.
#[cold]
pub(crate) fn stopped(stop: Stop, offset: usize) -> DecodeError {
    match stop {
        Stop::Short => DecodeError::Truncated {
            kind: kind::BATCH,
            offset,
        },
        Stop::Overflow => malformed("a number does not fit"),
    }
}

/// An event without its data, with its names as indexes into the batch's [`Reading`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventMeta {
    pub(crate) seq: u64,
    pub(crate) time: u64,
    topic: usize,
    kind: Option<usize>,
}

/// What an event of a batch needs to know of the events before it. Topics and kinds of earlier
/// batches are found again without an allocation.
#[derive(Debug)]
pub(crate) struct Reading {
    seq: u64,
    time: u64,
    first: bool,
    topics: Vec<Topic>,
    kinds: Vec<Kind>,
    known_topics: Interner<Topic>,
    known_kinds: Interner<Kind>,
}

/// How many topics are remembered across batches. They take at most about 280 KiB.
const KNOWN_TOPICS: usize = 1024;
const KNOWN_KINDS: usize = 64;

impl Reading {
    pub(crate) const fn new() -> Self {
        Self {
            seq: 0,
            time: 0,
            first: false,
            topics: Vec::new(),
            kinds: Vec::new(),
            known_topics: Interner::new(KNOWN_TOPICS),
            known_kinds: Interner::new(KNOWN_KINDS),
        }
    }

    /// Starts a batch: its names and steps begin anew (`QP-6.2`).
    #[inline]
    pub(crate) fn begin(&mut self, preamble: &Preamble) {
        self.seq = preamble.first_seq;
        self.time = preamble.first_time;
        self.first = true;
        self.topics.clear();
        self.kinds.clear();
    }

    /// Returns whether no event of the batch has been read yet.
    #[inline]
    pub(crate) const fn at_first(&self) -> bool {
        self.first
    }

    /// Advances to the event that starts with `head`. After an error the state is unchanged.
    #[inline]
    pub(crate) fn accept(&mut self, head: &Head<'_>) -> Result<EventMeta, DecodeError> {
        // QP-6.3: the first event has no steps, and the seqs of a batch rise.
        if (head.seq_step == 0) != self.first || (self.first && head.time_step != 0) {
            return Err(malformed("a step from event to event is wrong"));
        }
        let (Some(seq), Some(time)) = (
            self.seq.checked_add(head.seq_step),
            self.time.checked_add(head.time_step),
        ) else {
            return Err(malformed("a step leads out of range"));
        };
        let topic = self.topic(head.topic)?;
        let kind = self.kind(head.kind)?;
        self.first = false;
        self.seq = seq;
        self.time = time;
        Ok(EventMeta {
            seq,
            time,
            topic,
            kind,
        })
    }

    /// Returns the event of `meta`, which must belong to the current batch.
    #[inline]
    pub(crate) fn event(&self, epoch: Epoch, meta: EventMeta, data: Bytes) -> Event {
        Event::new(
            EventId::new(epoch, meta.seq),
            self.topics[meta.topic].clone(),
            meta.kind.map_or(Kind::MESSAGE, |at| self.kinds[at].clone()),
            Timestamp::from_micros(meta.time),
            data,
        )
    }

    /// Does the same as [`event`](Self::event), borrowed.
    #[inline]
    pub(crate) fn lend<'a>(
        &'a self,
        epoch: Epoch,
        meta: &EventMeta,
        data: &'a [u8],
    ) -> LentEvent<'a> {
        LentEvent::new(
            EventId::new(epoch, meta.seq),
            &self.topics[meta.topic],
            (meta.kind).map_or(&Kind::MESSAGE, |at| &self.kinds[at]),
            Timestamp::from_micros(meta.time),
            data,
        )
    }

    #[inline]
    fn topic(&mut self, name: Name<'_>) -> Result<usize, DecodeError> {
        match name {
            // QP-6.4: numbers count from 1. 0 means a new name and is not passed here.
            Name::Number(number) => given_out(number - 1, self.topics.len())
                .ok_or(malformed("a topic number was not given out")),
            Name::New(bytes) => self.new_topic(bytes),
        }
    }

    fn new_topic(&mut self, bytes: &[u8]) -> Result<usize, DecodeError> {
        let topic = self.known_topics.get(bytes, |bytes| {
            let text = utf8(bytes)?;
            Topic::new(text).map_err(DecodeError::from)
        })?;
        self.topics.push(topic);
        Ok(self.topics.len() - 1)
    }

    #[inline]
    fn kind(&mut self, name: Name<'_>) -> Result<Option<usize>, DecodeError> {
        match name {
            Name::Number(0) => Ok(None),
            // QP-6.5: numbers count from 2. 1 means a new name and is not passed here.
            Name::Number(number) => given_out(number - 2, self.kinds.len())
                .ok_or(malformed("a kind number was not given out"))
                .map(Some),
            Name::New(bytes) => self.new_kind(bytes).map(Some),
        }
    }

    fn new_kind(&mut self, bytes: &[u8]) -> Result<usize, DecodeError> {
        let kind = self.known_kinds.get(bytes, |bytes| {
            let text = utf8(bytes)?;
            Kind::new(text).map_err(DecodeError::from)
        })?;
        self.kinds.push(kind);
        Ok(self.kinds.len() - 1)
    }
}

/// Returns `number` as an index, if it is below `count`.
#[inline]
fn given_out(number: u64, count: usize) -> Option<usize> {
    usize::try_from(number).ok().filter(|at| *at < count)
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| malformed("a name is not UTF-8"))
}
