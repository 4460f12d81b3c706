//! [`Shared`]: what the handles of a log, its appenders and its readers share.

use std::collections::hash_map::RandomState;
use std::sync::Arc;
use std::time::Duration;

use qsse_proto::EventId;
use qsse_topic::Filter;
use tokio::sync::Notify;

use crate::backpressure::Backpressure;
use crate::batches::Batches;
use crate::budget::Budget;
use crate::config::{Acknowledge, Config};
use crate::contained::contained_now;
use crate::lineage::Lineage;
use crate::pending::Group;
use crate::state::{State, Unanswered};
use crate::storage::{Storage, StorageError};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the handles of a log, its appenders and its readers share.
pub(crate) struct Shared {
    pub(crate) lineage: Lineage,
    pub(crate) config: Config,
    /// Everything that is counted.
    pub(crate) budget: Budget,
    pub(crate) batches: Batches,
    /// The last event whose append is complete.
    pub(crate) visible: AtomicU64,
    pub(crate) state: Mutex<State>,
    /// Hashes filters before the state is locked.
    pub(crate) filter_hasher: RandomState,
    pub(crate) storage: Option<Arc<dyn Storage>>,
    /// Wakes the group commit: there are events for the storage, or it has ended.
    pub(crate) appended: Notify,
    /// Wakes those that wait for the storage: it has written a group, or has ended.
    pub(crate) stored: Notify,
    pub(crate) backpressure: Backpressure,
    /// Bytes of the seqs that starts have selected.
    pub(crate) selected_bytes: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(
        lineage: Lineage,
        config: Config,
        state: State,
        storage: Option<Arc<dyn Storage>>,
    ) -> Self {
        Self {
            lineage,
            config,
            budget: state.budget.clone(),
            batches: state.batches.clone(),
            visible: AtomicU64::new(state.head),
            state: Mutex::new(state),
            filter_hasher: RandomState::new(),
            storage,
            appended: Notify::new(),
            stored: Notify::new(),
            backpressure: Backpressure::default(),
            selected_bytes: AtomicUsize::new(0),
        }
    }

    /// Returns the last event whose append is complete; seq 0 before the first.
    pub(crate) fn visible(&self) -> EventId {
        let seq = self.visible.load(Ordering::Acquire);
        self.lineage.id(seq)
    }

    /// Returns whether readers see events only after the storage has written them.
    pub(crate) fn is_stored_first(&self) -> bool {
        self.storage.is_some() && self.config.acknowledge != Acknowledge::Memory
    }

    /// Returns whether the storage takes no more events.
    pub(crate) fn is_ended(&self) -> bool {
        self.state.lock().end().is_some()
    }

    /// Waits until the storage has everything that was appended before, or accepts no more.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`StorageError`] of the last group.
    pub(crate) async fn flush(&self) -> Result<(), StorageError> {
        let last = {
            let state = self.state.lock();
            let pending = (!state.pending.is_empty()).then(|| state.pending.receipt());
            pending.or_else(|| state.writing.as_ref().map(Group::receipt))
        };
        match last {
            Some(last) => last.stored().await,
            None => Ok(()),
        }
    }
}

/// Asks a storage for the floor of `filter`; at least `above`.
///
/// # Errors
/// The storage panicked.
pub(crate) fn stored_floor(
    storage: &dyn Storage,
    filter: &Filter,
    above: u64,
) -> Result<u64, StorageError> {
    contained_now(|| Ok(storage.floor(filter, above).max(above)))
}

/// Selects the call that a [`UnansweredCall`] stands for.
type Call = fn(&mut Unanswered) -> &mut Option<Duration>;

/// A call of the storage that a sweep monitors until this is dropped.
pub(crate) struct UnansweredCall<'l> {
    shared: &'l Shared,
    call: Call,
}

impl<'l> UnansweredCall<'l> {
    pub(crate) fn begin(shared: &'l Shared, now: Duration, call: Call) -> Self {
        *call(&mut shared.state.lock().unanswered) = Some(now);
        Self { shared, call }
    }
}

impl Drop for UnansweredCall<'_> {
    fn drop(&mut self) {
        *(self.call)(&mut self.shared.state.lock().unanswered) = None;
    }
}
