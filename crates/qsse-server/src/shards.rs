//! [`Shards`]: threads that serve connections.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads with a runtime each, which run until this is dropped.
///
/// A connection and all of its tasks stay on one of them, so that a delivery shares nothing with
/// other cores but the batch, which is only read.
pub(crate) struct Shards {
    runtimes: Vec<Handle>,
    running: DropGuard,
}

impl Shards {
    /// Starts this many threads.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let running = CancellationToken::new();
        let start = |index| start(index, running.clone());
        let runtimes = (0..count).map(start).collect::<io::Result<_>>();
        // If one does not start, those before it end.
        let running = running.drop_guard();
        Ok(Self {
            runtimes: runtimes?,
            running,
        })
    }

    pub(crate) fn runtimes(&self) -> &[Handle] {
        &self.runtimes
    }

    /// Ends the threads once `last` is done, which runs on one of them.
    pub(crate) fn end_after(self, last: impl Future<Output = ()> + Send + 'static) {
        let Some(runtime) = self.runtimes.first() else {
            return;
        };
        let running = self.running;
        runtime.spawn(async move {
            last.await;
            drop(running);
        });
    }
}

fn start(index: usize, running: CancellationToken) -> io::Result<Handle> {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::Builder::new().name(format!("qsse-shard-{index}"));
    thread.spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(sender.send(Err(error))),
        };
        if sender.send(Ok(runtime.handle().clone())).is_ok() {
            runtime.block_on(running.cancelled());
        }
    })?;
    let ended = || io::Error::other("the thread of a shard ended at once");
    receiver.recv().unwrap_or_else(|_| Err(ended()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn each_has_a_thread_and_all_end_with_the_last_word() {
        let shards = Shards::start(2).unwrap();
        let mut names = Vec::new();
        for runtime in shards.runtimes() {
            let name = runtime.spawn(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                thread::current().name().map(str::to_owned)
            });
            names.push(name.await.unwrap().unwrap());
        }
        assert_eq!(names, ["qsse-shard-0", "qsse-shard-1"]);

        // A task that never ends by itself is dropped when its runtime is.
        let (held, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
        for runtime in shards.runtimes() {
            let held = held.clone();
            runtime.spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
        }
        drop(held);
        let (last, mut waited) = (CancellationToken::new(), std::pin::pin!(dropped.recv()));
        let (said, may_end) = (last.clone(), last);
        shards.end_after(async move { may_end.cancelled().await });
        let early = tokio::time::timeout(Duration::from_millis(20), &mut waited).await;
        assert!(early.is_err(), "they wait for it");
        said.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), waited).await;
        assert_eq!(ended, Ok(None));
    }
}
