//! [`SubscriptionError`]: why a subscription has ended.

use qsse_proto::go::LineError;
use qsse_proto::{Code, DecodeError};

use super::in_brackets;
use crate::error::ConnectError;
use crate::state::CloseReason;

/// Why a [`Subscription`](crate::Subscription) has ended. After it, `None` follows for ever.
///
/// Gaps and resets are no errors: the subscription goes on after them. They are [notices](crate::Notice).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// The subscription fell behind and had asked to be cut off then, see [`OnLag::Disconnect`](crate::OnLag::Disconnect). Subscribe
    /// again from the [`cursor`](crate::Subscription::cursor) to go on.
    #[error(
        "the subscription fell behind and was cut off; subscribe again from its cursor to go on"
    )]
    Lagged,
    /// The server ended the subscription, or refused to go on with it after a reconnect.
    #[error("the server ended the subscription: {code}{}", in_brackets(message))]
    Refused {
        /// Why, as a number.
        code: Code,
        /// Why, in words; may be empty.
        message: String,
    },
    /// The server sent something that cannot be understood.
    #[error(
        "the server sent what cannot be understood: are client and server of versions that fit?"
    )]
    Protocol(#[source] DecodeError),
    /// A server of the Go library's dialect wrote a line that cannot be understood.
    #[error("the server wrote a line that cannot be understood: {0}")]
    Line(LineError),
    /// The connection ended for good.
    #[error("the connection has ended for good: {0}")]
    Closed(CloseReason),
}

impl SubscriptionError {
    /// Whether subscribing again, from the [`cursor`](crate::Subscription::cursor), may go on where this ended.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Lagged => true,
            Self::Refused { code, .. } => code.is_retryable(),
            _ => false,
        }
    }

    /// The server's reason, where it gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Lagged => Some(Code::LAGGED),
            Self::Refused { code, .. } => Some(*code),
            Self::Closed(CloseReason::Failed(ConnectError::NotAuthorised { code, .. })) => {
                Some(*code)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_retryable() {
        let refused = |code| SubscriptionError::Refused {
            code,
            message: String::new(),
        };
        assert!(refused(Code::BUSY).is_retryable());
        assert!(!refused(Code::NOT_AUTHORISED).is_retryable());
        assert_eq!(refused(Code::BUSY).code(), Some(Code::BUSY));
        assert!(SubscriptionError::Lagged.is_retryable());
        assert_eq!(SubscriptionError::Lagged.code(), Some(Code::LAGGED));
        let line = SubscriptionError::Line(LineError::TooDeep);
        assert!(!line.is_retryable() && line.code().is_none());
    }
}
