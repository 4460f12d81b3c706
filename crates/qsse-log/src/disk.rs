//! [`Disk`]: a log's storage in a directory.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use qsse_proto::{Epoch, Timestamp};
use qsse_store::{Age, Recovered, Store, StoreError};
use qsse_topic::{Filter, Topic};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::config::Retention;
use crate::dedup::Key;
use crate::lineage::Lineage;
use crate::storage::{Acknowledge, Entry, Opened, Storage, StorageError, Stored};
use crate::time::Now;

mod convert;

pub use qsse_store::{OpenError, Options};

use convert::{health, publisher, retention, storage_error, store_entry};

/// Events in a directory, written by a thread of its own.
///
/// ```
/// use qsse_log::disk::{Disk, Options};
/// use qsse_log::{Config, Log, Now};
/// use qsse_proto::Epoch;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path();
/// let disk = Disk::open(path, Options::new(Epoch::new(rand_number())), Kept::default())?;
/// let log = Log::stored(std::sync::Arc::new(disk), Config::default(), Now::default());
/// # Ok(())
/// # }
/// # use qsse_log::disk::Kept;
/// # fn rand_number() -> u64 { 4 }
/// ```
pub struct Disk {
    writer: Writer,
    reader: qsse_store::Reader,
    opened: Opened,
    rules: Arc<qsse_store::Retention>,
    /// Floors that were raised and not told yet.
    raised: Arc<Mutex<Vec<(Topic, u64)>>>,
    /// When ages were first asked for, by the monotonic clock, and how long it had been closed then.
    began: Mutex<Option<(Duration, Duration)>>,
}

/// The longest that a store is believed to have been closed: a wall clock that has jumped does not wipe everything at once.
const LONGEST_CLOSED: Duration = Duration::from_secs(24 * 60 * 60);

/// A store with a limit has at least so many segments when it is full.
const SEGMENTS: u64 = 8;

/// What a topic's floor takes in its file, about.
const FLOOR_BYTES: u64 = 40;

/// What a [`Disk`] keeps. Each bound that is set holds by itself; without any it keeps everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Kept {
    /// Most bytes of all files together, which are freed by whole segments: between two calls of
    /// [`retain`](Storage::retain) it is passed by what is published, and after one only if the newest segment alone does.
    pub max_bytes: Option<u64>,
    /// Most events of all topics together.
    pub max_events: Option<u64>,
    /// Greatest age of an event.
    pub max_age: Option<Duration>,
    /// Bounds for single topics.
    pub topics: Vec<Retention>,
}

/// Who writes.
enum Writer {
    Thread(mpsc::Sender<Job>),
    /// Whoever calls: for simulations, in which a thread would be another source of order.
    Caller(Box<Mutex<Option<Store>>>),
}

type Job = Box<dyn FnOnce(&mut Option<Store>) + Send>;

impl Disk {
    /// Opens the store in a directory, which is made if there is none.
    ///
    /// With [`Kept::max_bytes`] segments are no longer than an eighth of it, from 64 KiB to 64 MiB: that is how much goes at
    /// once. The floors of topics without events get as much.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(
        path: impl AsRef<Path>,
        mut options: Options,
        kept: Kept,
    ) -> Result<Self, OpenError> {
        if let Some(most) = kept.max_bytes {
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
        Ok(Self::of(Writer::Thread(jobs), reader, recovered, kept))
    }

    /// A store that is open already, written by whoever calls.
    pub fn inline(store: Store, recovered: Recovered, kept: Kept) -> Self {
        let reader = store.reader();
        let writer = Writer::Caller(Box::new(Mutex::new(Some(store))));
        Self::of(writer, reader, recovered, kept)
    }

    fn of(writer: Writer, reader: qsse_store::Reader, recovered: Recovered, kept: Kept) -> Self {
        let mut epochs = recovered.epochs.into_iter();
        let (oldest, _) = epochs.next().expect("an open store has an epoch");
        let mut opened = Opened::new(oldest);
        let begin = |lineage: Lineage, (epoch, first)| lineage.then(epoch, first);
        opened.lineage = epochs.fold(opened.lineage, begin);
        opened.head = recovered.next_seq - 1;
        (opened.last_time, opened.latest) = (recovered.last_time, recovered.latest);
        let keys = recovered.keys.into_iter();
        opened.keys = keys
            .map(|(key, seq, _)| (Key::new(key.scope, key.key), seq))
            .collect();
        (opened.keys_age, opened.publishers_age) = (recovered.keys_age, recovered.publishers_age);
        opened.publishers = recovered.publishers.into_iter().map(publisher).collect();
        opened.clean = recovered.clean;
        Self {
            writer,
            reader,
            opened,
            rules: Arc::new(retention(kept)),
            raised: Arc::default(),
            began: Mutex::new(None),
        }
    }

    /// How old things are now.
    fn age(&self, now: Now) -> Age {
        let mut began = self.began.lock();
        let (since, closed) = *began.get_or_insert_with(|| {
            let closed = now.wall.saturating_since(self.opened.last_time);
            if is_doubtful(closed, self.opened.head) {
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

    /// Lets the writer do something with the store, while it is open.
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

    /// Lets the writer do something.
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

    /// Asks the reader, off the caller's thread where writing is.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&qsse_store::Reader) -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let reader = self.reader.clone();
        match &self.writer {
            Writer::Caller(_) => Ok(question(&reader)),
            Writer::Thread(_) => {
                let answer = tokio::task::spawn_blocking(move || question(&reader));
                // Only a panic or the runtime's end leaves a question without an answer.
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
    fn opened(&self) -> Opened {
        self.opened.clone()
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
    ) -> Result<Stored, StorageError> {
        let read = move |reader: &qsse_store::Reader| {
            let read = reader.read(&filter, after, upto, budget);
            Stored {
                batches: read.batches,
                lost: read.lost,
                floor: read.floor,
                through: read.through,
            }
        };
        self.ask(read).await
    }

    fn topics(&self, filter: &Filter) -> Vec<Topic> {
        self.reader.topics_matching(filter)
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
        let rules = Arc::clone(&self.rules);
        let raised = Arc::clone(&self.raised);
        let age = self.age(now);
        let done = self.with(move |store| {
            // What was acknowledged before it was synced is not left to the system for long.
            store.sync()?;
            let trimmed = store.retain(&rules, age);
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

/// A store's options for a log that acknowledges like this, with the epoch of this open, which must be random.
pub fn options(epoch: Epoch, acknowledge: Acknowledge) -> Options {
    let options = Options::new(epoch);
    match acknowledge {
        // Nobody is told of what is not on the disk.
        Acknowledge::Synced => options.lease(0),
        _ => options,
    }
}

/// Whether a store that ends with this seq was closed for longer than is believed.
fn is_doubtful(closed: Duration, head: u64) -> bool {
    closed > LONGEST_CLOSED && head > 0
}

/// Options of a store that keeps this many bytes.
fn bounded(mut options: Options, max_bytes: u64) -> Options {
    options.segment_bytes = options.segment_bytes.min(segment_bytes(max_bytes));
    let floors = usize::try_from(max_bytes / SEGMENTS / FLOOR_BYTES).unwrap_or(usize::MAX);
    options.max_idle_floors = options.max_idle_floors.min(floors);
    options
}

/// How long the segments of a store are that keeps this many bytes.
fn segment_bytes(max_bytes: u64) -> u64 {
    (max_bytes / SEGMENTS).clamp(64 << 10, 64 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_an_eighth_of_what_is_kept_within_bounds() {
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
    fn only_what_is_told_before_it_is_synced_leases_seqs() {
        let lease = |acknowledge| options(Epoch::new(1), acknowledge).lease;
        assert_eq!(lease(Acknowledge::Synced), 0);
        assert!(lease(Acknowledge::Written) > 0 && lease(Acknowledge::Memory) > 0);
    }
}
