//! Why an append was refused or a reader not opened.

use qsse_proto::Counted;

use crate::storage::StorageError;

/// Why an event was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The data exceeds [`max_event_bytes`](crate::Config::max_event_bytes).
    #[error(
        "an event of {} is over the limit of {}: split it or raise the server's limit",
        Counted(*bytes, "byte"),
        Counted(*limit, "byte")
    )]
    TooLarge {
        /// The length of the data.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The storage has not kept up. Wait for [`Log::room`](crate::Log::room), or publish more
    /// slowly.
    #[error("the store has {} still to write: publish more slowly, or wait", Counted(*bytes, "byte"))]
    Busy {
        /// How many bytes wait to be stored.
        bytes: usize,
    },
    /// The topic is new, and there are as many as there may be. Those without retained events are
    /// forgotten first.
    #[error(
        "{} {}, as many as {}: use topics that exist, wait until the events of old ones expire, or raise the server's limit",
        if *own { "this publisher has added" } else { "the server has" },
        Counted(*limit, "topic"),
        if *own { "one publisher may" } else { "it may have" }
    )]
    TooManyTopics {
        /// The limit.
        limit: usize,
        /// Whether it is [`max_topics_per_owner`](crate::Config::max_topics_per_owner), and not
        /// [`max_topics`](crate::Config::max_topics).
        own: bool,
    },
    /// The storage accepts no events.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why a reader was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The last events of each topic are too many in total.
    #[error(
        "the last events of each topic would be more than {most}: ask for fewer, or start at a time"
    )]
    TooMany {
        /// The most events that one start may select.
        most: usize,
    },
    /// So many starts select events at this moment that there is no room for another. A later
    /// attempt may succeed.
    #[error("the server has no room to select the last events of each topic now: try again later")]
    Busy,
    /// The filter is one that nobody else reads, and there are as many as
    /// [`max_feeds`](crate::Config::max_feeds) and
    /// [`filters_bytes`](crate::Config::filters_bytes) allow. A later attempt may succeed.
    #[error(
        "the server has no room for another set of patterns: use fewer patterns, or one with wildcards that others use, or try again later"
    )]
    TooManyFilters,
    /// The storage could not find the start. A later attempt may succeed.
    #[error("the store could not be read: {reason}")]
    Unreadable {
        /// The storage's error.
        reason: String,
    },
    /// This version does not know the start position.
    #[error("this version does not know that start position")]
    Unknown,
}
