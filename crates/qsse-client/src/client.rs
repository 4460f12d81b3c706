//! [`Client`]: a connection to a server, and its operations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use qsse_proto::control::Token;
use qsse_topic::IntoFilter;
use tokio::sync::oneshot;

use crate::connect::Connect;
use crate::core::{Command, Handle};
use crate::dialect::Dialect;
use crate::error::{CloseReason, PublishError, RefreshError, SubscribeError};
use crate::handlers::{Handlers, HandlersHandle};
use crate::publish::{Publish, PublishMatching, Publisher, round_trip};
use crate::state::{ConnectionState, StateStream};
use crate::subscription::Subscribe;
use crate::url::IntoServerUrl;

/// A client of a server. Clones are cheap handles to the same connection.
///
/// A task that is spawned when connecting keeps the client connected: it restores a lost
/// connection, and subscriptions resume after the last event that they handed out.
/// [`state`](Self::state) reports the state of the connection.
///
/// Dropping the last handle closes the connection at once; clients,
/// [subscriptions](crate::Subscription) and [publishers](Publisher) are handles.
/// [`shutdown`](Self::shutdown) lets publishers finish first. Dropping never blocks, and needs no
/// runtime.
///
/// The futures can be awaited on any executor. The tasks run on the tokio runtime in which the
/// client was connected.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

impl Client {
    /// Connects to a server: `HOST`, `HOST:PORT`, or `qsse://HOST[:PORT]`, optionally with
    /// `?fingerprint=…`. Await the returned value, within a tokio runtime.
    ///
    /// All addresses of the name are tried, each 250 ms after the one before, within 5 s
    /// ([`Connect::connect_timeout`]). If this first connection fails, it is not retried unless
    /// [`Connect::retry`] says so.
    ///
    /// # Errors
    /// Returns a [`ConnectError`](crate::ConnectError) when awaited.
    pub fn connect(server: impl IntoServerUrl) -> Connect {
        Connect::new(server.into_server_url())
    }

    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// Subscribes to a pattern, several patterns, or a filter. Await the returned value;
    /// [`start`](Subscribe::start) and [`on_lag`](Subscribe::on_lag) can be set before.
    ///
    /// Every matching event that is published after the call has returned is delivered. In the Go
    /// library's [`Dialect`], which confirms nothing, delivery begins a little later. While there
    /// is no connection, the call waits for the next one.
    ///
    /// # Errors
    /// Returns a [`SubscribeError`] when awaited, for instance if the server refuses the topic.
    pub fn subscribe(&self, filter: impl IntoFilter) -> Subscribe {
        Subscribe::new(self.handle.clone(), filter.into_filter())
    }

    /// Subscribes to the topics of handlers and runs them; see [`Handlers`].
    ///
    /// # Errors
    /// Fails as [`subscribe`](Self::subscribe) does, and if a handler's pattern is invalid or there
    /// is none.
    pub async fn handle(&self, handlers: Handlers) -> Result<HandlersHandle, SubscribeError> {
        handlers.run(&self.handle).await
    }

    /// Publishes an event on a topic. Await the returned value, to wait for the server's
    /// acknowledgement and to get the event's id. [`kind`](Publish::kind) and [`key`](Publish::key)
    /// can be set before.
    ///
    /// Publishes that are awaited at the same time share a stream and are written together. The
    /// publishes that one task awaits one after the other keep their order. While there is no
    /// connection, the call waits for the next one, for at most
    /// [`Config::publish_wait`](crate::Config#structfield.publish_wait).
    ///
    /// If the connection is lost before the acknowledgement, the event is sent again over the next
    /// one, under a key by which the server recognises an event that it has accepted; its id is
    /// then that of the first attempt. If the server cannot tell, the error is
    /// [`PublishError::OutcomeUnknown`]; the event is never published twice.
    /// [`Config::publish_retry`](crate::Config#structfield.publish_retry) turns this off.
    ///
    /// If the future is dropped before it is done, the event may have been published or not.
    ///
    /// # Errors
    /// Returns a [`PublishError`] when awaited, for instance if the topic contains `*`: see
    /// [`publish_matching`](Self::publish_matching). In the Go library's [`Dialect`] it is always
    /// [`PublishError::Unsupported`].
    pub fn publish(&self, topic: impl AsRef<str>, data: impl AsRef<[u8]>) -> Publish {
        Publish::new(self.handle.clone(), topic.as_ref(), data.as_ref())
    }

    /// Publishes a value as JSON.
    ///
    /// # Errors
    /// Fails as [`publish`](Self::publish) does, and if the value cannot be written as JSON.
    #[cfg(feature = "json")]
    pub fn publish_json(&self, topic: impl AsRef<str>, value: &impl serde::Serialize) -> Publish {
        Publish::json(self.handle.clone(), topic.as_ref(), value)
    }

    /// Publishes an event on every topic that a pattern matches, among those that the server has
    /// declared by name or has an event of: on all of them or, after an error, on none.
    ///
    /// # Errors
    /// Returns a [`PublishError`] when awaited. A pattern that matches no topic is not an error:
    /// the count is then 0.
    pub fn publish_matching(
        &self,
        pattern: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> PublishMatching {
        PublishMatching::new(self.handle.clone(), pattern.as_ref(), data.as_ref())
    }

    /// Makes a publisher, which sends many events in order without waiting for each. It opens its
    /// own stream with the first event. For a publisher that continues after a lost connection see
    /// [`exactly_once`](Publisher::exactly_once).
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.handle.clone())
    }

    /// Returns which protocol the server speaks: [`Dialect::Qsse`] or [`Dialect::Go`]. With
    /// [`Dialect::Auto`] it may change after a lost connection.
    pub fn dialect(&self) -> Dialect {
        if self.handle.core.speaks_go() {
            Dialect::Go
        } else {
            Dialect::Qsse
        }
    }

    /// Returns the states of the connection as a stream that begins with the current one.
    pub fn state(&self) -> StateStream {
        StateStream::new(self.handle.core.states())
    }

    /// Sends a newer token to the server without reconnecting, and returns for how long it is
    /// valid; `None` means without limit.
    ///
    /// If the client was given its token as a value, later connections use the newer one too.
    ///
    /// # Errors
    /// Returns a [`RefreshError`]. If the server refuses the token, it closes the connection. In
    /// the Go library's [`Dialect`] the error is always [`RefreshError::Unsupported`], and later
    /// connections use the newer token.
    pub async fn refresh_token(
        &self,
        token: impl Into<String>,
    ) -> Result<Option<Duration>, RefreshError> {
        let core = &self.handle.core;
        let token = Token::new(token)?;
        let (done, answer) = oneshot::channel();
        core.command(Command::Refresh {
            token: token.clone(),
            done,
        });
        let result = match answer.await {
            Ok(result) => result,
            Err(_) => Err(RefreshError::Closed(
                core.closed().unwrap_or(CloseReason::Local),
            )),
        };
        if !matches!(result, Err(RefreshError::NotAuthorised { .. })) {
            core.token.lock().replace(&token);
        }
        result
    }

    /// Measures a round trip to the server.
    ///
    /// It opens a publishing stream without an event, so that the server's publishing code answers
    /// and a server that hangs does not. It publishes no event and needs no permission.
    ///
    /// # Errors
    /// Fails if there is no connection within
    /// [`Config::publish_wait`](crate::Config#structfield.publish_wait), or if it is lost during
    /// the call. In the Go library's [`Dialect`] it always fails: use [`rtt`](Self::rtt) there.
    pub async fn ping(&self) -> Result<Duration, PublishError> {
        let session = self.handle.core.connected().await?;
        round_trip(&session).await
    }

    /// Returns the transport's estimate of the round-trip time, without a request; `None` while
    /// there is no connection. In the Go library's dialect it is that of the most recent
    /// connection.
    pub fn rtt(&self) -> Option<Duration> {
        self.handle
            .core
            .any_connection()
            .map(|connection| connection.stats().rtt)
    }

    /// Closes the connection at once. Unsent events of publishers are dropped, and subscriptions
    /// end once they have read what has arrived.
    ///
    /// Await [`closed`](Self::closed) before the process ends, so that the server is notified.
    pub fn close(&self) {
        let core = &self.handle.core;
        core.refuse_more(CloseReason::Local);
        core.closing.cancel();
    }

    /// Refuses further calls, waits for at most `timeout` until everything published so far is
    /// acknowledged, then closes the connection and waits until the server is notified.
    ///
    /// [`Publisher::flush`] reports what was still in flight. If the future is dropped, the
    /// connection stays open, but further calls are still refused.
    ///
    /// The timeout is measured by the tokio runtime in which the client was connected. The call
    /// returns only if that runtime runs or has been dropped. A current-thread runtime that exists
    /// but that nobody drives runs neither its timers nor the client's tasks: in this one case the
    /// call waits until somebody drives it.
    pub async fn shutdown(&self, timeout: Duration) -> CloseReason {
        let core = &self.handle.core;
        core.refuse_more(CloseReason::Local);
        if let Some(session) = core.session() {
            tokio::select! {
                biased;
                () = core.publish_streams.drained(&session) => {}
                // The runtime may end in the meantime, and the timer with it.
                _ = core.wait_closed() => {}
                () = core.sleep(timeout) => {}
            }
        }
        core.closing.cancel();
        core.wait_closed().await
    }

    /// Waits until the client is closed for good, and returns why. It does not keep the connection
    /// alive beyond this handle. Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        self.handle.core.wait_closed().await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state: ConnectionState = self.state().current();
        f.debug_struct("Client").field("state", &state).finish()
    }
}
