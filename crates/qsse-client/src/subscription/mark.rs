//! [`Mark`]: where a subscription stands, moved without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use qsse_proto::{Epoch, EventId};

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

    /// Whether everything up to `id` has been handed out.
    #[inline]
    pub(crate) fn covers(&self, id: EventId) -> bool {
        self.epoch == id.epoch() && id.seq() <= self.seq.load(Ordering::Relaxed)
    }
}
