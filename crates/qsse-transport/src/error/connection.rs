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
        /// Why, as a number.
        code: Code,
        /// Why, in words; may be empty. At most 256 bytes; control characters are replaced.
        reason: String,
    },
    /// This side closed it, or dropped its last handle.
    #[error("closed on this side")]
    LocallyClosed,
    /// Nothing came from the peer for longer than the idle timeout: it was killed, or the network
    /// between is cut.
    #[error("the peer has not been heard of for longer than the idle timeout")]
    TimedOut,
    /// The peer no longer knows the connection: it was restarted or lost its state.
    #[error("the peer no longer knows this connection, it seems to have been restarted")]
    Reset,
    /// The server turned the connection away before it was open: it is at a limit or shutting down.
    #[error("refused by the server, which is at its limit or shutting down")]
    Refused,
    /// The two sides have no protocol in common.
    #[error("the server does not speak the protocol asked for")]
    AlpnMismatch,
    /// One side broke the rules of QUIC or TLS, or a resource ran out.
    #[error("transport error: {0}")]
    Transport(String),
}

impl ConnectionError {
    /// Whether connecting anew may succeed without anybody changing a setting.
    ///
    /// True for lost, reset and refused connections, and for those closed with [`Code::NO_ERROR`]
    /// or a code that says so itself; false where this side closed the connection.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Closed { code, .. } => *code == Code::NO_ERROR || code.is_retryable(),
            Self::TimedOut | Self::Reset | Self::Refused | Self::Transport(_) => true,
            Self::LocallyClosed | Self::AlpnMismatch => false,
        }
    }
}

impl From<quinn::ConnectionError> for ConnectionError {
    fn from(error: quinn::ConnectionError) -> Self {
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
                Self::Transport("the peer speaks no version of QUIC known here".into())
            }
            Quinn::CidsExhausted => Self::Transport("no connection id is free".into()),
        }
    }
}

/// TLS's alert for "no protocol in common", as QUIC carries it.
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
