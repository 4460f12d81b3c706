//! [`Mark`]: where a subscription stands, moved without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use qsse_proto::{Epoch, EventId};

use super::slot::GO_EPOCH;

/// A position in one epoch, moved by the subscription for each event without a lock, read by the driver.
pub(crate) struct Mark {
    epoch: Epoch,
    seq: AtomicU64,
}

impl Mark {
    pub(crate) fn new(id: EventId) -> Arc<Self> {
        Arc::new(Self {
            epoch: id.epoch(),
            seq: AtomicU64::new(id.seq()),
        })
    }

    pub(crate) fn id(&self) -> EventId {
        EventId::new(self.epoch, self.seq.load(Ordering::Acquire))
    }

    /// Moves to `id`; false if that is of another epoch.
    #[inline]
    pub(crate) fn advance(&self, id: EventId) -> bool {
        let same = self.epoch == id.epoch();
        if same {
            self.seq.store(id.seq(), Ordering::Release);
        }
        same
    }

    /// Whether everything up to `id` has been handed out. Seqs rise across the epochs of a log (QP-7.9), and a position of another
    /// log is replaced at the reset.
    #[inline]
    pub(crate) fn covers(&self, id: EventId) -> bool {
        let comparable = self.epoch == id.epoch() || self.same_numbers(id);
        comparable && id.seq() <= self.seq.load(Ordering::Relaxed)
    }

    /// Whether both are of a server's log, or neither.
    #[cold]
    fn same_numbers(&self, id: EventId) -> bool {
        (self.epoch == GO_EPOCH) == (id.epoch() == GO_EPOCH)
    }
}
