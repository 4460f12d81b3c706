//! [`DisconnectReason`] and [`CloseReason`]: why a connection or a client ended.

use std::fmt;

use qsse_proto::{Code, DecodeError};
use qsse_transport::ConnectionError;

use super::connect::ConnectError;
use super::in_brackets;

/// Why a connection was lost, or why it could not be restored so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The connection broke, or the server closed it.
    Lost(ConnectionError),
    /// The server said goodbye: it is shutting down, or sends its clients elsewhere.
    Goodbye {
        /// The reason, as a number.
        code: Code,
        /// The reason, in words; may be empty.
        message: String,
    },
    /// The server sent data that cannot be decoded.
    Protocol(DecodeError),
    /// The server violated the protocol in another way, described in words.
    Violation(&'static str),
    /// In the Go library's [`Dialect`](crate::Dialect): the server ended a subscription's stream,
    /// because it is shutting down.
    StreamEnded,
    /// The server speaks another [`Dialect`](crate::Dialect) than before.
    Dialect,
    /// An attempt to reconnect failed.
    Connect(ConnectError),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => write!(f, "connection lost: {error}"),
            Self::Goodbye { code, message } => {
                write!(f, "the server said goodbye: {code}{}", in_brackets(message))
            }
            Self::Protocol(error) => write!(f, "the server violated the protocol: {error}"),
            Self::Violation(text) => write!(f, "the server violated the protocol: {text}"),
            Self::StreamEnded => f.write_str("the server ended the stream of events"),
            Self::Dialect => f.write_str("the server speaks another dialect than before"),
            Self::Connect(error) => write!(f, "{}", Chain(error)),
        }
    }
}

/// Why a client is closed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it, by a call or by dropping the last handle.
    Local,
    /// The connection was lost, and [`ReconnectPolicy`](crate::ReconnectPolicy) does not restore
    /// it.
    Lost(DisconnectReason),
    /// Connecting failed in a way that retrying cannot fix, for instance because the token was
    /// refused.
    Failed(ConnectError),
    /// The tokio runtime in which the client ran has ended.
    RuntimeEnded,
    /// A task of the client panicked, which is a bug.
    Panicked,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed on this side"),
            Self::Lost(reason) => write!(f, "{reason}"),
            Self::Failed(error) => write!(f, "{}", Chain(error)),
            Self::RuntimeEnded => f.write_str("the tokio runtime has ended"),
            Self::Panicked => f.write_str("a task of the client panicked, which is a bug"),
        }
    }
}

/// Shows an error and its sources as one text.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_their_sources() {
        let error = ConnectError::Lost(ConnectionError::TimedOut);
        let reason = CloseReason::Lost(DisconnectReason::Connect(error));
        assert_eq!(
            reason.to_string(),
            format!(
                "the connection was lost before the server answered: {}",
                ConnectionError::TimedOut
            )
        );
    }
}
