//! [`ConnectionError`]: why a connection ended.

use qsse_proto::Code;
use quinn_proto::TransportErrorCode;

use super::printable;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer closed it.
    #[error("closed by the peer: {code}{}", suffix(reason))]
    Closed {
        /// The reason as a number.
        code: Code,
        /// The reason in words; may be empty. It has at most 256 bytes, and control characters are
        /// replaced.
        reason: String,
    },
    /// This side closed it or dropped its last handle.
    #[error("closed on this side")]
    LocallyClosed,
    /// Nothing arrived from the peer during the idle timeout: it was killed, or the network is
    /// down.
    #[error("the peer has not been heard of for longer than the idle timeout")]
    TimedOut,
    /// The peer no longer knows the connection: it was restarted, or it lost its state.
    #[error("the peer no longer knows this connection: it was probably restarted")]
    Reset,
    /// The server refused the connection before it was open: it is at a limit or shutting down.
    #[error("refused by the server, which is at a limit or shutting down")]
    Refused,
    /// The two sides have no protocol in common.
    #[error("the server does not speak the requested protocol")]
    AlpnMismatch,
    /// One side violated QUIC or TLS, or a resource ran out.
    #[error("transport error: {0}")]
    Transport(String),
}

impl ConnectionError {
    /// Returns whether a new connection may succeed without a change of settings.
    ///
    /// This is true for lost, reset and refused connections, and for those that were closed with
    /// [`Code::NO_ERROR`] or a [retryable](Code::is_retryable) code. It is false if this side
    /// closed the connection.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Closed { code, .. } => *code == Code::NO_ERROR || code.is_retryable(),
            Self::TimedOut | Self::Reset | Self::Refused | Self::Transport(_) => true,
            Self::LocallyClosed | Self::AlpnMismatch => false,
        }
    }
}

impl ConnectionError {
    pub(crate) fn from_quinn(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as Quinn;
        match error {
            Quinn::ApplicationClosed(close) => Self::Closed {
                code: crate::quic::code(close.error_code),
                reason: printable(&close.reason),
            },
            Quinn::ConnectionClosed(close) => match close.error_code {
                TransportErrorCode::CONNECTION_REFUSED => Self::Refused,
                code if code == no_application_protocol() => Self::AlpnMismatch,
                code if close.reason.is_empty() => Self::Transport(code.to_string()),
                _ => Self::Transport(printable(&close.reason)),
            },
            Quinn::TransportError(error) if error.code == no_application_protocol() => {
                Self::AlpnMismatch
            }
            Quinn::TransportError(error) => Self::Transport(error.to_string()),
            Quinn::Reset => Self::Reset,
            Quinn::TimedOut => Self::TimedOut,
            Quinn::LocallyClosed => Self::LocallyClosed,
            Quinn::VersionMismatch => {
                Self::Transport("the peer speaks no version of QUIC that this side knows".into())
            }
            Quinn::CidsExhausted => Self::Transport("no connection id is free".into()),
        }
    }
}

/// Returns the code by which QUIC carries TLS's alert for "no protocol in common".
fn no_application_protocol() -> TransportErrorCode {
    TransportErrorCode::crypto(120)
}

fn suffix(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    }
}
