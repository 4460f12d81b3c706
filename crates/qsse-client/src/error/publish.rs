//! [`PublishError`]: why an event was not published, or may not have been.

use std::time::Duration;

use qsse_proto::publish::KeyError;
use qsse_proto::{Code, Counted, DecodeError, KindError};
use qsse_topic::{ErrorKind, PatternError, TopicError};

use super::in_brackets;
use super::reason::{CloseReason, DisconnectReason};

/// Why an event was not published, or may not have been.
///
/// It is cheap to clone, since one lost connection fails every waiting publish.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic is invalid. For a pattern, use
    /// [`publish_matching`](crate::Client::publish_matching).
    #[error("{0}{advice}", advice = matching_advice(.0))]
    Topic(TopicError),
    /// The pattern is invalid.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The kind is invalid.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// The key is invalid: a key has 1 to 64 bytes.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The event's data exceeds the server's limit. Nothing was sent.
    #[error(
        "the event has {} of data, but the server accepts at most {limit}: split it, or raise the \
         server's limit",
        Counted(*bytes, "byte")
    )]
    TooLarge {
        /// The length of the data in bytes.
        bytes: usize,
        /// The server's limit in bytes.
        limit: usize,
    },
    /// The value cannot be written as JSON.
    #[cfg(feature = "json")]
    #[error("the value cannot be written as JSON")]
    Json(#[source] std::sync::Arc<serde_json::Error>),
    /// The server refused the event. Nothing was published.
    #[error("the server refused the event: {code}{}", in_brackets(message))]
    Refused {
        /// The reason, as a number. With [`Code::FAILED_BEFORE`] it is that the server refused an
        /// earlier event of the same publisher.
        code: Code,
        /// The reason, in words; may be empty.
        message: String,
    },
    /// The connection was lost before the acknowledgement. The event may have been published or
    /// not. It had no key, so it is not sent again: that could publish it twice.
    #[error(
        "the connection was lost before the server acknowledged {}, which may have been published \
         or not: {reason}",
        Counted(*unacknowledged, "event")
    )]
    AckLost {
        /// How many events of the same publisher are not acknowledged.
        unacknowledged: u64,
        /// Why the connection was lost.
        reason: DisconnectReason,
    },
    /// The connection was lost before the acknowledgement, and sending the event again under its
    /// key could not show whether it was published. It was not published twice.
    #[error(
        "the connection was lost before the server acknowledged {}, which may have been published \
         or not: {why}",
        Counted(*unacknowledged, "event")
    )]
    OutcomeUnknown {
        /// How many events of the same publisher are not acknowledged.
        unacknowledged: u64,
        /// Why the outcome is unknown.
        why: UnknownOutcome,
    },
    /// The server ended the publishing stream without an answer. The event may have been published
    /// or not.
    #[error(
        "the server ended the publishing stream: {code}; {} may have been published or not",
        Counted(*unacknowledged, "event")
    )]
    Ended {
        /// The reason, as a number.
        code: Code,
        /// How many events of the same publisher are not acknowledged.
        unacknowledged: u64,
    },
    /// The server acknowledged the event without its id.
    #[error(
        "the server acknowledged the event without an id: are the versions of client and server \
         compatible?"
    )]
    NoId,
    /// There was no connection. Nothing was sent, so it is safe to repeat the call.
    #[error(
        "there was no connection to the server for {}: nothing was sent; try again later",
        humantime::format_duration(*waited)
    )]
    NotConnected {
        /// How long the call waited.
        waited: Duration,
    },
    /// The server speaks the Go library's protocol, which lacks this; see
    /// [`Dialect`](crate::Dialect). Nothing was sent.
    #[error(
        "this server speaks the Go library's protocol, in which clients can neither publish nor \
         ping: nothing was sent"
    )]
    Unsupported,
    /// The server permits no further publishing stream on this connection. Nothing was sent.
    #[error(
        "the server permits no further publishing stream: drop a publisher, or share one by \
         cloning it"
    )]
    NoStream,
    /// The server's answer cannot be decoded. The event may have been published or not.
    #[error(
        "the server's answer cannot be decoded: are the versions of client and server compatible?"
    )]
    Protocol(#[source] DecodeError),
    /// The client is closed. Nothing was sent.
    #[error("the client is closed: {0}")]
    Closed(CloseReason),
}

impl PublishError {
    /// Returns whether the same call may succeed later without publishing twice.
    ///
    /// It is false for [`AckLost`](Self::AckLost) and [`OutcomeUnknown`](Self::OutcomeUnknown):
    /// only the caller knows whether a duplicate does harm.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotConnected { .. } | Self::NoStream => true,
            Self::Refused { code, .. } => code.is_retryable(),
            _ => false,
        }
    }

    /// Returns the server's reason, if it gave one.
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

    /// Returns what this error means for a publish that may have been accepted before.
    pub(crate) fn after_attempt(self) -> Self {
        let why = match self {
            Self::Refused { code, message } => UnknownOutcome::Refused { code, message },
            Self::NotConnected { waited } => UnknownOutcome::NotConnected { waited },
            Self::Closed(reason) => UnknownOutcome::Closed(reason),
            // The server speaks another protocol now.
            Self::Unsupported => UnknownOutcome::OtherLog,
            Self::NoStream | Self::TooLarge { .. } => UnknownOutcome::NotSent,
            // The others already say that the outcome is unknown.
            error => return error,
        };
        Self::outcome_unknown(why)
    }

    /// Sets the number of events in flight, where the error has one.
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

/// Why it is unknown whether an event was published.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownOutcome {
    /// So much time has passed that the server may have forgotten the event.
    #[error("too much time has passed to ask the server again")]
    TooLate,
    /// The server has another log than before.
    #[error("the server has another log than before")]
    OtherLog,
    /// The client has another principal than before, because its token has changed. The server
    /// would not recognise the key.
    #[error(
        "the server identifies the client by its token, which has changed: have the server name its \
         principals"
    )]
    OtherPrincipal,
    /// The server refused the event when it was sent again: with [`Code::OUTCOME_UNKNOWN`], because
    /// it has forgotten whether it accepted it.
    #[error(
        "the server refused it when it was sent again: {code}{}",
        in_brackets(message)
    )]
    Refused {
        /// The reason, as a number.
        code: Code,
        /// The reason, in words; may be empty.
        message: String,
    },
    /// There was no connection over which to send the event again.
    #[error("there was no connection for {}", humantime::format_duration(*waited))]
    NotConnected {
        /// How long the client waited for one.
        waited: Duration,
    },
    /// The client was closed.
    #[error("the client is closed: {0}")]
    Closed(CloseReason),
    /// The event could not be sent again.
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
