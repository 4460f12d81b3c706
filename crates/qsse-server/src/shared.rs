//! [`Shared`]: what all parts of one server share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use qsse_log::{Log, Now};
use qsse_proto::limits::FOREVER;
use qsse_transport::ServerEndpoint;
use qsse_transport::tls::ServerTls;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{AuditRecord, AuditSink};
use crate::auth::{Authenticator, Authorizer};
use crate::clients::Clients;
use crate::clock::Clock;
use crate::closed::Closed;
use crate::config::Config;
use crate::fairness::quota::Quotas;
use crate::fairness::searches::Searches;
use crate::fairness::unfinished::UnfinishedBudget;
use crate::fairness::wrong_tokens::WrongTokens;
use crate::go_warnings::GoWarnings;
use crate::metrics::Metrics;
use crate::session::unread::Unread;
use crate::topics::Topics;
#[cfg(feature = "http3")]
use crate::web_transport::WebTransport;

pub(crate) mod publishing;

/// One server's parts. Tasks hold this; only handles keep the server open.
pub(crate) struct Shared {
    /// The settings that it was started with.
    pub(crate) config: Config,
    /// The settings with the limits that are in force now.
    pub(crate) limits: RwLock<Arc<Config>>,
    pub(crate) endpoint: ServerEndpoint,
    /// The certificate, unless the endpoint was given.
    pub(crate) tls: Mutex<Option<ServerTls>>,
    /// Which sessions of browsers are let in, if any.
    #[cfg(feature = "http3")]
    pub(crate) web_transport: Option<WebTransport>,
    pub(crate) log: Log,
    /// What the subscriptions of all clients hold that is not read.
    pub(crate) unread: Arc<Unread>,
    pub(crate) topics: Topics,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) go_warnings: GoWarnings,
    /// What principals and networks use.
    pub(crate) quotas: Quotas,
    /// The searches of the log that clients and this process have asked for.
    pub(crate) searches: Searches,
    /// Where wrong tokens come from.
    pub(crate) wrong_tokens: WrongTokens,
    /// The memory that the unfinished frames of all connections may take.
    pub(crate) unfinished: UnfinishedBudget,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    /// Who takes records for an audit.
    pub(crate) audit: Option<Arc<dyn AuditSink>>,
    /// The clients that were let in.
    pub(crate) clients: Arc<Clients>,
    /// Sessions, one task each.
    pub(crate) sessions: TaskTracker,
    /// The open connections, for tests that cut them.
    #[cfg(feature = "testing")]
    pub(crate) connections: parking_lot::Mutex<Option<Vec<qsse_transport::Connection>>>,
    /// Cancelled when draining begins: no new connections and publishes, and streams end once
    /// complete.
    pub(crate) draining: CancellationToken,
    /// The same as a flag, which every publish reads.
    pub(crate) leaving: AtomicBool,
    /// The monotonic time of the last upkeep, in microseconds.
    pub(crate) tick: AtomicU64,
    /// Cancelled when everything that still runs has to stop.
    pub(crate) closing: CancellationToken,
    /// The task that writes to the storage has ended: nobody has to wait for it any more.
    pub(crate) stored: CancellationToken,
    /// Why the server ended.
    pub(crate) closed: watch::Sender<Option<Closed>>,
}

impl Shared {
    /// Returns the time of a publish.
    pub(crate) fn now(&self) -> Now {
        let tick = Duration::from_micros(self.tick.load(Ordering::Relaxed));
        self.clock.publishing(tick)
    }

    /// Returns the protocols (ALPN) that the endpoint offers.
    pub(crate) fn protocols(&self) -> Vec<&'static [u8]> {
        #[cfg(feature = "http3")]
        let sessions = self.web_transport.is_some();
        #[cfg(not(feature = "http3"))]
        let sessions = false;
        self.config.protocols_and(sessions)
    }

    /// Returns the settings with the limits that are in force now. For requests of clients, not for
    /// each event.
    pub(crate) fn limits(&self) -> Arc<Config> {
        Arc::clone(&self.limits.read())
    }

    /// Returns the moment by which a client that connects now has to say Hello.
    pub(crate) fn hello_deadline(&self) -> Instant {
        Instant::now() + self.limits().hello_timeout.min(FOREVER)
    }

    /// Records something for an audit.
    pub(crate) fn record(&self, record: &AuditRecord<'_>) {
        let Some(sink) = &self.audit else {
            return;
        };
        // A sink that panics takes nobody's connection with it.
        let taken = catch_unwind(AssertUnwindSafe(|| sink.record(record)));
        if !taken.unwrap_or(false) {
            self.metrics.audit_dropped.add(1);
        }
    }

    /// Begins to drain.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.draining.cancel();
    }

    /// Returns whether publishes are refused because the server drains.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Updates the metrics from the log.
    #[cfg(feature = "prometheus")]
    pub(crate) fn collect(&self) {
        while self.metrics.count_published(&self.log, &self.topics) {}
        self.collect_gauges();
    }

    /// Updates the metrics from the log, and lets other tasks run in between.
    pub(crate) async fn collect_in_turns(&self) {
        while self.metrics.count_published(&self.log, &self.topics) {
            tokio::task::yield_now().await;
        }
        self.collect_gauges();
    }

    fn collect_gauges(&self) {
        self.metrics.collect(&self.log);
        self.metrics.door.collect(|| self.endpoint.stats());
        self.metrics.unfinished.set_bytes(self.unfinished.taken());
    }

    /// Remembers a connection, so that a test can cut it.
    #[cfg(feature = "testing")]
    pub(crate) fn note(&self, connection: &qsse_transport::Connection) {
        if let Some(open) = &mut *self.connections.lock() {
            open.retain(|connection| connection.close_reason().is_none());
            open.push(connection.clone());
        }
    }

    /// Stops everything that still runs.
    pub(crate) fn stop(&self) {
        self.leave();
        self.closing.cancel();
        self.sessions.close();
    }

    /// Ends the server at once.
    pub(crate) fn close(&self, why: Closed) {
        self.stop();
        #[cfg(feature = "testing")]
        drop(self.connections.lock().take());
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert(why);
            first
        });
    }
}
