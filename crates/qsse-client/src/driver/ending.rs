//! Why a connection is no longer used, and what follows from that.

use std::time::Duration;

use qsse_proto::Code;
use qsse_transport::{Connection, ConnectionError, FrameError, ServerUrl};
use tokio::time::timeout;

use crate::error::RefreshError;
use crate::state::{CloseReason, DisconnectReason};

/// How long the connection may take to end once its control stream has.
const END_TOGETHER: Duration = Duration::from_secs(1);

/// Why a connection is no longer used.
pub(super) enum Ended {
    /// The client is being closed.
    Closing,
    Lost {
        reason: DisconnectReason,
        wait: Option<Duration>,
        moved: Option<ServerUrl>,
    },
    /// There is to be no other.
    Over(CloseReason),
}

pub(super) async fn control_ended(connection: &Connection) -> DisconnectReason {
    // A server that closes the connection may end the stream before.
    match timeout(END_TOGETHER, connection.closed()).await {
        Ok(error) => DisconnectReason::Lost(error),
        Err(_) => violated(connection, "it ended the control stream"),
    }
}

/// In the Go library's dialect: the stream of events has been read to its end, which a server that drains is waiting for.
pub(super) fn ended_stream(connection: &Connection) -> DisconnectReason {
    if let Some(error) = connection.close_reason() {
        return DisconnectReason::Lost(error);
    }
    connection.close(Code::NO_ERROR, "");
    DisconnectReason::StreamEnded
}

pub(super) async fn control_failed(connection: &Connection, error: FrameError) -> DisconnectReason {
    match error {
        FrameError::Decode(error) => {
            connection.close(error.code(), "");
            DisconnectReason::Protocol(error)
        }
        _ => control_ended(connection).await,
    }
}

pub(super) fn violated(connection: &Connection, text: &'static str) -> DisconnectReason {
    connection.close(Code::PROTOCOL_VIOLATION, text);
    DisconnectReason::Violation(text)
}

/// Where a goodbye sends its clients. It must prove itself as the server before did, so fingerprints in it do not count.
pub(super) fn other_server(address: &str) -> Option<ServerUrl> {
    let url: ServerUrl = address.parse().ok()?;
    ServerUrl::new(url.host(), url.port()).ok()
}

pub(super) fn refresh_error(reason: &DisconnectReason) -> RefreshError {
    match reason {
        DisconnectReason::Lost(ConnectionError::Closed {
            code,
            reason: message,
        }) if *code == Code::NOT_AUTHORISED => RefreshError::NotAuthorised {
            code: *code,
            message: message.clone(),
        },
        // Also where the token before it has expired: of the newer one nothing was said.
        reason => RefreshError::Lost(reason.clone()),
    }
}
