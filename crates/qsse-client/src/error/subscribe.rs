//! [`SubscribeError`]: why subscribing failed.

use qsse_proto::Code;
use qsse_proto::limits::{CONTROL_FRAME_BYTES, PATTERNS_PER_SUBSCRIPTION};
use qsse_topic::FilterError;

use super::connect::ConnectError;
use super::in_brackets;
use super::reason::CloseReason;

/// Why [`Client::subscribe`](crate::Client::subscribe) or
/// [`Connect::subscribe`](crate::Connect::subscribe) failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// A pattern is invalid, or there is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// There are more or longer patterns than one subscription can have.
    #[error(
        "{count} patterns are too many for one subscription: at most {PATTERNS_PER_SUBSCRIPTION}, of \
         {CONTROL_FRAME_BYTES} bytes in all; use several subscriptions or wildcards"
    )]
    TooManyPatterns {
        /// How many patterns were given.
        count: usize,
    },
    /// The server refused the subscription. This is final for these patterns and this token unless
    /// [`is_retryable`](Self::is_retryable) says otherwise.
    #[error("the server refused the subscription: {code}{}", in_brackets(message))]
    Refused {
        /// The reason, as a number: for instance [`Code::NOT_AUTHORISED`] or
        /// [`Code::TOPIC_NOT_AVAILABLE`].
        code: Code,
        /// The reason, in words; may be empty.
        message: String,
        /// The pattern that the server refused, if it was one.
        subject: Option<String>,
    },
    /// The server speaks the Go library's protocol, which lacks a requested feature; see
    /// [`Dialect`](crate::Dialect).
    #[error(
        "this server speaks the Go library's protocol, which does not support {what}: leave it out"
    )]
    Unsupported {
        /// The feature.
        what: &'static str,
    },
    /// [`Connect::subscribe`](crate::Connect::subscribe) could not connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The client is closed, or was closed during the call.
    #[error("the client is closed: {0}")]
    Closed(CloseReason),
}

impl SubscribeError {
    /// Returns whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_retryable(),
            Self::Connect(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Returns the server's reason, if it gave one.
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
