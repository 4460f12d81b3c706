//! [`Contents`]: the metrics of what the log holds.

use metrics::Unit;
use qsse_log::Stats;

use super::registry::{Gauges, Registry};

/// The metrics of what the log holds.
pub(super) struct Contents {
    history_events: Gauges,
    history_bytes: Gauges,
    feeds: Gauges,
    feed_bytes: Gauges,
    filter_bytes: Gauges,
    unread_bytes: Gauges,
    memory_bytes: Gauges,
    topics: Gauges,
    topic_bytes: Gauges,
    dedup_keys: Gauges,
    dedup_publishers: Gauges,
}

impl Contents {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name, about| registry.gauge(name, vec![], Unit::Count, about);
        Self {
            history_events: gauge("history_events", "Events in the history"),
            history_bytes: gauge("history_bytes", "Bytes allocated for the history"),
            feeds: gauge("feeds", "Distinct filters with a live tail"),
            feed_bytes: gauge("feed_bytes", "Bytes allocated for the live tails"),
            filter_bytes: gauge("filter_bytes", "Bytes of the patterns of all live tails"),
            unread_bytes: gauge(
                "unread_bytes",
                "Bytes of batches that only subscriptions hold",
            ),
            memory_bytes: gauge(
                "memory_bytes",
                "Bytes of everything that counts for the limit of memory",
            ),
            topics: gauge("topics", "Topics that are declared or have an event"),
            topic_bytes: gauge("topic_bytes", "Bytes of the table of topics"),
            dedup_keys: gauge("dedup_keys", "Keys of publishes that are remembered"),
            dedup_publishers: gauge(
                "dedup_publishers",
                "Publishers whose last number is remembered",
            ),
        }
    }

    /// Updates the metrics.
    pub(super) fn collect(&self, stats: &Stats) {
        self.history_events.set(stats.history_events as usize);
        self.history_bytes.set(stats.history_bytes);
        self.feeds.set(stats.feeds);
        self.feed_bytes.set(stats.feed_bytes);
        self.filter_bytes.set(stats.filter_bytes);
        self.unread_bytes.set(stats.unread_bytes);
        self.memory_bytes.set(stats.memory_bytes);
        self.topics.set(stats.topics);
        self.topic_bytes.set(stats.topic_bytes);
        self.dedup_keys.set(stats.dedup_keys);
        self.dedup_publishers.set(stats.dedup_publishers);
    }
}
