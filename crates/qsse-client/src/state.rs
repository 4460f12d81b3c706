//! [`ConnectionState`] and [`StateStream`]: the state of the connection.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use qsse_proto::Epoch;
use tokio::sync::watch;

use crate::error::{CloseReason, DisconnectReason};

/// The state of the connection.
///
/// ```text
///  Connecting ──▶ Connected ⇄ Reconnecting
///      │              │            │
///      └──────────────┴────────────┴──▶ Closed
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionState {
    /// The client connects for the first time.
    Connecting,
    /// The server has accepted the client.
    #[non_exhaustive]
    Connected {
        /// The server's address.
        address: SocketAddr,
        /// The program and version that the server reports; empty with the Go library's
        /// [`Dialect`](crate::Dialect).
        server: String,
        /// The epoch of the server's log, which changes with each start of the server; 0 with the
        /// Go library's dialect.
        epoch: Epoch,
    },
    /// The connection was lost, and the client reconnects after `delay`. Subscriptions and
    /// publishers wait.
    #[non_exhaustive]
    Reconnecting {
        /// The number of this attempt since the connection was lost, from 1.
        attempt: u32,
        /// How long the client waits before this attempt.
        delay: Duration,
        /// Why the connection was lost, or the last attempt failed.
        reason: DisconnectReason,
    },
    /// There is no connection, and there will be none.
    #[non_exhaustive]
    Closed {
        /// Why the client is closed.
        reason: CloseReason,
    },
}

impl ConnectionState {
    /// Returns whether the server has accepted the client.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Returns whether the client is closed for good.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Connected { address, .. } => write!(f, "connected to {address}"),
            Self::Reconnecting {
                attempt,
                delay,
                reason,
            } => {
                let delay =
                    Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
                let delay = humantime::format_duration(delay);
                write!(f, "{reason}; attempt {attempt} to reconnect in {delay}")
            }
            Self::Closed { reason } => write!(f, "closed: {reason}"),
        }
    }
}

/// The states of a connection as a stream: the current one, then each change. It ends after
/// [`ConnectionState::Closed`]. Made by [`Client::state`](crate::Client::state).
///
/// It yields the latest state, and skips those that passed between two polls. It does not keep the
/// connection alive.
pub struct StateStream {
    states: watch::Receiver<Arc<ConnectionState>>,
    changes: BoxStream<'static, ConnectionState>,
}

impl StateStream {
    pub(crate) fn new(states: watch::Receiver<Arc<ConnectionState>>) -> Self {
        let mut receiver = states.clone();
        receiver.mark_changed();
        let changes = stream::unfold(Some(receiver), async |receiver| {
            let mut receiver = receiver?;
            receiver.changed().await.ok()?;
            let state = ConnectionState::clone(&receiver.borrow_and_update());
            let more = (!state.is_closed()).then_some(receiver);
            Some((state, more))
        });
        Self {
            states,
            changes: changes.fuse().boxed(),
        }
    }

    /// Waits for the next state and returns it; returns `None` after [`ConnectionState::Closed`].
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<ConnectionState> {
        self.changes.next().await
    }

    /// Returns the current state. [`next`](Self::next) still yields it.
    pub fn current(&self) -> ConnectionState {
        ConnectionState::clone(&self.states.borrow())
    }
}

impl Stream for StateStream {
    type Item = ConnectionState;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.poll_next_unpin(cx)
    }
}

impl fmt::Debug for StateStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateStream")
            .field("current", &self.current())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_current_state_comes_first_and_closed_is_the_last() {
        let sender = watch::Sender::new(Arc::new(ConnectionState::Connecting));
        let mut states = StateStream::new(sender.subscribe());
        assert!(matches!(
            states.next().await,
            Some(ConnectionState::Connecting)
        ));
        sender.send_replace(Arc::new(ConnectionState::Closed {
            reason: CloseReason::Local,
        }));
        assert!(states.current().is_closed());
        assert!(states.next().await.is_some_and(|state| state.is_closed()));
        assert!(states.next().await.is_none());
        assert!(states.next().await.is_none());
        // A stream that is made later yields it too.
        let mut late = StateStream::new(sender.subscribe());
        assert!(late.next().await.is_some_and(|state| state.is_closed()));
        assert!(late.next().await.is_none());
    }

    #[tokio::test]
    async fn it_ends_with_what_it_watches() {
        let sender = watch::Sender::new(Arc::new(ConnectionState::Connecting));
        let mut states = StateStream::new(sender.subscribe());
        drop(sender);
        // A state that was not yielded yet still is.
        assert!(states.next().await.is_some());
        assert!(states.next().await.is_none());
    }
}
