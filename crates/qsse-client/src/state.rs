//! [`ConnectionState`]: how the connection is doing, as a value and as a stream.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use qsse_proto::{Code, DecodeError, Epoch};
use qsse_transport::ConnectionError;
use tokio::sync::watch;

use crate::error::{ConnectError, in_brackets};

/// How the connection is doing.
///
/// ```text
///  Connecting ──▶ Connected ⇄ Reconnecting
///      │              │            │
///      └──────────────┴────────────┴──▶ Closed
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionState {
    /// The first connection is being made.
    Connecting,
    /// The server has let the client in.
    #[non_exhaustive]
    Connected {
        /// The server's address.
        address: SocketAddr,
        /// The server's program and version, as it calls itself; empty with the Go library's [`Dialect`](crate::Dialect).
        server: String,
        /// The epoch of the server's log, 0 with the Go library's dialect. It is another one after each start of the server.
        epoch: Epoch,
    },
    /// The connection was lost; the next attempt is made after `delay`. Subscriptions and publishers wait.
    #[non_exhaustive]
    Reconnecting {
        /// Which attempt since the connection was lost, from 1.
        attempt: u32,
        /// How long it waits before this attempt.
        delay: Duration,
        /// Why the connection was lost, or the last attempt failed.
        reason: DisconnectReason,
    },
    /// There is no connection and there will be none.
    #[non_exhaustive]
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

impl ConnectionState {
    /// Whether the server has let the client in.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Whether it is over for good.
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

/// Why a connection was lost, or why it could not be made again so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// It broke, or the server closed it.
    Lost(ConnectionError),
    /// The server said goodbye: it is shutting down, or moving its clients.
    Goodbye {
        /// Why, as a number.
        code: Code,
        /// Why, in words; may be empty.
        message: String,
    },
    /// The server sent something that cannot be understood.
    Protocol(DecodeError),
    /// The server broke the protocol in another way, in words.
    Violation(&'static str),
    /// In the Go library's [`Dialect`](crate::Dialect) the server ended a subscription's stream: it is shutting down.
    StreamEnded,
    /// The server speaks another [`Dialect`](crate::Dialect) than before.
    Dialect,
    /// An attempt to connect again failed.
    Connect(ConnectError),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => write!(f, "connection lost: {error}"),
            Self::Goodbye { code, message } => {
                write!(f, "the server said goodbye: {code}{}", in_brackets(message))
            }
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Violation(text) => write!(f, "the server broke the protocol: {text}"),
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
    /// The connection was lost and is not to be made again, see [`ReconnectPolicy`](crate::ReconnectPolicy).
    Lost(DisconnectReason),
    /// Connecting failed in a way that trying again does not mend, for instance because the token was refused.
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

/// An error with its sources, where a reason is shown as one text.
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

/// The states of a connection as a stream: the current one first, then each that follows, and the end after
/// [`ConnectionState::Closed`].
///
/// It always gives the latest: states that came and went between two looks are left out. It does not keep the connection alive.
pub struct States {
    states: watch::Receiver<Arc<ConnectionState>>,
    changes: BoxStream<'static, ConnectionState>,
}

impl States {
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

    /// The next state; `None` once it is closed for good. Cancel-safe.
    pub async fn next(&mut self) -> Option<ConnectionState> {
        self.changes.next().await
    }

    /// The state of this moment. It does not count as seen.
    pub fn current(&self) -> ConnectionState {
        ConnectionState::clone(&self.states.borrow())
    }
}

impl Stream for States {
    type Item = ConnectionState;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.poll_next_unpin(cx)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
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
        let mut states = States::new(sender.subscribe());
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
        // A latecomer sees it too.
        let mut late = States::new(sender.subscribe());
        assert!(late.next().await.is_some_and(|state| state.is_closed()));
        assert!(late.next().await.is_none());
    }

    #[tokio::test]
    async fn it_ends_with_what_it_watches() {
        let sender = watch::Sender::new(Arc::new(ConnectionState::Connecting));
        let mut states = States::new(sender.subscribe());
        drop(sender);
        // What was never seen is still given.
        assert!(states.next().await.is_some());
        assert!(states.next().await.is_none());
    }

    #[test]
    fn reasons_name_their_sources() {
        let error = ConnectError::Lost(ConnectionError::TimedOut);
        let reason = CloseReason::Lost(DisconnectReason::Connect(error));
        assert_eq!(
            reason.to_string(),
            "the connection was lost before the server answered: the peer has not been heard of for \
             longer than the idle timeout"
        );
    }
}
