//! [`AtomicCursor`]: a subscription's position, which moves without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use qsse_proto::{Epoch, EventId};

/// The epoch of the numbers that the client gives to events of a Go server. No log uses it.
pub(crate) const GO_EPOCH: Epoch = Epoch::new(0);

/// A position within one epoch. The subscription moves it for each event without a lock, and the
/// driver reads it.
pub(crate) struct AtomicCursor {
    epoch: Epoch,
    seq: AtomicU64,
}

impl AtomicCursor {
    pub(crate) fn new(id: EventId) -> Arc<Self> {
        Arc::new(Self {
            epoch: id.epoch(),
            seq: AtomicU64::new(id.seq()),
        })
    }

    pub(crate) fn id(&self) -> EventId {
        EventId::new(self.epoch, self.seq.load(Ordering::Acquire))
    }

    /// Moves to `id`. Returns false if `id` is of another epoch.
    #[inline]
    pub(crate) fn advance(&self, id: EventId) -> bool {
        let same = self.epoch == id.epoch();
        if same {
            self.seq.store(id.seq(), Ordering::Release);
        }
        same
    }

    /// Returns whether everything up to `id` has been handed out.
    ///
    /// Seqs rise across the epochs of a log (QP-7.9), and a reset replaces a position of another
    /// log, so seqs are enough to compare.
    #[inline]
    pub(crate) fn covers(&self, id: EventId) -> bool {
        let comparable = self.epoch == id.epoch() || self.has_same_numbering(id);
        comparable && id.seq() <= self.seq.load(Ordering::Relaxed)
    }

    /// Returns whether a server numbered both positions, or the client numbered both.
    #[cold]
    fn has_same_numbering(&self, id: EventId) -> bool {
        (self.epoch == GO_EPOCH) == (id.epoch() == GO_EPOCH)
    }
}
