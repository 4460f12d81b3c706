//! [`Config`]: the limits and windows of a log.

use std::time::Duration;

use qsse_proto::limits::SettingError;
use qsse_topic::Pattern;
use serde::{Deserialize, Serialize};

/// The limits of a [`Log`](crate::Log), in allocated bytes.
///
/// ```
/// let config = qsse_log::Config::default().history_events(10_000).history_bytes(8 << 20);
/// assert_eq!(config.history_events, 10_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Most bytes of everything that is counted: history, feeds, topics, what waits to be stored,
    /// batches that readers hold, and what [`Log::budget`](crate::Log::budget) is charged with: a
    /// server charges 40 KiB for each connection. At least 16 MiB, below which the other limits
    /// leave no room. By default there is no limit: a library cannot know how much of the machine
    /// it may use.
    pub memory_bytes: Option<usize>,
    /// Most bytes of history. The default is 256 MiB; with 0 there is no history. The history is
    /// freed in segments of a sixteenth of this, from 4 KiB to 1 MiB. The table of topics counts
    /// too, apart from its first 16 MiB: the names of topics can take more memory than events.
    pub history_bytes: usize,
    /// Most events of history. The default is `u64::MAX`: only bytes and age count.
    pub history_events: u64,
    /// The age at which an event is removed from the history, by the monotonic clock. There is no
    /// default limit.
    #[serde(with = "qsse_proto::human_duration::optional")]
    pub history_age: Option<Duration>,
    /// Limits for the topics of patterns, within the limits above. The first rule whose pattern
    /// matches a topic applies to it. By default there are none.
    pub retention: Vec<TopicRetention>,
    /// Most topics that are known, at least 1. The default is 1,000,000: each takes about 300
    /// bytes, and a long name more. Topics without retained events are forgotten first; beyond
    /// that, a publish to a new topic is refused.
    pub max_topics: usize,
    /// Most topics that one [`Owner`](crate::Owner) has added and that are still known, at least 1.
    /// The default is 100,000: a tenth, so that one publisher cannot use up all of them.
    pub max_topics_per_owner: usize,
    /// Most bytes of one feed: a reader that is further behind reads the history. The default is 4
    /// MiB.
    pub feed_bytes: usize,
    /// Most bytes of all feeds together, apart from the minimum of each. The default is 64 MiB.
    /// Beyond that, feeds without readers lose everything first, and then those with more than an
    /// even share lose the rest.
    pub feeds_bytes: usize,
    /// The bytes of each feed that others cannot take, however many there are. The default is 8
    /// KiB: a subscriber is not pushed out of its feed for the moment that it needs to be woken,
    /// and 32,768 feeds take at most 256 MiB.
    pub feed_min_bytes: usize,
    /// Most feeds, that is distinct filters, at least 1. The default is 32,768: some for each of
    /// 10,000 connections. Beyond that, those without readers are dropped, and then new filters are
    /// refused.
    pub max_feeds: usize,
    /// Most bytes of the patterns of all feeds, at least 1 MiB. The default is 64 MiB: a pattern takes 200 bytes to
    /// 2 KiB, and each feed about 1 KiB. Beyond half of it, feeds without readers are dropped at
    /// once. Beyond the whole, new filters are refused.
    pub filters_bytes: usize,
    /// How long a feed without readers stays for the next reader. The default is 10 s.
    #[serde(with = "qsse_proto::human_duration")]
    pub feed_idle: Duration,
    /// Most bytes of data in one event, from 1 byte to 64 MiB. The default is 1 MiB.
    pub max_event_bytes: usize,
    /// What the acknowledgement of a publish means. The default is `synced`. Without a storage, all
    /// events are only in memory.
    pub acknowledge: Acknowledge,
    /// Most bytes of events that wait to be stored, at least 1 byte. Beyond that publishers wait.
    /// The default is 8 MiB.
    pub pending_bytes: usize,
    /// How long the key of a publish is remembered, so that a repetition is recognised. The default
    /// is 2 min.
    #[serde(with = "qsse_proto::human_duration")]
    pub dedup_window: Duration,
    /// Most keys that are remembered, of about 100 bytes each. The oldest are forgotten first. The
    /// default is 100,000.
    pub dedup_keys: usize,
    /// How long the last number of a publisher is remembered after its last publish, so that
    /// repetitions are recognised. The default is 10 min.
    #[serde(with = "qsse_proto::human_duration")]
    pub dedup_publisher_window: Duration,
    /// Most publishers that are remembered; those idle for longest are forgotten first. A publisher
    /// takes about 300 bytes, and up to 2 KiB if many publish at the same time. The default is
    /// 10,000.
    pub dedup_publishers: usize,
}

/// What the acknowledgement of a publish means in a log with a [`Storage`](crate::Storage).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Acknowledge {
    /// The event is in memory. A crash of the process may lose it.
    Memory,
    /// The operating system has it. A crash of the machine may lose it.
    Written,
    /// It is on the disk.
    #[default]
    Synced,
}

/// What each topic that a pattern matches may retain.
///
/// A subscriber that returns gets a gap only if one of its own topics has lost events.
///
/// ```
/// use qsse_log::{Config, TopicRetention};
///
/// let positions = TopicRetention::of("position.*".parse()?).max_events(1);
/// assert_eq!(Config::default().retain(positions).retention.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TopicRetention {
    /// The pattern of the topics.
    pub pattern: Pattern,
    /// Most events of one topic. There is no default limit.
    #[serde(default)]
    pub max_events: Option<u64>,
    /// Most bytes of kinds and data of one topic. There is no default limit.
    #[serde(default)]
    pub max_bytes: Option<usize>,
    /// The age at which an event is removed, by the monotonic clock. There is no default limit.
    #[serde(default, with = "qsse_proto::human_duration::optional")]
    pub max_age: Option<Duration>,
}

impl TopicRetention {
    /// Creates a rule without limits for the topics of a pattern.
    pub fn of(pattern: Pattern) -> Self {
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
    pub fn max_bytes(mut self, bytes: usize) -> Self {
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

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            history_bytes: 256 << 20,
            history_events: u64::MAX,
            history_age: None,
            retention: Vec::new(),
            max_topics: 1_000_000,
            max_topics_per_owner: 100_000,
            feed_bytes: 4 << 20,
            feeds_bytes: 64 << 20,
            feed_min_bytes: 8 << 10,
            max_feeds: 32_768,
            filters_bytes: 64 << 20,
            feed_idle: Duration::from_secs(10),
            max_event_bytes: qsse_proto::limits::EVENT_BYTES,
            acknowledge: Acknowledge::default(),
            pending_bytes: 8 << 20,
            dedup_window: Duration::from_secs(120),
            dedup_keys: 100_000,
            dedup_publisher_window: Duration::from_secs(600),
            dedup_publishers: 10_000,
        }
    }
}

impl Config {
    /// Checks whether a log can work with these limits.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), SettingError> {
        let (event, pending) = (self.max_event_bytes as u64, self.pending_bytes as u64);
        let memory = self.memory_bytes.unwrap_or(usize::MAX) as u64;
        SettingError::number("memory_bytes", memory, 16 << 20..=u64::MAX)?;
        let topics = (self.max_topics as u64, self.max_topics_per_owner as u64);
        // Numbers of topics have 32 bits.
        SettingError::number("max_topics", topics.0, 1..=1 << 30)?;
        SettingError::number("max_topics_per_owner", topics.1, 1..=u64::MAX)?;
        // Numbers of feeds have 32 bits.
        SettingError::number("max_feeds", self.max_feeds as u64, 1..=1 << 30)?;
        // The longest set of patterns of one subscription has to fit.
        SettingError::number(
            "filters_bytes",
            self.filters_bytes as u64,
            1 << 20..=u64::MAX,
        )?;
        SettingError::number("max_event_bytes", event, 1..=64 << 20)?;
        SettingError::number("pending_bytes", pending, 1..=u64::MAX)
    }

    /// Sets [`memory_bytes`](Self::memory_bytes).
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }

    /// Sets [`history_bytes`](Self::history_bytes).
    #[must_use]
    pub fn history_bytes(mut self, bytes: usize) -> Self {
        self.history_bytes = bytes;
        self
    }

    /// Sets [`history_events`](Self::history_events).
    #[must_use]
    pub fn history_events(mut self, events: u64) -> Self {
        self.history_events = events;
        self
    }

    /// Sets [`history_age`](Self::history_age).
    #[must_use]
    pub fn history_age(mut self, age: Duration) -> Self {
        self.history_age = Some(age);
        self
    }

    /// Adds a rule after those that are already in [`retention`](Self::retention).
    #[must_use]
    pub fn retain(mut self, rule: TopicRetention) -> Self {
        self.retention.push(rule);
        self
    }

    /// Sets [`max_topics`](Self::max_topics) and
    /// [`max_topics_per_owner`](Self::max_topics_per_owner).
    #[must_use]
    pub fn topics(mut self, most: usize, per_owner: usize) -> Self {
        (self.max_topics, self.max_topics_per_owner) = (most, per_owner);
        self
    }

    /// Sets [`feed_bytes`](Self::feed_bytes).
    #[must_use]
    pub fn feed_bytes(mut self, bytes: usize) -> Self {
        self.feed_bytes = bytes;
        self
    }

    /// Sets [`feeds_bytes`](Self::feeds_bytes).
    #[must_use]
    pub fn feeds_bytes(mut self, bytes: usize) -> Self {
        self.feeds_bytes = bytes;
        self
    }

    /// Sets [`feed_min_bytes`](Self::feed_min_bytes).
    #[must_use]
    pub fn feed_min_bytes(mut self, bytes: usize) -> Self {
        self.feed_min_bytes = bytes;
        self
    }

    /// Sets [`max_feeds`](Self::max_feeds) and [`filters_bytes`](Self::filters_bytes).
    #[must_use]
    pub fn filters(mut self, feeds: usize, bytes: usize) -> Self {
        (self.max_feeds, self.filters_bytes) = (feeds, bytes);
        self
    }

    /// Sets [`acknowledge`](Self::acknowledge).
    #[must_use]
    pub fn acknowledge(mut self, acknowledge: Acknowledge) -> Self {
        self.acknowledge = acknowledge;
        self
    }

    /// Sets [`dedup_window`](Self::dedup_window) and [`dedup_keys`](Self::dedup_keys).
    #[must_use]
    pub fn dedup(mut self, window: Duration, keys: usize) -> Self {
        (self.dedup_window, self.dedup_keys) = (window, keys);
        self
    }

    /// Sets [`dedup_publisher_window`](Self::dedup_publisher_window) and
    /// [`dedup_publishers`](Self::dedup_publishers).
    #[must_use]
    pub fn remember_publishers(mut self, window: Duration, publishers: usize) -> Self {
        (self.dedup_publisher_window, self.dedup_publishers) = (window, publishers);
        self
    }

    /// Sets [`max_event_bytes`](Self::max_event_bytes).
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_set_and_no_other() {
        let seconds = Duration::from_secs;
        let rule = TopicRetention::of("a".parse().unwrap()).max_events(1);
        let config = Config::default()
            .memory_bytes(10)
            .history_bytes(1)
            .history_events(2)
            .history_age(seconds(3))
            .retain(rule.clone())
            .topics(11, 12)
            .feed_bytes(4)
            .feeds_bytes(5)
            .feed_min_bytes(13)
            .filters(14, 15)
            .acknowledge(Acknowledge::Written)
            .dedup(seconds(6), 7)
            .remember_publishers(seconds(8), 9);
        let expected = Config {
            memory_bytes: Some(10),
            history_bytes: 1,
            history_events: 2,
            history_age: Some(seconds(3)),
            retention: vec![rule],
            max_topics: 11,
            max_topics_per_owner: 12,
            feed_bytes: 4,
            feeds_bytes: 5,
            feed_min_bytes: 13,
            max_feeds: 14,
            filters_bytes: 15,
            acknowledge: Acknowledge::Written,
            dedup_window: seconds(6),
            dedup_keys: 7,
            dedup_publisher_window: seconds(8),
            dedup_publishers: 9,
            ..Config::default()
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |event, pending| {
            let config = Config {
                max_event_bytes: event,
                pending_bytes: pending,
                ..Config::default()
            };
            config.check().is_ok()
        };
        let most = 64 << 20;
        assert!(check(1, 1) && check(most, usize::MAX));
        assert!(!check(0, 1) && !check(1, 0) && !check(most + 1, 1));
        let memory = |bytes| Config::default().memory_bytes(bytes).check();
        assert!(memory(16 << 20).is_ok());
        let error = memory((16 << 20) - 1).unwrap_err();
        assert_eq!(error.name, "memory_bytes");
    }
}
