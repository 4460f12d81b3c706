//! What a store is told when it is opened, and what it shall keep.

use qsse_proto::{Epoch, Timestamp};
use qsse_topic::Pattern;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// How to open a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The epoch of what is appended from this open to the next. It must be random: what tells these events from those that
    /// another copy of the store has under the same seqs. One that the store had before is counted up.
    pub epoch: Epoch,
    /// The wall clock at this open. An event of a later time was stamped by a clock that was ahead, and is as old as the
    /// open. By default no time is.
    pub now: Timestamp,
    /// A random number that goes into every checksum of a store made by this open, so that nobody can
    /// publish data that is later mistaken for a record. From the standard library's hash keys by
    /// default; tests that want equal files set it.
    pub salt_if_new: u64,
    /// What a second one that wants to open the directory is told, such as `qsse serve, process 12`.
    pub purpose: String,
    /// A segment is closed when it has grown to this many bytes. Default 64 MiB, at least 4 KiB, at
    /// most 1 GiB. Only a single entry that is longer goes past it.
    pub segment_bytes: u64,
    /// How many seqs are leased ahead at once: the size of the gap after an unclean end. Default
    /// 1,048,576, at most 2^30.
    ///
    /// With 0, [`Store::append`](crate::Store::append) leases nothing, and there is no gap: for those who tell a
    /// seq to nobody before it is synced.
    pub lease: u64,
    /// Indexes of closed segments kept in memory, each about 56 bytes for a record and 150 for a
    /// topic. Default 16.
    pub max_cached_indexes: usize,
    /// Floors kept for topics that have no event any more. Default 65,536. Beyond it the oldest are
    /// forgotten, and a cursor below those meets a gap on any topic.
    pub max_idle_floors: usize,
    /// Most keys told by [`Recovered::keys`](crate::Recovered::keys). Default 100,000.
    pub max_keys: usize,
    /// The age of the oldest key told, counted from the newest event. Default 2 minutes.
    pub keys_age: Duration,
    /// Most publishers whose numbers are told by [`Recovered::publishers`](crate::Recovered::publishers). Default 10,000.
    pub max_publishers: usize,
    /// How long ago, counted from the newest event, a publisher that is told may have been active last. Default 10 minutes.
    pub publishers_age: Duration,
}

impl Options {
    /// The defaults, with the epoch of this open.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            now: Timestamp::from_micros(u64::MAX),
            salt_if_new: RandomState::new().build_hasher().finish(),
            purpose: "another program".to_owned(),
            segment_bytes: 64 << 20,
            lease: 1 << 20,
            max_cached_indexes: 16,
            max_idle_floors: 65_536,
            max_keys: 100_000,
            keys_age: Duration::from_secs(120),
            max_publishers: 10_000,
            publishers_age: Duration::from_secs(600),
        }
    }

    /// Sets [`epoch`](Self::epoch).
    #[must_use]
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = epoch;
        self
    }

    /// Sets [`now`](Self::now).
    #[must_use]
    pub fn now(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// Sets [`salt_if_new`](Self::salt_if_new).
    #[must_use]
    pub fn salt_if_new(mut self, salt: u64) -> Self {
        self.salt_if_new = salt;
        self
    }

    /// Sets [`purpose`](Self::purpose).
    #[must_use]
    pub fn purpose(mut self, purpose: impl Into<String>) -> Self {
        self.purpose = purpose.into();
        self
    }

    /// Sets [`segment_bytes`](Self::segment_bytes).
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Sets [`lease`](Self::lease).
    #[must_use]
    pub fn lease(mut self, seqs: u64) -> Self {
        self.lease = seqs;
        self
    }

    /// Sets [`max_cached_indexes`](Self::max_cached_indexes).
    #[must_use]
    pub fn max_cached_indexes(mut self, indexes: usize) -> Self {
        self.max_cached_indexes = indexes;
        self
    }

    /// Sets [`max_idle_floors`](Self::max_idle_floors).
    #[must_use]
    pub fn max_idle_floors(mut self, floors: usize) -> Self {
        self.max_idle_floors = floors;
        self
    }

    /// Sets [`max_keys`](Self::max_keys) and [`keys_age`](Self::keys_age).
    #[must_use]
    pub fn keys(mut self, max: usize, age: Duration) -> Self {
        (self.max_keys, self.keys_age) = (max, age);
        self
    }

    /// Sets [`max_publishers`](Self::max_publishers) and [`publishers_age`](Self::publishers_age).
    #[must_use]
    pub fn publishers(mut self, max: usize, age: Duration) -> Self {
        (self.max_publishers, self.publishers_age) = (max, age);
        self
    }

    /// [`keys_age`](Self::keys_age) in microseconds, as times are.
    pub(crate) fn keys_age_micros(&self) -> u64 {
        u64::try_from(self.keys_age.as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn checked(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.clamp(4 << 10, 1 << 30);
        self.lease = self.lease.min(1 << 30);
        self.max_cached_indexes = self.max_cached_indexes.max(1);
        self
    }
}

/// What a store keeps. Each limit that is set holds by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Most bytes of all files together: segments, their indexes, floors and keys; the two meta files have 33 KB beside. Whole segments go, the oldest
    /// first; the one that is written to stays, so make this several times [`Options::segment_bytes`].
    pub max_bytes: Option<u64>,
    /// Most events of all topics together.
    pub max_events: Option<u64>,
    /// Greatest age of an event.
    pub max_age: Option<Duration>,
    /// Limits for each single topic that a pattern matches. The first rule that matches a topic counts
    /// for it, so exceptions stand before what they are exceptions of.
    pub topics: Vec<TopicRetention>,
}

/// Limits for each topic that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicRetention {
    /// Which topics.
    pub pattern: Pattern,
    /// Most events of one topic.
    pub max_events: Option<u64>,
    /// Most bytes of one topic: of topic, kind and data of its events.
    pub max_bytes: Option<u64>,
    /// Greatest age of an event.
    pub max_age: Option<Duration>,
}

impl TopicRetention {
    /// A rule without limits yet.
    pub fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            max_events: None,
            max_bytes: None,
            max_age: None,
        }
    }

    /// Sets [`max_events`](Self::max_events).
    #[must_use]
    pub fn max_events(mut self, events: u64) -> Self {
        self.max_events = Some(events);
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets [`max_age`](Self::max_age).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }
}

impl Retention {
    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets [`max_events`](Self::max_events).
    #[must_use]
    pub fn max_events(mut self, events: u64) -> Self {
        self.max_events = Some(events);
        self
    }

    /// Sets [`max_age`](Self::max_age).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Adds a rule behind the others.
    #[must_use]
    pub fn topic(mut self, rule: TopicRetention) -> Self {
        self.topics.push(rule);
        self
    }
}

/// The time that ages are measured by. No wall clock is in it.
///
/// An event appended since the store was opened is as old as the first call of
/// [`retain`](crate::Store::retain) that saw it. One from before is as old as it was when the last
/// event was written, by their times, and `closed`, and `since_open` together. So a wall clock that
/// jumps changes no age while the store is open, and after a restart only as far as the caller lets it
/// by `closed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Age {
    /// How long the store has been open, by a monotonic clock.
    pub since_open: Duration,
    /// How long before the open the last event was written, as far as the caller believes it: the wall
    /// clock then minus [`Recovered::last_time`](crate::Recovered::last_time), or less where that is
    /// too long to be true. Zero never wipes anything early.
    pub closed: Duration,
}
