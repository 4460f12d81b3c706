//! [`FeedTotals`]: what all feeds of a log have together.

use std::sync::Arc;

use crate::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

/// What all feeds of a log have together.
#[derive(Default)]
pub(crate) struct FeedTotals {
    /// Allocated bytes of their batches and cached reads.
    pub(crate) bytes: Arc<AtomicUsize>,
    /// The number of feeds that have batches.
    filled: AtomicUsize,
    /// The number of feeds without readers. A feed may be dropped before its last reader has
    /// counted it, so this can be below 0 for a moment.
    idle: AtomicIsize,
}

impl FeedTotals {
    /// Returns the allocated bytes of all feeds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of feeds that have batches.
    pub(crate) fn filled(&self) -> usize {
        self.filled.load(Ordering::Relaxed)
    }

    /// Returns the number of feeds without readers, apart from those that are being dropped.
    pub(crate) fn idle(&self) -> usize {
        usize::try_from(self.idle.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Notes that the batches of a feed take other bytes than before.
    pub(super) fn count(&self, before: usize, now: usize) {
        match now.checked_sub(before) {
            Some(more) => self.bytes.fetch_add(more, Ordering::Relaxed),
            None => self.bytes.fetch_sub(before - now, Ordering::Relaxed),
        };
        match (before, now) {
            (0, 1..) => drop(self.filled.fetch_add(1, Ordering::Relaxed)),
            (1.., 0) => drop(self.filled.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// Counts a feed that has no reader.
    pub(super) fn add_idle(&self) {
        self.idle.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less: it has a reader again, or is being dropped.
    pub(super) fn remove_idle(&self) {
        self.idle.fetch_sub(1, Ordering::Relaxed);
    }
}
