//! [`SubscribeError`]: why a subscription was not made.

use qsse_proto::Code;
use qsse_proto::limits::{CONTROL_FRAME_BYTES, PATTERNS_PER_SUBSCRIPTION};
use qsse_topic::FilterError;

use super::in_brackets;
use crate::error::ConnectError;
use crate::state::CloseReason;

/// Why [`Client::subscribe`](crate::Client::subscribe) or [`Connect::subscribe`](crate::Connect::subscribe) failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// A pattern cannot be read, or there is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// More or longer patterns than one subscription can have.
    #[error(
        "{count} patterns are too many for one subscription: at most {PATTERNS_PER_SUBSCRIPTION} of together {CONTROL_FRAME_BYTES} bytes; \
         use several subscriptions or wildcards"
    )]
    TooManyPatterns {
        /// How many were given.
        count: usize,
    },
    /// The server said no. This is final for this topic and token unless [`is_retryable`](Self::is_retryable) says otherwise.
    #[error("the server refused the subscription: {code}{}", in_brackets(message))]
    Refused {
        /// Why, as a number: for instance [`Code::NOT_AUTHORISED`] or [`Code::TOPIC_NOT_AVAILABLE`].
        code: Code,
        /// Why, in words; may be empty.
        message: String,
        /// The pattern that it is about, where it is about one.
        subject: Option<String>,
    },
    /// The server speaks the Go library's protocol, which lacks what was asked for: see [`Dialect`](crate::Dialect).
    #[error("{what}: the Go library's protocol, which this server speaks, has none; leave it out")]
    Unsupported {
        /// What it lacks.
        what: &'static str,
    },
    /// There was no connection for [`Connect::subscribe`](crate::Connect::subscribe) to subscribe over.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The client is closed, or gave up while the subscription was being made.
    #[error("the client is closed: {0}")]
    Closed(CloseReason),
}

impl SubscribeError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_retryable(),
            Self::Connect(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// The server's reason, where it gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. }
            | Self::Connect(
                ConnectError::NotAuthorised { code, .. } | ConnectError::Refused { code, .. },
            ) => Some(*code),
            _ => None,
        }
    }
}
