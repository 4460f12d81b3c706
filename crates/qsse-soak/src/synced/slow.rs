//! [`Slow`]: a storage whose appends take longer, as on a slower disk.

use std::time::Duration;

use async_trait::async_trait;
use qsse_log::disk::Disk;
use qsse_log::{Acknowledge, Entry, Now, Recovered, Storage, StorageError, StoredEvents};
use qsse_proto::Timestamp;
use qsse_topic::{Filter, Topic};

/// A storage, and how much longer each append takes.
pub(super) struct Slow {
    disk: Disk,
    by: Duration,
}

impl Slow {
    pub(super) fn new(disk: Disk, by: Duration) -> Self {
        Self { disk, by }
    }
}

#[async_trait]
impl Storage for Slow {
    fn recovered(&self) -> Recovered {
        self.disk.recovered()
    }

    async fn append(
        &self,
        entries: Vec<Entry>,
        acknowledge: Acknowledge,
    ) -> Result<(), StorageError> {
        let appended = self.disk.append(entries, acknowledge).await;
        if !self.by.is_zero() {
            let by = self.by;
            // A thread's sleep: the runtime's own is no finer than a millisecond.
            let slept = tokio::task::spawn_blocking(move || std::thread::sleep(by));
            slept.await.expect("sleeping does not panic");
        }
        appended
    }

    async fn reserve(&self, upto: u64) -> Result<u64, StorageError> {
        self.disk.reserve(upto).await
    }

    fn topics(&self, filter: &Filter, limit: usize) -> Vec<Topic> {
        self.disk.topics(filter, limit)
    }

    async fn read(
        &self,
        filter: Filter,
        after: u64,
        upto: u64,
        budget: usize,
    ) -> Result<StoredEvents, StorageError> {
        self.disk.read(filter, after, upto, budget).await
    }

    fn floor(&self, filter: &Filter, above: u64) -> u64 {
        self.disk.floor(filter, above)
    }

    fn oldest(&self) -> u64 {
        self.disk.oldest()
    }

    async fn seq_at(&self, time: Timestamp, until: Timestamp) -> Result<u64, StorageError> {
        self.disk.seq_at(time, until).await
    }

    async fn tail(
        &self,
        filter: Filter,
        n: u64,
        upto: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError> {
        self.disk.tail(filter, n, upto).await
    }

    async fn retain(&self, now: Now) -> Result<Vec<(Topic, u64)>, StorageError> {
        self.disk.retain(now).await
    }

    async fn close(&self, given_out: u64) -> Result<(), StorageError> {
        self.disk.close(given_out).await
    }

    fn health(&self) -> Result<(), StorageError> {
        self.disk.health()
    }
}
