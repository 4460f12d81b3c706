//! [`RefreshError`]: why a newer token was not taken.

use qsse_proto::Code;
use qsse_proto::control::TokenTooLong;

use super::in_brackets;
use crate::state::{CloseReason, DisconnectReason};

/// Why [`Client::refresh_token`](crate::Client::refresh_token) failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The token is longer than a server takes.
    #[error(transparent)]
    TokenTooLong(#[from] TokenTooLong),
    /// The server refused the token, and has closed the connection.
    #[error(
        "the server refused the token: {code}{}; give a valid one",
        in_brackets(message)
    )]
    NotAuthorised {
        /// Why, as a number.
        code: Code,
        /// Why, in words; may be empty.
        message: String,
    },
    /// The connection was lost before the answer. Where the token is a value, the newer one is used from now on all the same.
    #[error("the connection was lost before the server answered: {0}")]
    Lost(DisconnectReason),
    /// There is no connection at this moment. Where the token is a value, the newer one is used for the next.
    #[error("there is no connection at this moment: the token is used for the next one")]
    NotConnected,
    /// The Go library's protocol takes a token only when a connection begins, see [`Dialect`](crate::Dialect): those that are open go on as
    /// before. Where the token is a value, the newer one is used for later connections.
    #[error(
        "the Go library's protocol, which this server speaks, takes a token only when a connection begins: later ones use the newer token"
    )]
    Unsupported,
    /// The client is closed.
    #[error("the client is closed: {0}")]
    Closed(CloseReason),
}

impl RefreshError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::NotConnected)
    }
}
