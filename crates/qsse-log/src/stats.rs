//! [`Stats`]: the contents of a log at one moment.

/// The contents of a log at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The last assigned seq.
    pub head: u64,
    /// Events in the history.
    pub history_events: u64,
    /// Allocated bytes of the history.
    pub history_bytes: usize,
    /// Allocated bytes of batches that neither history nor feeds hold: readers took them, and they
    /// were not released, or a stream still has them. A batch that several readers hold counts
    /// once.
    pub unread_bytes: usize,
    /// Bytes of everything that counts for [`memory_bytes`](crate::Config::memory_bytes).
    pub memory_bytes: usize,
    /// Feeds, with and without readers.
    pub feeds: usize,
    /// Allocated bytes of all feeds. A large event that several feeds hold counts once, and not if
    /// the history holds it too.
    pub feed_bytes: usize,
    /// Bytes of the patterns of all feeds.
    pub filter_bytes: usize,
    /// Topics that are declared or have an event in the history.
    pub topics: usize,
    /// Bytes of the table of topics. What exceeds 16 MiB is a part of `history_bytes` too.
    pub topic_bytes: usize,
    /// Remembered keys of publishes.
    pub dedup_keys: usize,
    /// Publishers whose last number is remembered.
    pub dedup_publishers: usize,
}
