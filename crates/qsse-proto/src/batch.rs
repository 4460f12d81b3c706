//! Batches: one or more events in one frame, in seq order, as they are stored and sent.
//!
//! ```text
//! length u32 LE | 0x21 | first seq v | first time v | event | event | ...
//!
//! event: | seq step v | time step v | topic | kind | data length v | data |
//! topic: 0 v, length u8, name   a topic that gets the next number, from 1
//!        n v                    topic number n of this batch
//! kind:  0 v                    "message"
//!        1 v, length u8, name   a kind that gets the next number, from 2
//!        n v                    kind number n of this batch
//! ```
//!
//! `v` is a number of variable length. Times are microseconds since 1970. The steps of the first
//! event are 0. A later event costs about six bytes beside its data. See `QP-6.1` and the clauses
//! after it.

mod builder;
mod events;
mod name_table;
mod names;
mod read;

use crate::error::DecodeError;
use crate::event_id::Epoch;
use crate::timestamp::Timestamp;
use bytes::Bytes;
use names::Positions;
use std::fmt;

pub use builder::Builder;
pub use events::{EventRef, Events, Iter};
pub use names::Topics;

pub(crate) use events::{EMPTY, TOO_LONG};
pub(crate) use read::{EventMeta, Head, Preamble, Reading, malformed, stopped};

/// One or more events as a frame: what a log stores, feeds share and a stream carries.
///
/// A batch is complete in itself; it does not depend on earlier ones. A clone shares the bytes.
///
/// ```
/// use qsse_proto::batch::Builder;
/// use qsse_proto::Timestamp;
///
/// let mut builder = Builder::new();
/// let time = Timestamp::from_micros(1);
/// builder.push(1, time, "ride.7", "message", b"one");
/// builder.push(2, time, "secret", "message", b"two");
/// let batch = builder.finish();
/// assert_eq!(batch.topics().collect::<Vec<_>>(), ["ride.7", "secret"]);
///
/// let allowed = batch.retain(|topic| topic != "secret").expect("one is left");
/// assert_eq!((allowed.count(), allowed.last_seq()), (1, 1));
/// ```
#[derive(Clone)]
pub struct Batch {
    bytes: Bytes,
    first_seq: u64,
    last_seq: u64,
    first_time: Timestamp,
    last_time: Timestamp,
    count: u32,
    allocated: u32,
    topics: Positions,
}

impl Batch {
    /// Decodes a whole frame and checks all of it, as for a frame from a file.
    ///
    /// # Errors
    /// The frame contains something that a [`stream::Decoder`](crate::stream::Decoder) would
    /// reject, or bytes follow it.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        let contents = events::check(&frame)?;
        Ok(Self {
            first_seq: contents.first_seq,
            last_seq: contents.last_seq,
            first_time: contents.first_time,
            last_time: contents.last_time,
            count: contents.count,
            allocated: clamped(frame.len() + contents.topics.allocated()),
            topics: contents.topics,
            bytes: frame,
        })
    }

    /// Returns the whole frame, as it is sent.
    #[inline]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the seq of the first event.
    #[inline]
    pub const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Returns the seq of the last event.
    #[inline]
    pub const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Returns the time of the first event.
    pub const fn first_time(&self) -> Timestamp {
        self.first_time
    }

    /// Returns the time of the last event, which is the latest.
    pub const fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// Returns the number of events, at least one.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Returns how many bytes of memory the batch holds. Limits on memory should count these, not
    /// lengths.
    pub const fn allocated(&self) -> usize {
        self.allocated as usize
    }

    /// Returns the names of the topics in the order of their first use, each at least once.
    ///
    /// Their positions are recorded while the batch is built, so this does not read the events. A
    /// batch with very many topics may repeat a name.
    pub fn topics(&self) -> Topics<'_> {
        Topics::new(&self.bytes, &self.topics)
    }

    /// Returns the batch without the events on topics that `keep` rejects; `None` if it rejects
    /// all.
    ///
    /// `keep` is called once for each name in [`topics`](Batch::topics), not for each event. If it
    /// accepts all, the bytes are shared; otherwise the remaining events are encoded again.
    pub fn retain(&self, keep: impl FnMut(&str) -> bool) -> Option<Self> {
        let verdicts: Vec<bool> = self.topics().map(keep).collect();
        if verdicts.iter().all(|&kept| kept) {
            return Some(self.clone());
        }
        if !verdicts.contains(&true) {
            return None;
        }
        self.select(|event| verdicts[event.topic_number() - 1])
    }

    /// Returns the batch with the first `bytes` bytes of each topic's name removed. The events are
    /// encoded again. A name that would not be left with a character stays whole.
    #[must_use]
    pub fn without_prefix(&self, bytes: usize) -> Self {
        let mut builder = Builder::with_capacity(self.bytes.len());
        for event in self {
            let (name, kind) = (event.topic(), event.kind());
            let name = name
                .get(bytes..)
                .filter(|rest| !rest.is_empty())
                .unwrap_or(name);
            builder.push(event.seq(), event.time(), name, kind, event.data());
        }
        builder.finish()
    }

    /// Returns the batch without the events up to and including `seq`; `None` if none is left.
    ///
    /// If no event is removed, the bytes are shared; otherwise the remaining events are encoded
    /// again.
    pub fn after(&self, seq: u64) -> Option<Self> {
        if seq < self.first_seq {
            return Some(self.clone());
        }
        if seq >= self.last_seq {
            return None;
        }
        self.select(|event| event.seq() > seq)
    }

    /// Returns the batch without the events that `keep` rejects; `None` if it rejects all.
    ///
    /// If it accepts all, the bytes are shared; otherwise the remaining events are encoded again.
    pub fn filter(&self, mut keep: impl FnMut(&EventRef<'_>) -> bool) -> Option<Self> {
        if self.iter().all(|event| keep(&event)) {
            return Some(self.clone());
        }
        self.select(keep)
    }

    /// Attaches `guard` to the bytes of the batch: it is dropped together with the last clone of
    /// the bytes or of a part of them, such as what a stream has not sent yet.
    #[must_use]
    pub fn guarded(mut self, guard: impl Send + 'static) -> Self {
        let bytes = self.bytes;
        self.bytes = Bytes::from_owner(Guarded { bytes, guard });
        self
    }

    /// Returns an iterator over the events, borrowed from the batch's bytes.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.bytes)
    }

    /// Returns an iterator over the events, with ids in `epoch`. Their data shares the batch's
    /// bytes.
    ///
    /// An item is an error only if a [`Builder`] was given an invalid topic or kind.
    pub fn events(&self, epoch: Epoch) -> Events {
        Events::new(self.bytes.clone(), epoch)
    }

    fn select(&self, mut keep: impl FnMut(&EventRef<'_>) -> bool) -> Option<Self> {
        let mut builder = Builder::with_capacity(self.bytes.len());
        for event in self.iter().filter(|event| keep(event)) {
            builder.push(
                event.seq(),
                event.time(),
                event.topic(),
                event.kind(),
                event.data(),
            );
        }
        (!builder.is_empty()).then(|| builder.finish())
    }
}

/// Bytes with something that lives as long as they do.
struct Guarded<G> {
    bytes: Bytes,
    #[expect(dead_code, reason = "only its drop matters")]
    guard: G,
}

impl<G> AsRef<[u8]> for Guarded<G> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Batches are equal if their bytes are; everything else follows from them.
impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Batch {}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("seqs", &(self.first_seq..=self.last_seq))
            .field("count", &self.count)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = EventRef<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

fn clamped(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
