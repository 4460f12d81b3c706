//! [`Storage`]: where a log keeps its events beside memory.

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

/// A place that outlasts the process. Its calls are per batch, never per event.
///
/// A log appends from one task at a time; everything else may be called at any time. A call that panics counts as an error: for
/// writing a final one.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// What was there when it was opened.
    fn recovered(&self) -> Recovered;

    /// Writes events: all of them, or after an error none. With [`Acknowledge::Synced`] they outlast a crash of the machine
    /// once this returns.
    ///
    /// # Errors
    /// [`StorageError`]; with a final one, of every later call too.
    async fn append(
        &self,
        entries: Vec<Entry>,
        acknowledge: Acknowledge,
    ) -> Result<(), StorageError>;

    /// Makes sure that seqs up to `upto`, at least, are never given to other events, whatever happens; tells up to which.
    ///
    /// # Errors
    /// [`StorageError`]; nothing was reserved.
    async fn reserve(&self, upto: u64) -> Result<u64, StorageError>;

    /// The events in (after, upto] that `filter` admits, about `budget` bytes of them.
    ///
    /// # Errors
    /// [`StorageError`]: nothing is known of that range. What is damaged is no error, but [`StoredEvents::lost`].
    async fn read(
        &self,
        filter: Filter,
        after: u64,
        upto: u64,
        budget: usize,
    ) -> Result<StoredEvents, StorageError>;

    /// The topics that `filter` admits and that have an event here, in order.
    fn topics(&self, filter: &Filter) -> Vec<Topic>;

    /// The newest event that `filter` admits and that was let go, if it is above this seq; otherwise any seq that is not.
    fn floor(&self, filter: &Filter, above: u64) -> u64;

    /// The position before the oldest event kept.
    fn oldest(&self) -> u64;

    /// The first seq whose event is of `time` or later, where times after `until` are ahead of the clock, or the one after the
    /// newest: what [`Since`](qsse_proto::Since) finds.
    ///
    /// # Errors
    /// [`StorageError`]: it is not known.
    async fn seq_at(&self, time: Timestamp, until: Timestamp) -> Result<u64, StorageError>;

    /// For each topic that `filter` admits, the seq of its `n`th last event at or below `upto`, or of its first.
    ///
    /// # Errors
    /// [`StorageError`]: they are not known.
    async fn tail(
        &self,
        filter: Filter,
        n: u64,
        upto: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError>;

    /// Lets go of what is not to be kept. Called about once a second.
    ///
    /// Tells which topics have lost events since the last call that succeeded, each with the newest one lost; a topic may come
    /// more than once. [`floor`](Self::floor) says the same from then on, and the log no longer serves those events from memory
    /// either.
    ///
    /// # Errors
    /// [`StorageError`]; a later call goes on.
    async fn retain(&self, now: Now) -> Result<Vec<(Topic, u64)>, StorageError>;

    /// Ends cleanly. `given_out` is the last seq that anybody was told.
    ///
    /// # Errors
    /// [`StorageError`]; it is then as after a crash.
    async fn close(&self, given_out: u64) -> Result<(), StorageError>;

    /// Whether it can take events.
    fn health(&self) -> Result<(), StorageError>;
}

/// What is written in one piece: events of any topics, and the keys of those that have one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The events.
    pub batch: Batch,
    /// Keys, with the seqs of their events, rising.
    pub keys: Vec<(u64, PublishKey)>,
    /// What publishers have published of them, with their numbers, in the order of the seqs. A publish to many topics is among those of the
    /// entry that has its last event.
    pub runs: Vec<(PublisherId, PublisherRun)>,
}

/// What a storage held when it was opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The epochs of its events; the current one is that of what is appended from now on, and lasts already.
    pub lineage: Lineage,
    /// The last seq that an event may have: the next one gets the one after.
    pub head: u64,
    /// Seqs up to here are reserved.
    pub reserved: u64,
    /// The time of the newest event.
    pub last_time: Timestamp,
    /// No event is later. It is later than `last_time` where the clock was set back.
    pub latest: Timestamp,
    /// The keys of the dedup window, with the seqs of their events.
    pub keys: Vec<(PublishKey, u64)>,
    /// How old, counted from the newest event or from the open, a key may be to be among these.
    pub keys_age: Duration,
    /// The publishers of the window.
    pub publishers: Vec<PublisherState>,
    /// How long ago, counted from the newest event or from the open, a publisher may have been active last to be among these.
    pub publishers_age: Duration,
    /// Whether it was closed, or is new: nothing that was in memory is missing.
    pub clean: bool,
}

impl Recovered {
    /// A storage that is empty, and goes on in this epoch.
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

/// What a read of a storage found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoredEvents {
    /// The events, in order.
    pub batches: Vec<Batch>,
    /// Where events are lost, by damage or a crash, each (after, to], in order; never within a batch.
    pub lost: Vec<(u64, u64)>,
    /// If above the position asked for, admitted events up to here were let go.
    pub floor: u64,
    /// Everything up to here was looked at.
    pub through: u64,
}

impl CachedRead for StoredEvents {
    fn allocated(&self) -> usize {
        self.batches.iter().map(Batch::allocated).sum()
    }
}

/// Why a storage did not do something.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no room. It takes events again once there is.
    #[error("the disk is full ({0}): make room, or keep less")]
    Full(Arc<dyn std::error::Error + Send + Sync>),
    /// It did not work and may the next time.
    #[error("the store failed: {0}")]
    Failed(Arc<dyn std::error::Error + Send + Sync>),
    /// It takes no more events until it is opened anew.
    #[error("the store takes no more events until the server is started again: {0}")]
    Ended(Arc<dyn std::error::Error + Send + Sync>),
}

impl StorageError {
    /// It takes no more events, for a reason of the log's own.
    pub(crate) fn ended(why: &'static str) -> Self {
        Self::Ended(Box::<dyn std::error::Error + Send + Sync>::from(why).into())
    }

    /// A call of it panicked. Nobody knows what it did.
    pub(crate) fn panicked(what: &str) -> Self {
        Self::Ended(
            Box::<dyn std::error::Error + Send + Sync>::from(format!("it panicked: {what}")).into(),
        )
    }

    /// It did not read.
    #[cfg(feature = "disk")]
    pub(crate) fn unread(why: String) -> Self {
        Self::failed(why)
    }

    /// It has not answered a write for so long.
    pub(crate) fn stalled(waited: Duration) -> Self {
        Self::failed(format!("it has taken nothing for {} s", waited.as_secs()))
    }

    /// It has not answered a question for so long.
    pub(crate) fn silent(waited: Duration) -> Self {
        Self::failed(format!("it has not answered for {} s", waited.as_secs()))
    }

    fn failed(why: String) -> Self {
        Self::Failed(Box::<dyn std::error::Error + Send + Sync>::from(why).into())
    }

    /// Whether it will not pass.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}
