//! [`Batches`]: counts the batches of a log, each once, however many hold it.

use std::sync::Arc;

use qsse_proto::batch::Batch;

use crate::budget::{Budget, Charge};

/// Counts the batches of a log. Clones count in the same sums.
///
/// A batch counts where it is allocated until the last part of its bytes is dropped. What the log
/// itself holds, in history, feeds and cached reads, counts a second time. So the difference is
/// what only readers hold.
#[derive(Clone, Default)]
pub(crate) struct Batches {
    /// All batches, whoever holds them: history, feeds, readers, streams.
    all: Budget,
    /// Those that the log itself holds.
    in_log: Budget,
    /// The part of `in_log` that is shared: the batches of large events.
    large: Budget,
    /// The part of `large` that the history holds.
    in_history: Budget,
}

/// The batch of a large event, as history and feeds share it. Among what the log holds it counts
/// once, until the last of them drops it.
#[derive(Clone)]
pub(crate) struct LargeBatch {
    pub(crate) batch: Batch,
    /// Dropped after the batch, so that it never counts as one that only readers hold.
    _in_log: Arc<Charge>,
}

impl Batches {
    /// Creates the counts of a log whose memory counts in `memory`.
    pub(crate) fn within(memory: &Budget) -> Self {
        let in_log = Budget::default();
        Self {
            all: memory.part(usize::MAX),
            large: in_log.part(usize::MAX),
            in_log,
            in_history: Budget::default(),
        }
    }

    /// Counts a batch until the last part of its bytes is dropped.
    pub(crate) fn hold(&self, batch: Batch) -> Batch {
        self.all.hold(batch)
    }

    /// Counts the batch of a large event, which history and feeds will hold.
    pub(crate) fn hold_large(&self, batch: Batch) -> LargeBatch {
        let in_log = self.large.charge(batch.allocated());
        LargeBatch {
            batch: self.hold(batch),
            _in_log: Arc::new(in_log),
        }
    }

    /// Returns a count of batches that a feed or a cache holds and shares with no other.
    pub(crate) fn own(&self) -> Charge {
        self.in_log.charge(0)
    }

    /// Returns a count of large events in the history.
    pub(crate) fn in_history(&self) -> Charge {
        self.in_history.charge(0)
    }

    /// Returns the bytes of large events that feeds hold and the history does not.
    pub(crate) fn large_beside_history(&self) -> usize {
        self.large.used().saturating_sub(self.in_history.used())
    }

    /// Returns the bytes of batches that feeds and caches share with no other.
    pub(crate) fn own_bytes(&self) -> usize {
        self.in_log.used().saturating_sub(self.large.used())
    }

    /// Returns the bytes of batches that only readers hold.
    pub(crate) fn unread(&self) -> usize {
        self.all.used().saturating_sub(self.in_log.used())
    }
}
