//! [`Server`]: the handle of a running server.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use qsse_log::{Start, StorageError};
use qsse_proto::{Code, EventId, Kind};
use qsse_topic::IntoFilter;
use qsse_transport::tls::Fingerprint;
use qsse_transport::{ServerUrl, UdpBuffers};

use crate::background;
use crate::builder::Builder;
use crate::closed::Closed;
use crate::publish::{Publish, PublishError, Published};
use crate::session::serve::accept;
use crate::shards::Shards;
use crate::shared::Shared;
use crate::subscription::Subscribe;

/// A running server. Clones are handles of the same one; the last one dropped closes it at once.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    /// Held by handles and in-process subscriptions, not by the server's own tasks.
    _open: Arc<CloseOnDrop>,
}

/// How long the last packets of a server may take.
const CLOSING: Duration = Duration::from_millis(500);

impl Server {
    /// A server at this address, such as `"127.0.0.1:4242"`; port 0 takes a free one. It listens once this is awaited.
    pub fn bind(address: impl ToSocketAddrs + fmt::Debug) -> Builder {
        Builder::new(address)
    }

    /// `shards` are the threads of its endpoint, where it has its own.
    pub(crate) fn start(shared: Shared, shards: Option<Shards>) -> Self {
        let shared = Arc::new(shared);
        background::spawn(&shared, "upkeep", background::upkeep(Arc::clone(&shared)));
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

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.endpoint.local_addr()
    }

    /// The buffers of its UDP socket, of each where there are several; `None` on a socket of the caller's own.
    pub fn udp_buffers(&self) -> Option<UdpBuffers> {
        self.shared.endpoint.udp_buffers()
    }

    /// What a client needs to connect: address and, for a certificate that this server made, its fingerprint.
    ///
    /// A server that listens on all addresses is named by loopback.
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

    /// The SHA-256 fingerprint of the server's certificate, if it is known.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.shared.fingerprint
    }

    /// Publishes on a topic: await it for the event's id. Subscribers that are slow are not waited for.
    pub fn publish(&self, topic: impl AsRef<str>, data: impl AsRef<[u8]>) -> Publish<'_> {
        Publish::new(&self.shared, topic.as_ref(), data.as_ref())
    }

    /// Waits until an event has been accepted by the stream of every subscription that keeps up, so that a publisher can go no faster
    /// than its subscribers. Those that lag are not waited for.
    ///
    /// Cancel-safe. `publish` itself never waits for a subscriber.
    ///
    /// ```
    /// # use qsse_server::Server;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::bind("127.0.0.1:0").await?;
    /// for chunk in ["one", "two", "three"] {
    ///     let id = server.publish("download", chunk).await?;
    ///     server.accepted(id).await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn accepted(&self, id: EventId) {
        tokio::select! {
            biased;
            () = self.shared.log.taken(id.seq()) => {}
            // Nobody is given anything any more.
            () = self.shared.closing.cancelled() => {}
        }
    }

    /// Publishes on a topic without waiting for anything.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); [`PublishError::NeedsAwait`] where events are acknowledged only once they are in a store.
    pub fn try_publish(
        &self,
        topic: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<EventId, PublishError> {
        self.shared
            .try_publish(topic.as_ref(), &Kind::MESSAGE, data.as_ref())
    }

    /// Publishes several events, each a topic and data, as one step: their ids follow each other without others in between. It costs
    /// less than as many single publishes.
    ///
    /// All are published or, after an error, none. No event is no error.
    ///
    /// ```
    /// # use qsse_server::Server;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::bind("127.0.0.1:0").await?;
    /// let published = server.publish_all(&[("ride.7.position", "52.5,13.4"), ("ride.7.speed", "31")]).await?;
    /// assert_eq!(published.count, 2);
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
        let published = self.shared.publish_all(events).await?;
        tokio::task::yield_now().await;
        Ok(published)
    }

    /// As [`publish_all`](Self::publish_all), without waiting for anything.
    ///
    /// # Errors
    /// As [`try_publish`](Self::try_publish).
    pub fn try_publish_all<T: AsRef<str>, D: AsRef<[u8]>>(
        &self,
        events: &[(T, D)],
    ) -> Result<Published, PublishError> {
        self.shared.try_publish_all(events)
    }

    /// Publishes one event on each topic that `pattern` matches, of those declared by name or with a kept event, as one step.
    /// None matching is no error.
    ///
    /// # Errors
    /// A pattern that does not parse or reaches more than 1,000 topics, data over the limit, a server that ended.
    pub async fn publish_matching(
        &self,
        pattern: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<Published, PublishError> {
        let (pattern, data) = (pattern.as_ref(), data.as_ref());
        let published = self
            .shared
            .publish_matching(pattern, &Kind::MESSAGE, data)
            .await?;
        tokio::task::yield_now().await;
        Ok(published)
    }

    /// Publishes a value as JSON.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and where the value cannot be JSON.
    #[cfg(feature = "json")]
    pub async fn publish_json<T: serde::Serialize + ?Sized>(
        &self,
        topic: impl AsRef<str>,
        value: &T,
    ) -> Result<EventId, PublishError> {
        let data = serde_json::to_vec(value).map_err(PublishError::Json)?;
        self.publish(topic, data).await
    }

    /// Subscribes in this process, to a pattern, several, or a filter: the same methods and events as a client's, no network.
    pub fn subscribe(&self, filter: impl IntoFilter) -> Subscribe {
        Subscribe::new(self.clone(), filter.into_filter(), Start::Live)
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.shared.sessions.len()
    }

    /// Whether publishing works, as far as is known: the store may be full or have failed.
    ///
    /// # Errors
    /// Why not.
    pub fn health(&self) -> Result<(), StorageError> {
        self.shared.log.health()
    }

    /// What the log holds: events, bytes, feeds, topics.
    pub fn log_stats(&self) -> qsse_log::Stats {
        self.shared.log.stats()
    }

    /// The metrics in Prometheus' text format: what a handler of `/metrics` answers.
    #[cfg(feature = "prometheus")]
    pub fn metrics_text(&self) -> String {
        self.shared.collect();
        self.shared.metrics.text()
    }

    /// Drains: refuses new connections and publishes, says goodbye to every client, writes each stream up to the newest
    /// event, then closes; at `deadline` at the latest, but for a store that hangs or has no room: what was published is
    /// given 10 s more to get there.
    ///
    /// Then its port is free: it can be bound again while there are still handles of this server.
    ///
    /// It may be awaited on any tokio runtime, also when the one that the server was started on has ended: then it returns at once.
    /// Cancelling it leaves the server draining; a second call waits with its own deadline.
    pub async fn shutdown(&self, deadline: Duration) -> Closed {
        let shared = &self.shared;
        shared.leave();
        shared.endpoint.stop_accepting();
        shared.sessions.close();
        let drained = tokio::time::timeout(deadline, shared.sessions.wait())
            .await
            .is_ok();
        let why = if drained {
            Closed::Drained
        } else {
            Closed::DeadlinePassed
        };
        shared.stop();
        // What was published is kept, whatever the clients do. Its task has the same deadline, if it still runs.
        let _ = tokio::time::timeout(
            background::STORE_DEADLINE + CLOSING,
            shared.stored.cancelled(),
        )
        .await;
        shared.close(why);
        shared
            .endpoint
            .close(Code::SHUTTING_DOWN, "the server is shutting down");
        // The close has to reach the wire; a peer that does not answer is not waited for.
        let _ = tokio::time::timeout(CLOSING, shared.endpoint.wait_idle()).await;
        let _ = tokio::time::timeout(CLOSING, shared.sessions.wait()).await;
        shared.endpoint.release().await;
        self.closed().await
    }

    /// Waits until the server has ended, and tells why.
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
    /// They turn late clients away for as long as there is a handle, as one shard does.
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
