//! Sessions: one per connection, from its handshake to its end.
//!
//! ```text
//! accept ──▶ handshake ──┬──▶ hello ──▶ control loop ──┬──▶ delivery    (a task per subscription)
//!                        │                            └──▶ publishing  (a task per publishing stream)
//!                        └──▶ go: offer ──▶ delivery  (a client of the Go library, by its ALPN)
//! ```

mod control;
mod delivery;
mod encoding;
mod go;
mod hello;
pub(crate) mod notices;
mod opening;
mod pace;
mod publishing;
mod replies;
mod subscribing;
mod subscriptions;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use qsse_proto::{Code, DecodeError, GO_ALPN};
use qsse_transport::{Connection, ConnectionError, FrameError, HandshakeError};

use crate::access::Access;
use crate::server::Closed;
use crate::shared::Shared;

/// What the tasks of one connection share.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Connection,
    pub(crate) access: Access,
    /// When it was let in, by the monotonic clock.
    welcomed: Duration,
}

impl Session {
    /// When something was first tried of which the client says now that it was `ago_ms` ago: that is not later, by the monotonic clock,
    /// than this.
    ///
    /// What the client says is older than it says by the time that it was on its way, which the client cannot know. It was no longer on its
    /// way than the connection has been there, and no longer than a connection lives without an answer.
    fn tried(&self, ago_ms: u64) -> Tried {
        let read = self.shared.clock.now().monotonic;
        let here = read.saturating_sub(self.welcomed);
        let on_its_way = here.min(self.shared.config.transport.idle_timeout);
        let ago = Duration::from_millis(ago_ms).saturating_add(on_its_way);
        Tried { read, ago }
    }
}

/// When a publish was first tried, at the earliest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    /// When that was read.
    read: Duration,
    /// How long before.
    ago: Duration,
}

impl Tried {
    /// How long ago it is by now.
    fn ago(self, now: Duration) -> Duration {
        self.ago.saturating_add(now.saturating_sub(self.read))
    }
}

/// Takes connections until the server ends.
pub(crate) async fn accept(shared: Arc<Shared>) {
    loop {
        let handshake = tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            handshake = shared.endpoint.accept() => handshake,
        };
        match handshake {
            Some(handshake) => {
                let runtime = handshake.runtime().clone();
                let session = serve(Arc::clone(&shared), Box::pin(handshake.complete()));
                drop(shared.sessions.spawn_on(session, &runtime));
            }
            None if shared.draining.is_cancelled() => return,
            None => {
                tracing::error!("the endpoint failed and takes no more connections");
                shared.close(Closed::EndpointFailed);
                // Other shards could go on, with a part of the clients.
                let reason = "the server has failed";
                return shared.endpoint.close(Code::SHUTTING_DOWN, reason);
            }
        }
    }
}

/// One connection, from handshake to end.
///
/// What is awaited or given away once is in a box, so that its memory is given back: a task has room for the largest of its steps, and
/// for its arguments to the end.
async fn serve<H>(shared: Arc<Shared>, handshake: Pin<Box<H>>)
where
    H: Future<Output = Result<Connection, HandshakeError>>,
{
    let connection = match handshake.await {
        Ok(connection) => connection,
        Err(error) => {
            shared.metrics.handshakes_failed.add(1);
            return tracing::debug!(%error, "a handshake came to nothing");
        }
    };
    let over = CloseWithIt(&connection);
    #[cfg(feature = "testing")]
    shared.note(&connection);
    shared.metrics.connections_total.add(1);
    let _open = shared.metrics.connections.hold();
    let peer = connection.remote_address();
    let served = if connection.alpn() == GO_ALPN {
        Box::pin(go::serve(&shared, &connection)).await
    } else {
        frames(&shared, &connection).await
    };
    let (Ok(end) | Err(Turned(end))) = &served;
    if served.is_err() {
        shared.metrics.refuse("connection", end.code);
        tracing::info!(%peer, code = %end.code, reason = end.reason, "a connection was refused");
    } else {
        tracing::debug!(%peer, code = %end.code, reason = end.reason, "a client left");
    }
    connection.close(end.code, &end.reason);
    drop(over);
}

/// Closes a connection whose session panicked: its subscriptions would go on, with nobody who minds its token, its requests or a drain.
struct CloseWithIt<'c>(&'c Connection);

impl Drop for CloseWithIt<'_> {
    fn drop(&mut self) {
        // It was closed already, unless by a panic.
        self.0.close(Code::UNKNOWN, "the server has failed");
    }
}

/// One client that speaks `qsse/1`.
async fn frames(shared: &Arc<Shared>, connection: &Connection) -> Result<End, Turned> {
    let (session, streams) = Box::pin(hello::receive(shared, connection)).await?;
    let session = Arc::new(session);
    let principal = session.access.principal();
    tracing::debug!(peer = %connection.remote_address(), principal = principal.name(), "a client connected");
    Ok(control::run(&session, streams).await)
}

/// A client that was not let in, and what it is told.
pub(crate) struct Turned(End);

impl From<End> for Turned {
    fn from(end: End) -> Self {
        Self(end)
    }
}

/// Why a connection is closed.
pub(crate) struct End {
    pub(crate) code: Code,
    pub(crate) reason: String,
}

impl End {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    fn shutting_down() -> Self {
        Self::new(Code::SHUTTING_DOWN, "the server is shutting down")
    }
}

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        Self::new(Code::NO_ERROR, error.to_string())
    }
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Decode(error) => error.into(),
            FrameError::Truncated => Self::new(Code::PROTOCOL_VIOLATION, error.to_string()),
            _ => Self::new(Code::NO_ERROR, error.to_string()),
        }
    }
}
