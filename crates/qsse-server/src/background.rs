//! The tasks that a server runs beside its sessions: upkeep, and the writer of the storage.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use qsse_proto::Code;
use tokio::task::yield_now;
use tokio_util::task::AbortOnDropHandle;

use crate::closed::Closed;
use crate::shared::Shared;

mod shedding;

pub(crate) use shedding::shed;

/// Runs a task that the server cannot be without. If it panics, or its runtime ends, the server
/// closes, so that nobody waits for a task that is gone.
pub(crate) fn spawn(
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

/// Closes the server if it is dropped before its task is done.
struct Essential {
    shared: Arc<Shared>,
    name: &'static str,
    /// Whether the task has ended by itself.
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

/// How often retention and metrics are updated and idle feeds dropped.
const UPKEEP: Duration = Duration::from_secs(1);

/// Maintains the log until the server ends. It never waits for the storage, because it also reports
/// a storage that hangs.
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
        shared.log.sweep_in_turns(now, yield_now).await;
        if retention
            .as_ref()
            .is_none_or(AbortOnDropHandle::is_finished)
        {
            let log = shared.log.clone();
            let retain = tokio::spawn(async move { log.retain(now).await });
            retention = Some(AbortOnDropHandle::new(retain));
        }
        shared.quotas.sweep();
        let count = shared.wrong_tokens.sweep();
        if count > 0 {
            tracing::warn!(count, "clients were refused for their tokens");
        }
        shared.collect_in_turns().await;
    }
}

/// How long a server that ends waits for a storage that has no room, or hangs.
pub(crate) const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// Writes published events to the storage, and closes it at the end.
pub(crate) async fn store(shared: Arc<Shared>) {
    // Also after a panic: nobody has to wait for the storage any more.
    let _stored = shared.stored.clone().drop_guard();
    let clock = shared.clock;
    let mut writing = std::pin::pin!(shared.log.run_group_commit(|| clock.now()));
    let ended = tokio::select! {
        biased;
        () = &mut writing => true,
        () = shared.closing.cancelled() => false,
    };
    let close = async {
        if ended {
            return shared.log.close().await;
        }
        // It has to run on for what is still to be written.
        tokio::select! {
            biased;
            closed = shared.log.close() => closed,
            () = writing => shared.log.close().await,
        }
    };
    match tokio::time::timeout(STORE_DEADLINE, close).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the store was not closed cleanly"),
        Err(_) => tracing::error!("the store took nothing up to the end: events are lost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::PublishError;
    use crate::server::Server;

    async fn soon<F: IntoFuture>(future: F) -> F::Output {
        tokio::time::timeout(Duration::from_secs(30), future)
            .await
            .expect("it came in time")
    }

    #[tokio::test]
    async fn an_essential_task_that_panics_closes_the_server_and_nobody_waits_for_it() {
        for name in ["accept", "shedding", "store", "upkeep"] {
            let server = Server::bind("127.0.0.1:0").await.unwrap();
            let mut events = server.subscribe("*").await.unwrap();
            spawn(server.shared(), name, async { panic!("a task panics") });
            assert_eq!(soon(server.closed()).await, Closed::Panicked);
            assert!(soon(events.next()).await.is_none());
            let published = soon(server.publish("a", "x")).await;
            assert!(matches!(published, Err(PublishError::ShuttingDown)));
            let hour = Duration::from_secs(3_600);
            assert_eq!(soon(server.shutdown(hour)).await, Closed::Panicked);
        }
    }

    #[tokio::test]
    async fn an_essential_task_that_ends_by_itself_leaves_the_server_open() {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        spawn(server.shared(), "accept", async { drop(ended) });
        assert!(soon(end).await.is_err());
        server.publish("a", "x").await.unwrap();
    }
}
