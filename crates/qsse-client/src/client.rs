//! [`Client`]: a connection to a server, and what can be asked of it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use qsse_proto::control::Token;
use qsse_topic::IntoFilter;
use tokio::sync::oneshot;

use crate::connect::Connect;
use crate::core::{Command, Handle};
use crate::dialect::Dialect;
use crate::error::{PublishError, RefreshError, SubscribeError};
use crate::handlers::{Handlers, HandlersHandle};
use crate::publish::{Publish, PublishMatching, Publisher, round_trip};
use crate::state::{CloseReason, ConnectionState, States};
use crate::subscription::Subscribe;
use crate::url::IntoServerUrl;

/// A client of a server. Clones are cheap handles to the same connection.
///
/// A task of its own, spawned when connecting, keeps it connected: a lost connection is made again, and subscriptions go on after the last
/// event they handed out. [`state`](Self::state) tells how it is doing.
///
/// The last handle dropped (clients, [subscriptions](crate::Subscription) and [publishers](Publisher) count) closes the
/// connection at once; [`shutdown`](Self::shutdown) lets publishers finish. Dropping never blocks, and needs no runtime.
///
/// Its futures can be awaited on any executor; its tasks run on the tokio runtime that it was connected in.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

impl Client {
    /// Connects to a server: `HOST`, `HOST:PORT`, or `qsse://HOST[:PORT]`, optionally with `?fingerprint=…`. Await what it returns.
    ///
    /// All addresses that the name stands for are tried, each 250 ms after the one before, within 5 s
    /// ([`Connect::connect_timeout`]). This first connection fails at once unless [told to retry](Connect::retry).
    ///
    /// # Errors
    /// [`ConnectError`](crate::ConnectError) tells what to do. Awaiting needs a tokio runtime.
    pub fn connect(server: impl IntoServerUrl) -> Connect {
        Connect::new(server.into_server_url())
    }

    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// Subscribes to a pattern, several of them, or a filter. Await what it returns; [`start`](Subscribe::start) and
    /// [`on_lag`](Subscribe::on_lag) can be set before.
    ///
    /// Once awaited, every matching event published from then on is delivered; in the Go library's [`Dialect`], which confirms nothing, a
    /// little later. While the connection is lost it waits for
    /// the next one.
    ///
    /// # Errors
    /// Awaited: [`SubscribeError`], for instance when the server refuses the topic.
    pub fn subscribe(&self, filter: impl IntoFilter) -> Subscribe {
        Subscribe::new(self.handle.clone(), filter.into_filter())
    }

    /// Subscribes to the topics of handlers and runs them; see [`Handlers`].
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe); also when a handler's pattern cannot be read, or there is none.
    pub async fn handle(&self, handlers: Handlers) -> Result<HandlersHandle, SubscribeError> {
        handlers.run(self).await
    }

    /// Publishes an event on a topic. Await what it returns: then the server has acknowledged it, and its id is known.
    /// [`kind`](Publish::kind) and [`key`](Publish::key) can be set before.
    ///
    /// Publishes awaited at the same time share a stream and are written together; those of one task, one after the other, keep their order.
    /// While the connection is lost it waits for the next one, up to [`Config::publish_wait`](crate::Config#structfield.publish_wait).
    ///
    /// When the connection is lost before the acknowledgement, the event is sent again over the next one, under a key by which the server
    /// knows whether it has taken it already: then the id is that of the first time. What cannot be found out is
    /// [`PublishError::OutcomeUnknown`], never a second publish. [`Config::publish_retry`](crate::Config#structfield.publish_retry) turns
    /// that off.
    ///
    /// A future dropped before it is done may have published the event or not.
    ///
    /// # Errors
    /// Awaited: [`PublishError`]. A `*` in the topic is one: see [`publish_matching`](Self::publish_matching). In the Go library's
    /// [`Dialect`] it is always [`PublishError::Unsupported`].
    pub fn publish(&self, topic: impl AsRef<str>, data: impl AsRef<[u8]>) -> Publish {
        Publish::new(self.handle.clone(), topic.as_ref(), data.as_ref())
    }

    /// Publishes a value as JSON.
    ///
    /// # Errors
    /// Awaited: as [`publish`](Self::publish), and when the value cannot be written as JSON.
    #[cfg(feature = "json")]
    pub fn publish_json(&self, topic: impl AsRef<str>, value: &impl serde::Serialize) -> Publish {
        Publish::json(self.handle.clone(), topic.as_ref(), value)
    }

    /// Publishes an event on every topic that a pattern matches, among those that the server has declared by name or keeps an event of: all
    /// of them or, on an error, none.
    ///
    /// # Errors
    /// Awaited: [`PublishError`]. To match no topic is none: the count is 0 then.
    pub fn publish_matching(
        &self,
        pattern: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> PublishMatching {
        PublishMatching::new(self.handle.clone(), pattern.as_ref(), data.as_ref())
    }

    /// A publisher, for many events in order without waiting for each. It opens a stream of its own with the first event. For one that goes on over
    /// lost connections see [`exactly_once`](Publisher::exactly_once).
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.handle.clone())
    }

    /// Which protocol the server speaks: [`Dialect::Qsse`] or [`Dialect::Go`]. With [`Dialect::Auto`] it may be another after a lost
    /// connection.
    pub fn dialect(&self) -> Dialect {
        if self.handle.core.speaks_go() {
            Dialect::Go
        } else {
            Dialect::Qsse
        }
    }

    /// How the connection is doing, as a stream that begins with the state of this moment.
    pub fn state(&self) -> States {
        States::new(self.handle.core.states())
    }

    /// Shows a newer token to the server without reconnecting, and returns for how long it is good; `None` is for ever.
    ///
    /// A client that was given its token as a value uses the newer one for later connections too.
    ///
    /// # Errors
    /// [`RefreshError`]. A token that the server refuses closes the connection. In the Go library's [`Dialect`] it is always
    /// [`RefreshError::Unsupported`], and the newer token is for later connections.
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

    /// The time that a question takes to the server and back.
    ///
    /// It goes through the server's code for publishing, by a stream without an event, so a server that hangs does not answer. No event
    /// is published and no permission needed.
    ///
    /// # Errors
    /// In the Go library's [`Dialect`], which has no such question: use [`rtt`](Self::rtt) there. When there is no connection within [`Config::publish_wait`](crate::Config#structfield.publish_wait), or it is lost meanwhile.
    pub async fn ping(&self) -> Result<Duration, PublishError> {
        let session = self.handle.core.connected().await?;
        round_trip(&session).await
    }

    /// The transport's estimate of the round trip, without asking; `None` while there is no connection. In the Go library's dialect that of
    /// the connection made last.
    pub fn rtt(&self) -> Option<Duration> {
        self.handle
            .core
            .any_connection()
            .map(|connection| connection.stats().rtt)
    }

    /// Closes the connection at once: what publishers have not sent yet is dropped, subscriptions end once they have read what had come.
    ///
    /// Await [`closed`](Self::closed) before the process ends, so that the server learns of it.
    pub fn close(&self) {
        let core = &self.handle.core;
        core.refuse_more(CloseReason::Local);
        core.closing.cancel();
    }

    /// Takes no further calls, waits until everything published so far is acknowledged, at most until `deadline` has passed, closes the
    /// connection and waits until the server knows.
    ///
    /// What was then still in flight is told by [`Publisher::flush`]. Dropping the future leaves the connection open, with no
    /// further calls taken.
    pub async fn shutdown(&self, deadline: Duration) -> CloseReason {
        let core = &self.handle.core;
        core.refuse_more(CloseReason::Local);
        if let Some(session) = core.session() {
            tokio::select! {
                biased;
                () = session.drained() => {}
                // Its runtime may end meanwhile, and with it the timer.
                _ = core.wait_closed() => {}
                () = core.sleep(deadline) => {}
            }
        }
        core.closing.cancel();
        core.wait_closed().await
    }

    /// Runs a task beside the driver.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.core.runtime.spawn(task);
    }

    /// Waits until the client is closed for good, and says why. It does not keep the connection alive beyond this handle. Cancel-safe.
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
