//! [`PublishError`]: why an event was not published, or may not have been.

use std::time::Duration;

use qsse_proto::publish::KeyError;
use qsse_proto::{Code, Counted, DecodeError, KindError};
use qsse_topic::{ErrorKind, PatternError, TopicError};

use super::in_brackets;
use crate::state::{CloseReason, DisconnectReason};

/// Why an event was not published, or may not have been.
///
/// Cheap to clone: one lost connection fails every publish that waits.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic cannot be read. A `*` is for [`publish_matching`](crate::Client::publish_matching).
    #[error("{0}{advice}", advice = matching_advice(.0))]
    Topic(TopicError),
    /// The pattern cannot be read.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The kind cannot be read.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// The key is none: it has 1 to 64 bytes.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The event's data is over the server's limit. Nothing was sent.
    #[error(
        "the event has {} of data, the server takes at most {max}: split it, or raise the server's limit",
        Counted(*len, "byte")
    )]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The server's limit in bytes.
        max: usize,
    },
    /// The value cannot be written as JSON.
    #[cfg(feature = "json")]
    #[error("the value cannot be written as JSON")]
    Json(#[source] std::sync::Arc<serde_json::Error>),
    /// The server said no. Nothing was published.
    #[error("the server refused the event: {code}{}", in_brackets(message))]
    Refused {
        /// Why, as a number. [`Code::FAILED_BEFORE`]: an earlier event of the same publisher was refused, so this one was not taken.
        code: Code,
        /// Why, in words; may be empty.
        message: String,
    },
    /// The connection was lost before the server acknowledged. The event may have been published or not; it is not sent again: it had no key,
    /// and that could publish it twice.
    #[error(
        "the connection was lost before the server acknowledged {}, which may have been published or not: {reason}",
        Counted(*unacknowledged, "event")
    )]
    AckLost {
        /// How many events of the same publisher wait in vain.
        unacknowledged: u64,
        /// Why the connection was lost.
        reason: DisconnectReason,
    },
    /// The connection was lost before the server acknowledged, and whether the event was published could not be found out by sending it again
    /// under its key. It was not published twice.
    #[error(
        "the connection was lost before the server acknowledged {}, which may have been published or not: {why}",
        Counted(*unacknowledged, "event")
    )]
    OutcomeUnknown {
        /// How many events of the same publisher wait in vain.
        unacknowledged: u64,
        /// Why sending it again did not help.
        why: UnknownOutcome,
    },
    /// The server ended the publishing stream without answering. The event may have been published or not.
    #[error(
        "the server ended the publishing stream: {code}; {} may have been published or not",
        Counted(*unacknowledged, "event")
    )]
    Ended {
        /// Why, as a number.
        code: Code,
        /// How many events of the same publisher wait in vain.
        unacknowledged: u64,
    },
    /// The server acknowledged the event without saying which it became.
    #[error(
        "the server acknowledged the event without an id: are client and server of versions that fit?"
    )]
    NoId,
    /// There was no connection. Nothing was sent, so the call can safely be repeated.
    #[error(
        "there was no connection to the server for {}: nothing was sent, try again later",
        humantime::format_duration(*waited)
    )]
    NotConnected {
        /// How long the call waited.
        waited: Duration,
    },
    /// The server speaks the Go library's protocol, which lacks this: see [`Dialect`](crate::Dialect). Nothing was sent.
    #[error(
        "the Go library's protocol, which this server speaks, lets clients neither publish nor ping: nothing was sent"
    )]
    Unsupported,
    /// The server permits no further publishing stream on this connection. Nothing was sent.
    #[error(
        "the server permits no further publishing stream: drop a publisher, or share one by cloning it"
    )]
    NoStream,
    /// The server's answer cannot be understood. The event may have been published or not.
    #[error(
        "the server's answer cannot be understood: are client and server of versions that fit?"
    )]
    Protocol(#[source] DecodeError),
    /// The client is closed. Nothing was sent.
    #[error("the client is closed: {0}")]
    Closed(CloseReason),
}

impl PublishError {
    /// Whether the same call may succeed later without the danger of publishing twice.
    ///
    /// False for [`AckLost`](Self::AckLost) and [`OutcomeUnknown`](Self::OutcomeUnknown): only the caller knows whether an event that comes twice does harm.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotConnected { .. } | Self::NoStream => true,
            Self::Refused { code, .. } => code.is_retryable(),
            _ => false,
        }
    }

    /// The server's reason, where it gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } | Self::Ended { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn outcome_unknown(why: UnknownOutcome) -> Self {
        let unacknowledged = 1;
        Self::OutcomeUnknown {
            unacknowledged,
            why,
        }
    }

    /// The same for a publisher with several events in flight.
    pub(crate) fn with_unacknowledged(mut self, count: u64) -> Self {
        if let Self::AckLost { unacknowledged, .. }
        | Self::OutcomeUnknown { unacknowledged, .. }
        | Self::Ended { unacknowledged, .. } = &mut self
        {
            *unacknowledged = count;
        }
        self
    }
}

/// Why it stays unknown whether an event was published.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownOutcome {
    /// So much time has passed that the server may not know the event any more.
    #[error("too much time has passed to ask the server again")]
    TooLate,
    /// The server has another log now.
    #[error("the server has another log now")]
    OtherLog,
    /// The server takes the client for somebody else than before, as its token has changed: it would not recognise the key.
    #[error(
        "the server tells the client by its token, which has changed since: let the server name its principals"
    )]
    OtherPrincipal,
    /// The server refused what was sent again: with [`Code::OUTCOME_UNKNOWN`] because it does not know the event any more.
    #[error("sent again, it was refused: {code}{}", in_brackets(message))]
    Refused {
        /// Why, as a number.
        code: Code,
        /// Why, in words; may be empty.
        message: String,
    },
    /// There was no connection to send it again.
    #[error("there was no connection for {}", humantime::format_duration(*waited))]
    NotConnected {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The client was closed.
    #[error("the client is closed: {0}")]
    Closed(CloseReason),
    /// It could not be sent again.
    #[error("the server has no room to send it again")]
    NotSent,
}

impl From<TopicError> for PublishError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

fn matching_advice(error: &TopicError) -> &'static str {
    match error.kind() {
        ErrorKind::Wildcard => {
            "; to reach every topic that a pattern matches, use publish_matching"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use qsse_topic::Topic;

    use super::*;

    #[test]
    fn a_star_in_a_topic_points_to_the_other_method() {
        let text = PublishError::from(Topic::new("ride.*").unwrap_err()).to_string();
        assert!(
            text.contains("publish_matching") && text.contains("byte 5"),
            "{text}"
        );
        let text = PublishError::from(Topic::new("").unwrap_err()).to_string();
        assert!(!text.contains("publish_matching"), "{text}");
    }

    #[test]
    fn only_what_cannot_publish_twice_is_retryable() {
        let refused = |code| PublishError::Refused {
            code,
            message: String::new(),
        };
        assert!(refused(Code::BUSY).is_retryable());
        assert!(!refused(Code::NOT_AUTHORISED).is_retryable());
        assert!(
            PublishError::NotConnected {
                waited: Duration::ZERO
            }
            .is_retryable()
        );
        let lost = PublishError::AckLost {
            unacknowledged: 1,
            reason: DisconnectReason::Lost(qsse_transport::ConnectionError::TimedOut),
        };
        assert!(!lost.is_retryable());
    }
}
