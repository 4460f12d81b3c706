//! The data of an event on its way through the log.

use qsse_proto::batch::{Batch, Builder, EventRef};
use qsse_proto::limits::BATCH_BYTES;
use qsse_proto::{EventId, Kind, Timestamp};
use qsse_topic::TopicRef;

/// A large event has a batch of its own, from this many bytes of kind and data on. Four of them
/// would fill a batch, so batching gains nothing, and a batch of one event is the same for all
/// filters.
pub(crate) const LARGE: usize = BATCH_BYTES / 4;

/// Returns whether a batch is that of a large event.
pub(crate) fn is_large(batch: &Batch) -> bool {
    batch.count() == 1 && batch.bytes().len() >= LARGE
}

/// An event that has no id yet.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    pub(crate) topic: TopicRef<'a>,
    kind: &'a str,
    pub(crate) data: &'a [u8],
}

impl<'a> NewEvent<'a> {
    /// Creates an event of the default kind, `message`.
    pub fn new(topic: TopicRef<'a>, data: &'a [u8]) -> Self {
        Self {
            topic,
            kind: Kind::MESSAGE.as_str(),
            data,
        }
    }

    /// Sets the kind.
    #[must_use]
    pub fn kind(mut self, kind: &'a Kind) -> Self {
        self.kind = kind.as_str();
        self
    }

    /// Gives the event its seq and time.
    pub(crate) fn sequenced(&self, seq: u64, time: Timestamp) -> Incoming<'a> {
        Incoming {
            seq,
            time,
            topic: self.topic.as_str(),
            kind: self.kind,
            data: self.data,
        }
    }
}

/// The events of one append: `first ..= last`, without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The id of the first event.
    pub first: EventId,
    /// The id of the last event.
    pub last: EventId,
}

/// A sequenced event on its way into history and feeds.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) topic: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) data: &'a [u8],
}

impl<'a> From<EventRef<'a>> for Incoming<'a> {
    fn from(event: EventRef<'a>) -> Self {
        Self {
            seq: event.seq(),
            time: event.time(),
            topic: event.topic(),
            kind: event.kind(),
            data: event.data(),
        }
    }
}

impl Incoming<'_> {
    /// Returns whether the event may be added to this batch. An empty batch takes any event.
    pub(crate) fn fits(&self, batch: &Builder) -> bool {
        batch.would_fit(self.topic, self.kind, self.data.len()) && batch.keeps_time(self.time)
    }

    /// Returns the batch of its own of a large event, which history and feeds then share.
    pub(crate) fn large(&self) -> Option<Batch> {
        if self.kind.len() + self.data.len() < LARGE {
            return None;
        }
        let mut builder = Builder::new();
        self.push_to(&mut builder);
        Some(builder.finish())
    }

    /// Adds the event to a batch.
    pub(crate) fn push_to(&self, batch: &mut Builder) {
        batch.push(self.seq, self.time, self.topic, self.kind, self.data);
    }
}
