//! [`Storage`]: where a log stores its events outside memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qsse_proto::batch::Batch;
use qsse_proto::{Epoch, Timestamp};
use qsse_topic::{Filter, Topic};

use crate::config::Acknowledge;
use crate::key::PublishKey;
use crate::lineage::Lineage;
use crate::publisher::{PublisherId, PublisherRun, PublisherState};
use crate::read_cache::CachedRead;
use crate::time::Now;

/// A place for events that outlasts the process. It is called per batch, never per event.
///
/// A log appends from one task at a time. All other methods may be called at any time. A panic of a
/// method counts as an error, and for a method that writes as a final one.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Returns what the storage held when it was opened.
    fn recovered(&self) -> Recovered;

    /// Writes events: all of them, or none if it fails. With [`Acknowledge::Synced`] they outlast a
    /// crash of the machine once this returns.
    ///
    /// # Errors
    /// [`StorageError`]. After a final one, every later call fails too.
    async fn append(
        &self,
        entries: Vec<Entry>,
        acknowledge: Acknowledge,
    ) -> Result<(), StorageError>;

    /// Guarantees that seqs up to `upto` are never assigned to other events, whatever happens.
    /// Returns up to which seq this holds, at least `upto`.
    ///
    /// # Errors
    /// [`StorageError`]: nothing was reserved.
    async fn reserve(&self, upto: u64) -> Result<u64, StorageError>;

    /// Reads the events in (after, upto] that match `filter`, about `budget` bytes of them.
    ///
    /// # Errors
    /// [`StorageError`]: the range could not be read. Damage is no error; it is reported in
    /// [`StoredEvents::lost`].
    async fn read(
        &self,
        filter: Filter,
        after: u64,
        upto: u64,
        budget: usize,
    ) -> Result<StoredEvents, StorageError>;

    /// Returns the topics that match `filter` and have an event here, in order. If there are more
    /// than `limit`, it stops there and returns any `limit` of them.
    fn topics(&self, filter: &Filter, limit: usize) -> Vec<Topic>;

    /// Returns the newest removed event that matches `filter` if it is above `above`, and otherwise
    /// any seq that is not.
    fn floor(&self, filter: &Filter, above: u64) -> u64;

    /// Returns the position before the oldest retained event.
    fn oldest(&self) -> u64;

    /// Returns the first seq whose event has a time of `time` or later, or the seq after the newest
    /// event. Times after `until` are ahead of the clock, see [`Since`](qsse_proto::Since).
    ///
    /// # Errors
    /// [`StorageError`]: the seq is unknown.
    async fn seq_at(&self, time: Timestamp, until: Timestamp) -> Result<u64, StorageError>;

    /// Returns for each topic that matches `filter` the seq of its `n`th last event at or below
    /// `upto`, or of its first event if it has fewer.
    ///
    /// # Errors
    /// [`StorageError`]: the seqs are unknown.
    async fn tail(
        &self,
        filter: Filter,
        n: u64,
        upto: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError>;

    /// Removes what the retention does not allow. Called about once a second.
    ///
    /// Returns the topics that have lost events since the last successful call, each with the
    /// newest removed event. A topic may occur more than once. From then on [`floor`](Self::floor)
    /// reports the same, and the log no longer serves these events from memory.
    ///
    /// # Errors
    /// [`StorageError`]: a later call continues.
    async fn retain(&self, now: Now) -> Result<Vec<(Topic, u64)>, StorageError>;

    /// Closes the storage cleanly. `given_out` is the last seq that was used.
    ///
    /// # Errors
    /// [`StorageError`]: the storage is then as after a crash.
    async fn close(&self, given_out: u64) -> Result<(), StorageError>;

    /// Checks whether the storage can take events.
    fn health(&self) -> Result<(), StorageError>;
}

/// Events of any topics that are written as a whole, with the keys and runs that belong to them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The events.
    pub batch: Batch,
    /// The keys of events, with the seqs of their events in rising order.
    pub keys: Vec<(u64, PublishKey)>,
    /// The runs of publishers that number their publishes, in the order of their seqs. The run of a
    /// publish to many topics belongs to the entry with its last event.
    pub runs: Vec<(PublisherId, PublisherRun)>,
}

/// What a storage held when it was opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The epochs of the events. The current one is that of the events appended from now on, and is
    /// already on disk.
    pub lineage: Lineage,
    /// The last seq that an event may have. The next event gets the seq after it.
    pub head: u64,
    /// Seqs up to here are reserved.
    pub reserved: u64,
    /// The time of the newest event.
    pub last_time: Timestamp,
    /// The latest time of all events. It is later than `last_time` if the clock was set back.
    pub latest: Timestamp,
    /// The keys of the dedup window with the seqs of their events.
    pub keys: Vec<(PublishKey, u64)>,
    /// The age up to which all keys are known, counted from the newest event or from the open.
    pub keys_age: Duration,
    /// The publishers of the dedup window.
    pub publishers: Vec<PublisherState>,
    /// How long ago a publisher that is known may have been active last, counted from the newest
    /// event or from the open.
    pub publishers_age: Duration,
    /// Whether the storage was closed, or is new: nothing that was only in memory is missing.
    pub clean: bool,
}

impl Recovered {
    /// Creates the state of an empty storage with this epoch.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            lineage: Lineage::new(epoch),
            head: 0,
            reserved: 0,
            last_time: Timestamp::default(),
            latest: Timestamp::default(),
            keys: Vec::new(),
            keys_age: Duration::ZERO,
            publishers: Vec::new(),
            publishers_age: Duration::ZERO,
            clean: true,
        }
    }
}

/// Events that were read from a storage, and what is missing between them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoredEvents {
    /// The events, in order.
    pub batches: Vec<Batch>,
    /// Ranges that are lost by damage or a crash, each as (after, to], in order. No range lies
    /// within a batch.
    pub lost: Vec<(u64, u64)>,
    /// If above the requested position: matching events up to here were removed.
    pub floor: u64,
    /// The read is complete up to here.
    pub through: u64,
}

impl CachedRead for StoredEvents {
    fn allocated(&self) -> usize {
        self.batches.iter().map(Batch::allocated).sum()
    }
}

/// Why an operation of a storage failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The disk is full. The storage takes events again once there is room.
    #[error("the disk is full ({0}): make room, or retain less")]
    Full(Arc<dyn std::error::Error + Send + Sync>),
    /// The operation failed. A later attempt may succeed.
    #[error("the store failed: {0}")]
    Failed(Arc<dyn std::error::Error + Send + Sync>),
    /// The storage takes no more events until it is opened again.
    #[error("the store takes no more events until the server is started again: {0}")]
    Ended(Arc<dyn std::error::Error + Send + Sync>),
}

impl StorageError {
    /// Creates a final error with a reason of the log's own.
    pub(crate) fn ended(why: &'static str) -> Self {
        Self::Ended(Box::<dyn std::error::Error + Send + Sync>::from(why).into())
    }

    /// Creates the error of a call that panicked. What the call did is unknown.
    pub(crate) fn panicked(what: &str) -> Self {
        Self::Ended(
            Box::<dyn std::error::Error + Send + Sync>::from(format!("it panicked: {what}")).into(),
        )
    }

    /// Creates the error of a read that failed.
    #[cfg(feature = "disk")]
    pub(crate) fn unread(why: String) -> Self {
        Self::failed(why)
    }

    /// Creates the error of a write that has been unanswered for this long.
    pub(crate) fn stalled(waited: Duration) -> Self {
        Self::failed(format!("it has taken nothing for {} s", waited.as_secs()))
    }

    /// Creates the error of a read that has been unanswered for this long.
    pub(crate) fn silent(waited: Duration) -> Self {
        Self::failed(format!("it has not answered for {} s", waited.as_secs()))
    }

    fn failed(why: String) -> Self {
        Self::Failed(Box::<dyn std::error::Error + Send + Sync>::from(why).into())
    }

    /// Returns whether the error is final: the storage has to be opened again.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}
