//! What all parts of one server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use qsse_log::{Log, Now};
use qsse_proto::Code;
use qsse_transport::ServerEndpoint;
use qsse_transport::tls::Fingerprint;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::auth::{Authenticator, Authorizer};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::server::Closed;
use crate::session::notices::Notices;
use crate::topics::Topics;

/// One server's parts. Tasks hold this; only handles keep the server open.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) endpoint: ServerEndpoint,
    /// Of the certificate, where it is known.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) log: Log,
    pub(crate) topics: Topics,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// What was said of Go clients.
    pub(crate) notices: Notices,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    /// Sessions, one task each.
    pub(crate) sessions: TaskTracker,
    /// Those that are open, for tests that cut them.
    #[cfg(feature = "testing")]
    pub(crate) connections: parking_lot::Mutex<Option<Vec<qsse_transport::Connection>>>,
    /// Draining has begun: no new connections, no publishes, streams end where they are complete.
    pub(crate) draining: CancellationToken,
    /// The same as a flag, for every publish to look at.
    pub(crate) leaving: AtomicBool,
    /// The monotonic clock at the last upkeep, in microseconds.
    pub(crate) tick: AtomicU64,
    /// The end: whatever still runs stops.
    pub(crate) closing: CancellationToken,
    /// The storage has everything and is closed, or there is none, or nobody gives it anything any more.
    pub(crate) kept: CancellationToken,
    /// Why it ended.
    pub(crate) closed: watch::Sender<Option<Closed>>,
}

impl Shared {
    /// The time of a publish.
    pub(crate) fn now(&self) -> Now {
        let tick = Duration::from_micros(self.tick.load(Ordering::Relaxed));
        self.clock.publishing(tick)
    }

    /// Begins to drain.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.draining.cancel();
    }

    /// Whether no more publishes are taken.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Brings the metrics up to date with the log.
    pub(crate) fn collect(&self) {
        self.metrics.collect(&self.log, &self.topics);
    }

    /// Notes a connection, where a test may want to cut it.
    #[cfg(feature = "testing")]
    pub(crate) fn note(&self, connection: &qsse_transport::Connection) {
        if let Some(open) = &mut *self.connections.lock() {
            open.retain(|connection| connection.close_reason().is_none());
            open.push(connection.clone());
        }
    }

    /// Ends everything that still runs.
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

/// Runs what the server cannot be without until it ends by itself. If its runtime ends before, or if it panics, so does the server: nobody
/// waits for a task that is no more.
pub(crate) fn spawn_essential(
    shared: &Arc<Shared>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let essential = Essential {
        shared: Arc::clone(shared),
        name,
        done: false,
    };
    tokio::spawn(async move {
        let mut essential = essential;
        task.await;
        essential.done = true;
    });
}

struct Essential {
    shared: Arc<Shared>,
    name: &'static str,
    /// It has ended by itself.
    done: bool,
}

impl Drop for Essential {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let why = if std::thread::panicking() {
            tracing::error!(task = self.name, "a task panicked, which ends the server");
            Closed::Panicked
        } else {
            Closed::RuntimeEnded
        };
        self.shared.close(why);
        let reason = "the server has failed";
        self.shared.endpoint.close(Code::SHUTTING_DOWN, reason);
    }
}

/// How often retention, idle feeds and metrics are looked after.
const UPKEEP: Duration = Duration::from_secs(1);

/// Looks after the log until the server ends. It never waits for the storage, which it watches.
pub(crate) async fn upkeep(shared: Arc<Shared>) {
    let mut retention: Option<AbortOnDropHandle<()>> = None;
    let mut ticks = tokio::time::interval(UPKEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = shared.clock.now();
        let tick = u64::try_from(now.monotonic.as_micros()).unwrap_or(u64::MAX);
        shared.tick.store(tick, Ordering::Relaxed);
        shared.log.sweep(now);
        if retention
            .as_ref()
            .is_none_or(AbortOnDropHandle::is_finished)
        {
            let log = shared.log.clone();
            let retain = tokio::spawn(async move { log.retain(now).await });
            retention = Some(AbortOnDropHandle::new(retain));
        }
        shared.collect();
    }
}

/// How long a store that has no room, or hangs, is waited for at the end.
pub(crate) const LAST_TRIES: Duration = Duration::from_secs(10);

/// Gives the storage what is published, and closes it at the end.
pub(crate) async fn keep(shared: Arc<Shared>) {
    // However it ends, nobody waits for the storage any more.
    let _kept = shared.kept.clone().drop_guard();
    let clock = shared.clock;
    let mut keeping = std::pin::pin!(shared.log.keep(|| clock.now()));
    let ended = tokio::select! {
        biased;
        () = &mut keeping => true,
        () = shared.closing.cancelled() => false,
    };
    let close = async {
        if ended {
            return shared.log.close().await;
        }
        // It has to run on for what is still on its way.
        tokio::select! {
            biased;
            closed = shared.log.close() => closed,
            () = keeping => shared.log.close().await,
        }
    };
    match tokio::time::timeout(LAST_TRIES, close).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the store was not closed cleanly"),
        Err(_) => tracing::error!("the store took nothing up to the end: events are lost"),
    }
}
