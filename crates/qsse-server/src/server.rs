//! [`Server`]: the handle of a running server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use qsse_log::{Start, StorageError};
use qsse_proto::{Code, EventId, Published};
use qsse_topic::IntoFilter;
use qsse_transport::tls::Fingerprint;
use qsse_transport::{ServerUrl, UdpBuffers};

use crate::audit::{AuditEvent, AuditRecord};
use crate::background;
use crate::builder::ServerBuilder;
use crate::closed::Closed;
use crate::listen_address::IntoListenAddress;
use crate::publish::{Publish, PublishError, PublishMatching, stored};
use crate::session::serve::accept;
use crate::shards::Shards;
use crate::shared::Shared;
use crate::subscription::Subscribe;

mod clients;
#[cfg(feature = "http3")]
mod http3;
mod reload;

/// A running server. Clones are handles of the same server; dropping the last one closes it at
/// once.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    /// Held by handles and in-process subscriptions, not by the server's own tasks.
    _open: Arc<CloseOnDrop>,
}

/// How long the last packets of a server may take.
const CLOSING: Duration = Duration::from_millis(500);

impl Server {
    /// Makes a server for this address, such as `"127.0.0.1:4242"`; port 0 chooses a free one. It
    /// listens once the builder is awaited.
    pub fn bind(address: impl IntoListenAddress) -> ServerBuilder {
        ServerBuilder::new(address.into_listen_address())
    }

    /// Starts the tasks. `shards` are the threads of its endpoint, if it has its own.
    pub(crate) fn start(shared: Shared, shards: Option<Shards>) -> Self {
        let shared = Arc::new(shared);
        background::spawn(&shared, "upkeep", background::upkeep(Arc::clone(&shared)));
        background::spawn(&shared, "shedding", background::shed(Arc::clone(&shared)));
        background::spawn(&shared, "store", background::store(Arc::clone(&shared)));
        background::spawn(&shared, "accept", accept(Arc::clone(&shared)));
        let open = Arc::new(CloseOnDrop {
            shared: Arc::clone(&shared),
            shards,
        });
        Self {
            shared,
            _open: open,
        }
    }

    /// Returns the address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.endpoint.local_addr()
    }

    /// Returns the sizes of the buffers of its UDP sockets; `None` with a socket of the caller's
    /// own.
    pub fn udp_buffers(&self) -> Option<UdpBuffers> {
        self.shared.endpoint.udp_buffers()
    }

    /// Returns what a client needs to connect: the address and, for a certificate that this server
    /// made, its fingerprint.
    ///
    /// For a server that listens on all addresses it contains the loopback address.
    pub fn url(&self) -> ServerUrl {
        let mut address = self.local_addr();
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let url = ServerUrl::from(address);
        match self.fingerprint() {
            Some(fingerprint) => url.with_fingerprint(fingerprint),
            None => url,
        }
    }

    /// Returns the SHA-256 fingerprint of the server's certificate, if it is known.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.shared.tls.lock().as_ref()?.fingerprint()
    }

    /// Returns the fingerprints of the certificates that clients of HTTP/3 get, if the server has
    /// made them itself: of the one in use and of the next one. See
    /// [`ServerTls::browser_fingerprints`](qsse_transport::tls::ServerTls::browser_fingerprints).
    pub fn browser_fingerprints(&self) -> Vec<Fingerprint> {
        let tls = self.shared.tls.lock();
        tls.as_ref()
            .map(|tls| tls.browser_fingerprints())
            .unwrap_or_default()
    }

    /// Publishes on a topic. Await it for the event's id; it does not wait for slow subscribers.
    ///
    /// The data is copied once, into the log.
    pub fn publish<T: AsRef<str>, D: AsRef<[u8]>>(&self, topic: T, data: D) -> Publish<'_, T, D> {
        Publish::new(&self.shared, topic, data)
    }

    /// Waits until every subscription that keeps up has delivered this event: a client's stream has
    /// accepted it, or an in-process subscription has handed it out. Subscriptions that lag are not
    /// waited for.
    ///
    /// A publisher that waits for this after each event is as slow as the slowest of its
    /// subscribers that keep up. `publish` itself never waits for a subscriber. Cancel-safe.
    ///
    /// ```
    /// # use qsse_server::Server;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::bind("127.0.0.1:0").await?;
    /// for chunk in ["one", "two", "three"] {
    ///     let id = server.publish("download", chunk).await?;
    ///     server.delivered(id).await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delivered(&self, id: EventId) {
        tokio::select! {
            biased;
            () = self.shared.log.taken(id.seq()) => {}
            // Nothing is delivered any more.
            () = self.shared.closing.cancelled() => {}
        }
    }

    /// Publishes on a topic without waiting for anything.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); [`PublishError::NeedsAwait`] if events are acknowledged only
    /// once they are in a store.
    pub fn try_publish(
        &self,
        topic: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<EventId, PublishError> {
        self.shared.try_publish(topic.as_ref(), data.as_ref())
    }

    /// Publishes several events, each a topic and data, as one step: their ids follow one another
    /// without others in between. It costs less than as many single publishes.
    ///
    /// All are published or, after an error, none. An empty list is no error.
    ///
    /// ```
    /// # use qsse_server::Server;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::bind("127.0.0.1:0").await?;
    /// let events = [("ride.7.position", "52.5,13.4"), ("ride.7.speed", "31")];
    /// let published = server.publish_all(&events).await?;
    /// assert_eq!(published.count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_all<T: AsRef<str>, D: AsRef<[u8]>>(
        &self,
        events: &[(T, D)],
    ) -> Result<Published, PublishError> {
        let shared = &self.shared;
        let events = shared.checked(events)?;
        let published = stored(shared, || shared.publish_all(&events)).await?;
        tokio::task::yield_now().await;
        Ok(published)
    }

    /// Publishes several events as [`publish_all`](Self::publish_all) does, without waiting for
    /// anything.
    ///
    /// # Errors
    /// As [`try_publish`](Self::try_publish).
    pub fn try_publish_all<T: AsRef<str>, D: AsRef<[u8]>>(
        &self,
        events: &[(T, D)],
    ) -> Result<Published, PublishError> {
        self.shared.try_publish_all(events)
    }

    /// Publishes one event on each topic that `pattern` matches, of those declared by name and
    /// those with a kept event, as one step. Await it for the ids; matching none is no error.
    ///
    /// It fails if the pattern does not parse or reaches more than 1,000 topics.
    pub fn publish_matching(
        &self,
        pattern: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> PublishMatching<'_> {
        PublishMatching::new(&self.shared, pattern.as_ref(), data.as_ref())
    }

    /// Publishes a value as JSON. Await it for the event's id; a value that cannot be written as
    /// JSON is an error then.
    #[cfg(feature = "json")]
    pub fn publish_json<T: AsRef<str>>(
        &self,
        topic: T,
        value: &(impl serde::Serialize + ?Sized),
    ) -> Publish<'_, T, Vec<u8>> {
        Publish::json(&self.shared, topic, value)
    }

    /// Subscribes in this process, to a pattern, several, or a filter. It has the methods and
    /// events of a client's subscription, without a network.
    pub fn subscribe(&self, filter: impl IntoFilter) -> Subscribe {
        Subscribe::new(self.clone(), filter.into_filter(), Start::Live)
    }

    /// Returns whether publishing works, as far as is known: the store may be full or have failed.
    ///
    /// # Errors
    /// Why publishing does not work.
    pub fn health(&self) -> Result<(), StorageError> {
        self.shared.log.health()
    }

    /// Returns what the log holds: events, bytes, feeds, topics.
    pub fn log_stats(&self) -> qsse_log::Stats {
        self.shared.log.stats()
    }

    /// Returns the metrics in Prometheus' text format, as the answer to `/metrics`.
    #[cfg(feature = "prometheus")]
    pub fn metrics_text(&self) -> String {
        self.shared.collect();
        self.shared.metrics.text()
    }

    /// Drains the server and closes it: it refuses new connections and publishes, says goodbye to
    /// every client, and writes each stream up to the newest event.
    ///
    /// After `timeout` it closes all the same. Only a store that hangs or has no room gets 10 s
    /// more, for what was published. Then the port is free: it can be bound again while there are
    /// still handles of this server.
    ///
    /// It may be awaited on any tokio runtime. If the one that the server was started on has ended,
    /// it returns at once. Cancelling it leaves the server draining; a second call waits with its
    /// own timeout.
    pub async fn shutdown(&self, timeout: Duration) -> Closed {
        let shared = &self.shared;
        if !shared.is_leaving() {
            self.audit(&AuditRecord::new(AuditEvent::Drain, true));
        }
        shared.leave();
        shared.endpoint.stop_accepting();
        shared.sessions.close();
        let drained = tokio::time::timeout(timeout, shared.sessions.wait())
            .await
            .is_ok();
        let why = if drained {
            Closed::Drained
        } else {
            Closed::DeadlinePassed
        };
        shared.stop();
        // What was published is stored, whatever clients do. The task has the same deadline, if it
        // runs.
        let _ = tokio::time::timeout(
            background::STORE_DEADLINE + CLOSING,
            shared.stored.cancelled(),
        )
        .await;
        shared.close(why);
        shared
            .endpoint
            .close(Code::SHUTTING_DOWN, "the server is shutting down");
        // The close has to reach the wire. A peer that does not answer is not waited for.
        let _ = tokio::time::timeout(CLOSING, shared.endpoint.wait_idle()).await;
        let _ = tokio::time::timeout(CLOSING, shared.sessions.wait()).await;
        shared.endpoint.release().await;
        self.closed().await
    }

    /// Waits until the server drains: it accepts nothing new, and clients read to the end. A server
    /// that has ended has drained.
    ///
    /// Cancel-safe.
    pub async fn draining(&self) {
        self.shared.draining.cancelled().await;
    }

    /// Returns the most bytes of an event's data, as the settings say.
    pub fn max_event_bytes(&self) -> usize {
        self.shared.config.log.max_event_bytes
    }

    /// Waits until the server has ended, and returns why.
    ///
    /// Cancel-safe.
    pub async fn closed(&self) -> Closed {
        let mut closed = self.shared.closed.subscribe();
        let ended = closed.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|why| why.clone())
            .unwrap_or(Closed::Dropped)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.local_addr())
            .finish_non_exhaustive()
    }
}

struct CloseOnDrop {
    shared: Arc<Shared>,
    /// They refuse late clients as long as there is a handle, as one shard does.
    shards: Option<Shards>,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.close(Closed::Dropped);
        let reason = "the server has ended";
        shared.endpoint.close(Code::SHUTTING_DOWN, reason);
        if let Some(shards) = self.shards.take() {
            let shared = Arc::clone(shared);
            shards.end_after(async move {
                shared.sessions.wait().await;
                shared.endpoint.wait_idle().await;
            });
        }
    }
}
