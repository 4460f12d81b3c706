//! [`Disconnect`]: why a connection is no longer used, and what follows.

use std::time::Duration;

use qsse_proto::Code;
use qsse_proto::control::Goodbye;
use qsse_transport::{Connection, ConnectionError, FrameError, ServerUrl};
use tokio::time::timeout;

use crate::error::{CloseReason, DisconnectReason, RefreshError};
use crate::text::plain;

/// How long to wait until the server is notified of a closed connection.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// How long after its control stream a connection may end.
const CONNECTION_END: Duration = Duration::from_secs(1);

/// Why a connection is no longer used.
pub(super) enum Disconnect {
    /// The client is being closed.
    Closing,
    Lost {
        reason: DisconnectReason,
        /// How long the server asks to wait before reconnecting.
        wait: Option<Duration>,
        /// Where the server sends its clients.
        moved: Option<ServerUrl>,
    },
    /// The client does not reconnect.
    Final(CloseReason),
}

impl Disconnect {
    /// Makes the disconnect of a server that said goodbye.
    pub(super) fn after(goodbye: Goodbye) -> Self {
        let Goodbye {
            code,
            message,
            retry_after_ms,
            address,
        } = goodbye;
        let message = plain(message);
        Self::Lost {
            reason: DisconnectReason::Goodbye { code, message },
            wait: retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
            moved: address.as_deref().and_then(other_server),
        }
    }

    pub(super) fn lost(reason: DisconnectReason) -> Self {
        Self::Lost {
            reason,
            wait: None,
            moved: None,
        }
    }
}

/// Returns the reason after the control stream has ended.
pub(super) async fn control_ended(connection: &Connection) -> DisconnectReason {
    // A server that closes the connection may end the stream first.
    match timeout(CONNECTION_END, connection.closed()).await {
        Ok(error) => DisconnectReason::Lost(error),
        Err(_) => violated(connection, "it ended the control stream"),
    }
}

/// Closes a connection of the Go dialect whose stream of events was read to its end. A draining
/// server waits for this.
pub(super) fn go_stream_ended(connection: &Connection) -> DisconnectReason {
    if let Some(error) = connection.close_reason() {
        return DisconnectReason::Lost(error);
    }
    connection.close(Code::NO_ERROR, "");
    DisconnectReason::StreamEnded
}

/// Returns the reason after reading the control stream has failed.
pub(super) async fn control_failed(connection: &Connection, error: FrameError) -> DisconnectReason {
    match error {
        FrameError::Decode(error) => {
            connection.close(error.code(), "");
            DisconnectReason::Protocol(error)
        }
        _ => control_ended(connection).await,
    }
}

/// Closes the connection because the server violated the protocol.
pub(super) fn violated(connection: &Connection, text: &'static str) -> DisconnectReason {
    connection.close(Code::PROTOCOL_VIOLATION, text);
    DisconnectReason::Violation(text)
}

/// Parses the address in a goodbye. Its fingerprints are ignored: the other server is verified as
/// this one was.
fn other_server(address: &str) -> Option<ServerUrl> {
    let url: ServerUrl = address.parse().ok()?;
    ServerUrl::new(url.host(), url.port()).ok()
}

/// Returns the error of a refresh on a connection that has ended.
pub(super) fn refresh_error(reason: &DisconnectReason) -> RefreshError {
    match reason {
        DisconnectReason::Lost(ConnectionError::Closed {
            code,
            reason: message,
        }) if *code == Code::NOT_AUTHORISED => RefreshError::NotAuthorised {
            code: *code,
            message: message.clone(),
        },
        // Also if the older token has expired, since that says nothing about the newer one.
        reason => RefreshError::Lost(reason.clone()),
    }
}
