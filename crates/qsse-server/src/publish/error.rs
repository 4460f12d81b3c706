//! [`PublishError`]: why an event was not published.

use qsse_log::{AppendError, StorageError};
use qsse_proto::limits::MATCHING_TOPICS;
use qsse_proto::publish::KeyError;
use qsse_proto::{Code, Counted, KindError};
use qsse_topic::{PatternError, TopicError};

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic does not parse.
    #[error(
        "{topic:?} is not a topic; to publish to all topics of a pattern, use publish_matching"
    )]
    Topic {
        /// The text.
        topic: String,
        /// What is wrong with it.
        source: TopicError,
    },
    /// The pattern does not parse.
    #[error("{pattern:?} is not a pattern")]
    Pattern {
        /// The text.
        pattern: String,
        /// What is wrong with it.
        source: PatternError,
    },
    /// The topic is not among the declared ones.
    #[error("the topic {topic:?} is not declared{}", hint(.nearest))]
    NotDeclared {
        /// The topic.
        topic: String,
        /// The most similar declared name or pattern.
        nearest: Option<String>,
    },
    /// The pattern matches too many topics.
    #[error("the pattern reaches more than {MATCHING_TOPICS} topics: publish to narrower ones")]
    TooManyTopics,
    /// The pattern matches so many topics that the events would be too large in total.
    #[error(
        "the pattern reaches {}: {bytes} bytes on each are over the limit of 64 MiB in all; publish to narrower ones",
        Counted(*topics, "topic")
    )]
    TooMuch {
        /// How many topics.
        topics: usize,
        /// Length of the data.
        bytes: usize,
    },
    /// The topic is new, and the server, or this publisher, has as many topics as
    /// [`max_topics`](qsse_log::Config::max_topics) or
    /// [`max_topics_per_owner`](qsse_log::Config::max_topics_per_owner) allow.
    #[error(transparent)]
    TopicLimit(AppendError),
    /// The data is larger than the limit.
    #[error(
        "an event of {} is over the limit of {}: split it or raise the server's limit",
        Counted(*bytes, "byte"),
        Counted(*limit, "byte")
    )]
    TooLarge {
        /// Length of the data.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The store is behind, and the publish was not allowed to wait.
    #[error("the store has {} still to write: publish more slowly, or wait", Counted(*bytes, "byte"))]
    Busy {
        /// How many bytes the store has still to write.
        bytes: usize,
    },
    /// The store did not take the event. No subscriber has seen it or will see it, unless the error
    /// [is final](StorageError::is_final): then it may be there when the store is opened again.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// The server acknowledges events only once they are stored, which takes a moment.
    #[error(
        "this server acknowledges events once they are stored, which takes a moment: await `publish` instead"
    )]
    NeedsAwait,
    /// The kind cannot be read.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// The key is empty or too long.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key was used before, by a publish to a pattern that matched no topic: there is no event
    /// whose id could be returned.
    #[error("a publish under this key matched no topic, so there is no event to return the id of")]
    NoId,
    /// The value cannot be written as JSON.
    #[cfg(feature = "json")]
    #[error("the value cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// The server drains or has ended.
    #[error("the server is shutting down and takes no more events")]
    ShuttingDown,
}

fn hint(name: &Option<String>) -> String {
    name.as_ref()
        .map_or_else(String::new, |name| format!(": did you mean {name:?}?"))
}

impl From<AppendError> for PublishError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            AppendError::Busy { bytes } => Self::Busy { bytes },
            AppendError::TooManyTopics { .. } => Self::TopicLimit(error),
            AppendError::Storage(error) => Self::Store(error),
        }
    }
}

impl PublishError {
    /// Returns the code that a client gets.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Topic { .. } | Self::Pattern { .. } => Code::INVALID_TOPIC,
            Self::NotDeclared { .. } => Code::TOPIC_NOT_AVAILABLE,
            Self::TooManyTopics | Self::TooMuch { .. } | Self::TopicLimit(_) => {
                Code::TOO_MANY_TOPICS
            }
            Self::TooLarge { .. } => Code::EVENT_TOO_LARGE,
            Self::Busy { .. } => Code::BUSY,
            Self::Store(_) => Code::STORE_UNAVAILABLE,
            Self::NeedsAwait | Self::Kind(_) | Self::Key(_) | Self::NoId => Code::UNKNOWN,
            #[cfg(feature = "json")]
            Self::Json(_) => Code::UNKNOWN,
            Self::ShuttingDown => Code::SHUTTING_DOWN,
        }
    }

    /// Returns whether the same publish may succeed later, unchanged.
    pub fn is_retryable(&self) -> bool {
        self.code().is_retryable()
    }
}
