//! [`RefreshError`]: why a newer token was not accepted.

use qsse_proto::Code;
use qsse_proto::control::TokenTooLong;

use super::in_brackets;
use super::reason::{CloseReason, DisconnectReason};

/// Why [`Client::refresh_token`](crate::Client::refresh_token) failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The token is longer than a server accepts.
    #[error(transparent)]
    TokenTooLong(#[from] TokenTooLong),
    /// The server refused the token, and has closed the connection.
    #[error(
        "the server refused the token: {code}{}; give a valid one",
        in_brackets(message)
    )]
    NotAuthorised {
        /// The reason, as a number.
        code: Code,
        /// The reason, in words; may be empty.
        message: String,
    },
    /// The connection was lost before the answer. If the token is a value, later connections use
    /// the newer one.
    #[error("the connection was lost before the server answered: {0}")]
    Lost(DisconnectReason),
    /// There is no connection at this moment. If the token is a value, the next connection uses the
    /// newer one.
    #[error("there is no connection at this moment: the next one uses the token")]
    NotConnected,
    /// The Go library's protocol accepts a token only when a connection begins; see
    /// [`Dialect`](crate::Dialect). Open connections continue as before. If the token is a value,
    /// later connections use the newer one.
    #[error(
        "this server speaks the Go library's protocol, which accepts a token only when a connection \
         begins: later connections use the newer token"
    )]
    Unsupported,
    /// The client is closed.
    #[error("the client is closed: {0}")]
    Closed(CloseReason),
}

impl RefreshError {
    /// Returns whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::NotConnected)
    }
}
