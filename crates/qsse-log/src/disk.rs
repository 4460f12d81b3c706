//! [`Disk`]: a storage in a directory.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use qsse_proto::{Epoch, Timestamp};
use qsse_store::{Age, Store, StoreError};
use qsse_topic::{Filter, Topic};
use tokio::sync::oneshot;

use crate::config::Acknowledge;
use crate::storage::{Entry, Recovered, Storage, StorageError, StoredEvents};
use crate::time::Now;

mod convert;
mod retention;

pub use qsse_store::{OpenError, Options};
pub use retention::DiskRetention;

use convert::{health, log_events, log_recovered, storage_error, store_entry, store_retention};

/// A storage in a directory, written by a thread of its own.
///
/// ```
/// use qsse_log::disk::{Disk, DiskRetention, Options};
/// use qsse_log::{Config, Log, Now};
/// use qsse_proto::Epoch;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path();
/// let options = Options::new(Epoch::new(rand_number()));
/// let disk = Disk::open(path, options, DiskRetention::default())?;
/// let log = Log::stored(std::sync::Arc::new(disk), Config::default(), Now::default());
/// # Ok(())
/// # }
/// # fn rand_number() -> u64 { 4 }
/// ```
pub struct Disk {
    writer: Writer,
    reader: qsse_store::Reader,
    recovered: Recovered,
    retention: Arc<qsse_store::Retention>,
    /// Floors that were raised and have not been returned yet.
    raised: Arc<Mutex<Vec<(Topic, u64)>>>,
    /// The monotonic time of the first question for ages, and how long the store had been closed.
    began: Mutex<Option<(Duration, Duration)>>,
}

/// The longest time that a store is believed to have been closed. Without a limit, a wall clock
/// that has jumped would remove all events at once.
const LONGEST_CLOSED: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of segments that a full store with a limit on bytes has at least.
const SEGMENTS: u64 = 8;

/// The approximate size of a topic's floor in its file.
const FLOOR_BYTES: u64 = 40;

/// What writes the store.
enum Writer {
    Thread(mpsc::Sender<Job>),
    /// The caller, for simulations: a thread would make their order unpredictable.
    Caller(Box<Mutex<Option<Store>>>),
}

type Job = Box<dyn FnOnce(&mut Option<Store>) + Send>;

impl Disk {
    /// Opens the store in a directory, which is created if it does not exist.
    ///
    /// With [`DiskRetention::max_bytes`] a segment has at most an eighth of the limit, from 64 KiB
    /// to 64 MiB: this is how much is removed at once. The floors of topics without events get the
    /// same share.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(
        path: impl AsRef<Path>,
        mut options: Options,
        retention: DiskRetention,
    ) -> Result<Self, OpenError> {
        if let Some(most) = retention.max_bytes {
            options = bounded(options, most);
        }
        let (store, recovered) = Store::open_dir(path, options)?;
        let reader = store.reader();
        let (jobs, work) = mpsc::channel::<Job>();
        let mut store = Some(store);
        let thread = std::thread::Builder::new().name("qsse-store".into());
        let spawned = thread.spawn(move || work.into_iter().for_each(|job| job(&mut store)));
        spawned.map_err(|source| OpenError::Io {
            what: "start its thread",
            source,
        })?;
        let recovered = log_recovered(recovered);
        Ok(Self::of(Writer::Thread(jobs), reader, recovered, retention))
    }

    /// Uses a store that is already open. The caller's thread writes it.
    pub fn inline(
        store: Store,
        recovered: qsse_store::Recovered,
        retention: DiskRetention,
    ) -> Self {
        let reader = store.reader();
        let writer = Writer::Caller(Box::new(Mutex::new(Some(store))));
        Self::of(writer, reader, log_recovered(recovered), retention)
    }

    fn of(
        writer: Writer,
        reader: qsse_store::Reader,
        recovered: Recovered,
        retention: DiskRetention,
    ) -> Self {
        Self {
            writer,
            reader,
            recovered,
            retention: Arc::new(store_retention(retention)),
            raised: Arc::default(),
            began: Mutex::new(None),
        }
    }

    /// Returns the time by which ages are measured.
    fn age(&self, now: Now) -> Age {
        let mut began = self.began.lock();
        let (since, closed) = *began.get_or_insert_with(|| {
            let closed = now.wall.saturating_since(self.recovered.last_time);
            if is_doubtful(closed, self.recovered.head) {
                tracing::warn!(
                    ?closed,
                    "by the clock the store was closed for long; its events are aged by a day only"
                );
            }
            (now.monotonic, closed.min(LONGEST_CLOSED))
        });
        Age {
            since_open: now.monotonic.saturating_sub(since),
            closed,
        }
    }

    /// Runs `work` with the open store, where it is written.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.write(|store| match store {
            Some(store) => work(store).map_err(storage_error),
            None => Err(StorageError::ended("it is closed")),
        })
        .await
    }

    /// Runs `work` where the store is written.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Option<Store>) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        match &self.writer {
            Writer::Caller(store) => work(&mut store.lock()),
            Writer::Thread(jobs) => {
                let (done, answer) = oneshot::channel();
                let job: Job = Box::new(move |store| {
                    let _ = done.send(work(store));
                });
                let gone = || StorageError::ended("its thread has ended");
                jobs.send(job).map_err(|_| gone())?;
                answer.await.map_err(|_| gone())?
            }
        }
    }

    /// Runs a read. With a thread that writes, it runs on another thread too.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&qsse_store::Reader) -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let reader = self.reader.clone();
        match &self.writer {
            Writer::Caller(_) => Ok(question(&reader)),
            Writer::Thread(_) => {
                let answer = tokio::task::spawn_blocking(move || question(&reader));
                // Only a panic or the end of the runtime leaves a question unanswered.
                let failed = |error: tokio::task::JoinError| {
                    StorageError::unread(format!("reading did not end: {error}"))
                };
                answer.await.map_err(failed)
            }
        }
    }
}

#[async_trait]
impl Storage for Disk {
    fn recovered(&self) -> Recovered {
        self.recovered.clone()
    }

    async fn append(
        &self,
        entries: Vec<Entry>,
        acknowledge: Acknowledge,
    ) -> Result<(), StorageError> {
        let entries: Vec<_> = entries.into_iter().map(store_entry).collect();
        self.with(move |store| match acknowledge {
            Acknowledge::Synced => store.append_synced(&entries),
            _ => store.append(&entries),
        })
        .await
    }

    async fn reserve(&self, upto: u64) -> Result<u64, StorageError> {
        self.with(move |store| {
            store.reserve(upto)?;
            Ok(store.reserved())
        })
        .await
    }

    async fn read(
        &self,
        filter: Filter,
        after: u64,
        upto: u64,
        budget: usize,
    ) -> Result<StoredEvents, StorageError> {
        let read = move |reader: &qsse_store::Reader| {
            log_events(reader.read(&filter, after, upto, budget))
        };
        self.ask(read).await
    }

    fn topics(&self, filter: &Filter, limit: usize) -> Vec<Topic> {
        self.reader.topics_matching(filter, limit)
    }

    fn floor(&self, filter: &Filter, above: u64) -> u64 {
        self.reader.floor_above(filter, above)
    }

    fn oldest(&self) -> u64 {
        self.reader.oldest()
    }

    async fn seq_at(&self, time: Timestamp, until: Timestamp) -> Result<u64, StorageError> {
        self.ask(move |reader| reader.seq_at(time, until)).await
    }

    async fn tail(
        &self,
        filter: Filter,
        n: u64,
        upto: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError> {
        self.ask(move |reader| reader.tail(&filter, n, upto)).await
    }

    async fn retain(&self, now: Now) -> Result<Vec<(Topic, u64)>, StorageError> {
        let retention = Arc::clone(&self.retention);
        let raised = Arc::clone(&self.raised);
        let age = self.age(now);
        let done = self.with(move |store| {
            // Events that were acknowledged before they were synced are synced soon.
            store.sync()?;
            let trimmed = store.retain(&retention, age);
            raised.lock().append(&mut store.take_raised());
            trimmed.map(drop)
        });
        done.await?;
        Ok(std::mem::take(&mut *self.raised.lock()))
    }

    async fn close(&self, given_out: u64) -> Result<(), StorageError> {
        self.write(move |store| match store.take() {
            Some(store) => store.close(given_out).map_err(storage_error),
            None => Ok(()),
        })
        .await
    }

    fn health(&self) -> Result<(), StorageError> {
        health(self.reader.health())
    }
}

/// Returns the options of a store for a log with this acknowledgement. `epoch` is the epoch of this
/// open and must be random.
pub fn options(epoch: Epoch, acknowledge: Acknowledge) -> Options {
    let options = Options::new(epoch);
    match acknowledge {
        // No seq is used before its event is on the disk, so none needs to be leased.
        Acknowledge::Synced => options.lease(0),
        _ => options,
    }
}

/// Returns whether the time for which a store with this head was closed is too long to believe.
fn is_doubtful(closed: Duration, head: u64) -> bool {
    closed > LONGEST_CLOSED && head > 0
}

/// Adapts options to a limit on bytes.
fn bounded(mut options: Options, max_bytes: u64) -> Options {
    options.segment_bytes = options.segment_bytes.min(segment_bytes(max_bytes));
    let floors = usize::try_from(max_bytes / SEGMENTS / FLOOR_BYTES).unwrap_or(usize::MAX);
    options.max_idle_floors = options.max_idle_floors.min(floors);
    options
}

/// Returns the length of the segments of a store with this limit on bytes.
fn segment_bytes(max_bytes: u64) -> u64 {
    (max_bytes / SEGMENTS).clamp(64 << 10, 64 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_an_eighth_of_the_limit_within_bounds() {
        let kib = 1 << 10;
        for (kept, segment) in [
            (0, 64 * kib),
            (512 * kib, 64 * kib),
            (8 * kib * kib, kib * kib),
            (512 * kib * kib, 64 * kib * kib),
            (u64::MAX, 64 * kib * kib),
        ] {
            assert_eq!(segment_bytes(kept), segment, "{kept}");
        }
    }

    #[test]
    fn a_day_is_believed_and_more_is_where_there_is_no_event() {
        let longer = LONGEST_CLOSED + Duration::from_nanos(1);
        for (closed, head, doubtful) in [
            (LONGEST_CLOSED, 1, false),
            (longer, 1, true),
            (longer, 2, true),
            (longer, 0, false),
            (Duration::ZERO, 1, false),
        ] {
            assert_eq!(is_doubtful(closed, head), doubtful, "{closed:?}, {head}");
        }
    }

    #[test]
    fn a_bound_makes_segments_and_floors_fewer_and_never_more() {
        let bounded = |max_bytes| {
            let options = bounded(Options::new(Epoch::new(1)), max_bytes);
            (options.segment_bytes, options.max_idle_floors)
        };
        let default = Options::new(Epoch::new(1));
        assert_eq!(bounded(320 << 10), (64 << 10, 1_024));
        assert_eq!(bounded(3_200 << 10), (400 << 10, 10_240));
        let (segment, floors) = (default.segment_bytes, default.max_idle_floors);
        assert_eq!(bounded(u64::MAX), (segment, floors));
    }

    #[test]
    fn only_seqs_that_are_used_before_they_are_synced_are_leased() {
        let lease = |acknowledge| options(Epoch::new(1), acknowledge).lease;
        assert_eq!(lease(Acknowledge::Synced), 0);
        assert!(lease(Acknowledge::Written) > 0 && lease(Acknowledge::Memory) > 0);
    }
}
