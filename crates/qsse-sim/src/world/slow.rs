//! [`Slow`]: a store whose disk takes its time, and at times hangs.

use std::sync::Arc;

use async_trait::async_trait;
use qsse_log::disk::Disk;
use qsse_log::{Acknowledge, Entry, Now, Recovered, Storage, StorageError, StoredEvents};
use qsse_proto::Timestamp;
use qsse_topic::{Filter, Topic};

use super::pace::Pace;
use crate::tripwire::Tripwire;

/// A store as a thread of its own would write it: one job after the other, and what was begun goes
/// on when nobody waits for it any more. What is read is read beside that.
pub(super) struct Slow {
    disk: Arc<Disk>,
    wire: Tripwire,
    pace: Arc<Pace>,
    writer: Arc<tokio::sync::Mutex<()>>,
}

impl Slow {
    pub(super) fn new(disk: Disk, wire: Tripwire, pace: Pace) -> Self {
        Self {
            disk: Arc::new(disk),
            wire,
            pace: Arc::new(pace),
            writer: Arc::default(),
        }
    }

    /// Writes, in its turn; half of the time goes by before, half of it afterwards.
    async fn write<T, F>(&self, work: impl FnOnce(Arc<Disk>) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        let (disk, wire) = (Arc::clone(&self.disk), self.wire.clone());
        let (pace, writer) = (Arc::clone(&self.pace), Arc::clone(&self.writer));
        let job = tokio::spawn(async move {
            let _turn = writer.lock_owned().await;
            pace.take_time().await;
            wire.awake().await;
            let done = work(disk).await;
            pace.take_time().await;
            done
        });
        match job.await {
            Ok(done) => done,
            // The run has ended, or it is a fault already.
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes the time of a read.
    async fn reading(&self) -> &Disk {
        self.wire.awake().await;
        self.pace.take_time().await;
        &self.disk
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
        let work = move |disk: Arc<Disk>| async move { disk.append(entries, acknowledge).await };
        self.write(work).await
    }

    async fn reserve(&self, upto: u64) -> Result<u64, StorageError> {
        let work = move |disk: Arc<Disk>| async move { disk.reserve(upto).await };
        self.write(work).await
    }

    async fn read(
        &self,
        filter: Filter,
        after: u64,
        upto: u64,
        budget: usize,
    ) -> Result<StoredEvents, StorageError> {
        self.reading().await.read(filter, after, upto, budget).await
    }

    fn topics(&self, filter: &Filter, limit: usize) -> Vec<Topic> {
        self.disk.topics(filter, limit)
    }

    fn floor(&self, filter: &Filter, above: u64) -> u64 {
        self.disk.floor(filter, above)
    }

    fn oldest(&self) -> u64 {
        self.disk.oldest()
    }

    async fn seq_at(&self, time: Timestamp, until: Timestamp) -> Result<u64, StorageError> {
        self.reading().await.seq_at(time, until).await
    }

    async fn tail(
        &self,
        filter: Filter,
        n: u64,
        upto: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError> {
        self.reading().await.tail(filter, n, upto).await
    }

    async fn retain(&self, now: Now) -> Result<Vec<(Topic, u64)>, StorageError> {
        let work = move |disk: Arc<Disk>| async move { disk.retain(now).await };
        self.write(work).await
    }

    async fn close(&self, given_out: u64) -> Result<(), StorageError> {
        let work = move |disk: Arc<Disk>| async move { disk.close(given_out).await };
        self.write(work).await
    }

    fn health(&self) -> Result<(), StorageError> {
        self.disk.health()
    }
}
