//! [`SubscriptionError`]: why a subscription has ended.

use qsse_proto::go::LineError;
use qsse_proto::{Code, DecodeError};

use super::connect::ConnectError;
use super::in_brackets;
use super::reason::CloseReason;

/// Why a [`Subscription`](crate::Subscription) has ended. After it, the subscription only yields
/// `None`.
///
/// Gaps and resets are not errors, since the subscription continues after them. They are
/// [notices](crate::Notice).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// The subscription fell behind, and was made with
    /// [`OnLag::Disconnect`](crate::OnLag::Disconnect). To continue, subscribe again from its
    /// [`cursor`](crate::Subscription::cursor).
    #[error(
        "the subscription fell behind and was ended: subscribe again from its cursor to continue"
    )]
    Lagged,
    /// The server ended the subscription, or refused to resume it after a reconnect.
    #[error("the server ended the subscription: {code}{}", in_brackets(message))]
    Refused {
        /// The reason, as a number.
        code: Code,
        /// The reason, in words; may be empty.
        message: String,
    },
    /// The server sent data that cannot be decoded.
    #[error(
        "the server sent data that cannot be decoded: are the versions of client and server \
         compatible?"
    )]
    Protocol(#[source] DecodeError),
    /// A server of the Go library's dialect sent a line that cannot be decoded.
    #[error("the server sent a line that cannot be decoded: {0}")]
    Line(LineError),
    /// The connection ended for good.
    #[error("the connection has ended for good: {0}")]
    Closed(CloseReason),
}

impl SubscriptionError {
    /// Returns whether a new subscription from the [`cursor`](crate::Subscription::cursor) may
    /// continue this one.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Lagged => true,
            Self::Refused { code, .. } => code.is_retryable(),
            _ => false,
        }
    }

    /// Returns the server's reason, if it gave one.
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
