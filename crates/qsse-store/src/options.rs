//! How to open a store, and what it retains.

use qsse_proto::{Epoch, Timestamp};
use qsse_topic::Pattern;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// How to open a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The epoch of what is appended from this open to the next. It must be random, because it
    /// distinguishes these events from those with the same seqs in another copy of the store. If
    /// the store already has this epoch, the next free number is used.
    pub epoch: Epoch,
    /// The wall clock at this open. An event with a later time has the time of a clock that was
    /// ahead, and counts as of the open. By default no time is later.
    pub now: Timestamp,
    /// A random number for the checksums of a store that this open creates, so that nobody can
    /// publish data that passes for a record. The default comes from the hash keys of the standard
    /// library. Set it in tests that need equal files.
    pub salt_if_new: u64,
    /// Who uses the store, for the error of a second open, such as `qsse serve, process 12`.
    pub purpose: String,
    /// The length at which a segment is closed, from 4 KiB to 1 GiB. The default is 64 MiB. Only a
    /// single longer entry exceeds it.
    pub segment_bytes: u64,
    /// How many seqs are leased at once, which is the size of the gap after an unclean end. The
    /// default is 1,048,576, and the most is 2^30.
    ///
    /// With 0, [`Store::append`](crate::Store::append) leases nothing, and there is no gap. Use
    /// this only if no seq is shown to anyone before it is synced.
    pub lease: u64,
    /// How many indexes of closed segments stay in memory. An index takes about 56 bytes for each
    /// record and 150 for each topic. The default is 16.
    pub max_cached_indexes: usize,
    /// How many floors of topics without events are remembered. The default is 65,536. Beyond that
    /// the oldest are forgotten, and a cursor below them gets a gap on any topic.
    pub max_idle_floors: usize,
    /// Most keys in [`Recovered::keys`](crate::Recovered::keys). The default is 100,000.
    pub max_keys: usize,
    /// Greatest age of a key in [`Recovered::keys`](crate::Recovered::keys), counted from the
    /// newest event. The default is 2 minutes.
    pub keys_age: Duration,
    /// Most publishers in [`Recovered::publishers`](crate::Recovered::publishers). The default is
    /// 10,000.
    pub max_publishers: usize,
    /// How long ago, counted from the newest event, a publisher in
    /// [`Recovered::publishers`](crate::Recovered::publishers) may have been active last. The
    /// default is 10 minutes.
    pub publishers_age: Duration,
}

impl Options {
    /// Creates options with the defaults and this epoch.
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

    /// Returns [`keys_age`](Self::keys_age) in microseconds.
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

/// What a store retains. Each limit applies by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Most bytes of all files together: segments, their indexes, floors, keys and publishers. The
    /// two meta files take 33 KB more. Whole segments are removed, the oldest first. The segment that is
    /// being written stays, so choose a multiple of [`Options::segment_bytes`].
    pub max_bytes: Option<u64>,
    /// Most events of all topics together.
    pub max_events: Option<u64>,
    /// The age at which an event is removed.
    pub max_age: Option<Duration>,
    /// Limits for the topics of patterns. The first rule that matches a topic applies to it, so put
    /// exceptions first.
    pub topics: Vec<TopicRetention>,
}

/// Limits for each topic that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicRetention {
    /// The pattern of the topics.
    pub pattern: Pattern,
    /// Most events of one topic.
    pub max_events: Option<u64>,
    /// Most bytes of one topic: of topic, kind and data of its events.
    pub max_bytes: Option<u64>,
    /// The age at which an event is removed.
    pub max_age: Option<Duration>,
}

impl TopicRetention {
    /// Creates a rule without limits.
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

    /// Adds a rule after the others.
    #[must_use]
    pub fn topic(mut self, rule: TopicRetention) -> Self {
        self.topics.push(rule);
        self
    }
}

/// The time by which ages are measured. It does not depend on a wall clock.
///
/// The age of an event that was appended since the open counts from the first call of
/// [`retain`](crate::Store::retain) that saw it. The age of an earlier event is the sum of its age
/// when the last event was written, by their times, of `closed` and of `since_open`. So a jump of
/// the wall clock changes no age while the store is open. After a restart it changes ages only as
/// far as the caller allows by `closed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Age {
    /// The time since the open, by a monotonic clock.
    pub since_open: Duration,
    /// The time between the last event and the open, as far as the caller believes it: the wall
    /// clock at the open minus [`Recovered::last_time`](crate::Recovered::last_time), or less if
    /// that is too long to be true. With zero nothing is removed too early.
    pub closed: Duration,
}
