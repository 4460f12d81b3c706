//! Events as they are kept and sent: one frame with one or more of them, in seq order.
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
//! `v` is a number of variable length. Times are microseconds since 1970; the steps of the first event
//! are 0. A later event costs about six bytes beside its data. See `QP-6.1` and the clauses after it.

mod builder;
mod events;
mod names;
mod read;
mod written;

use crate::error::DecodeError;
use crate::event_id::Epoch;
use crate::frame::kind;
use crate::timestamp::Timestamp;
use bytes::Bytes;
use names::Positions;
use std::fmt;

pub use builder::Builder;
pub use events::{EventRef, Events, Iter};
pub use names::Topics;

pub(crate) use events::{EMPTY, TOO_LONG};
pub(crate) use read::{Head, Place, Preamble, Reading, stopped};

/// One or more events as a frame: what a log keeps, what feeds share and what goes on the wire.
///
/// It says everything itself and needs nothing from before it. A clone shares the bytes.
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
    /// Reads a whole frame and checks all of it, as for one that comes from a file.
    ///
    /// # Errors
    /// Anything in it that a [`stream::Decoder`](crate::stream::Decoder) would not take, and bytes
    /// after the frame.
    pub fn decode(frame: Bytes) -> Result<Self, DecodeError> {
        events::check(frame)
    }

    /// The whole frame, as it goes on the wire.
    #[inline]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The seq of its first event.
    #[inline]
    pub const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The seq of its last event.
    #[inline]
    pub const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The time of its first event.
    pub const fn first_time(&self) -> Timestamp {
        self.first_time
    }

    /// The time of its last event, the latest of all.
    pub const fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// How many events it has, at least one.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes of memory it keeps: what limits on memory should count, instead of lengths.
    pub const fn allocated(&self) -> usize {
        self.allocated as usize
    }

    /// The names of its topics in the order of their first use, each at least once.
    ///
    /// The places are noted while the batch is built: asking costs nothing for each event. A batch
    /// with very many topics may name one again.
    pub fn topics(&self) -> Topics<'_> {
        Topics::new(&self.bytes, &self.topics)
    }

    /// The batch without the events on topics that `keep` refuses; `None` if that is all of them.
    ///
    /// `keep` is asked once for each name in [`topics`](Batch::topics), not for each event. If it keeps
    /// all of them the bytes are shared, otherwise what is left is encoded anew.
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

    /// The batch without the events up to and including `seq`; `None` if that is all of them.
    ///
    /// If nothing is to go the bytes are shared, otherwise what is left is encoded anew.
    pub fn after(&self, seq: u64) -> Option<Self> {
        if seq < self.first_seq {
            return Some(self.clone());
        }
        if seq >= self.last_seq {
            return None;
        }
        self.select(|event| event.seq() > seq)
    }

    /// The batch without the events that `keep` refuses; `None` if that is all of them.
    ///
    /// If it keeps all of them the bytes are shared, otherwise what is left is encoded anew.
    pub fn filter(&self, mut keep: impl FnMut(&EventRef<'_>) -> bool) -> Option<Self> {
        if self.iter().all(|event| keep(&event)) {
            return Some(self.clone());
        }
        self.select(keep)
    }

    /// Its events, borrowed from its bytes.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.bytes)
    }

    /// Its events, with ids in `epoch` and data that shares the batch's bytes.
    ///
    /// An item is an error only where a [`Builder`] was given a name that is no topic or no kind.
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

/// The same bytes: all else follows from them.
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

/// An error about the body of a batch.
pub(crate) const fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed {
        kind: kind::BATCH,
        what,
    }
}
