//! [`UnfinishedBudget`]: the memory of frames that have not arrived completely.

use qsse_proto::limits;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::Config;

/// A number of bytes that unfinished frames share. Those that find no room wait in turn.
pub(crate) struct UnfinishedBudget {
    left: Semaphore,
    bytes: usize,
}

/// The bytes of one frame in a budget, until it is dropped.
pub(crate) struct Share<'b>(#[expect(dead_code, reason = "it is held")] SemaphorePermit<'b>);

impl UnfinishedBudget {
    /// Creates the budget of all connections of a server.
    pub(crate) fn of_server(config: &Config) -> Self {
        let longest = limits::event_frame_bytes(config.log.max_event_bytes);
        Self::new(config.unfinished_bytes, longest)
    }

    /// Creates a budget with room for `bytes`, and in any case for a frame of `longest`.
    pub(crate) fn new(bytes: usize, longest: usize) -> Self {
        let bytes = bytes.max(longest).min(Semaphore::MAX_PERMITS);
        let left = Semaphore::new(bytes);
        Self { left, bytes }
    }

    /// Takes a share if there is room for it now.
    pub(crate) fn try_take(&self, bytes: u32) -> Option<Share<'_>> {
        self.left.try_acquire_many(bytes).ok().map(Share)
    }

    /// Waits for a share. Cancel-safe.
    pub(crate) async fn take(&self, bytes: u32) -> Share<'_> {
        let share = self.left.acquire_many(bytes).await;
        Share(share.expect("the semaphore is never closed"))
    }

    /// Returns how many bytes are taken.
    pub(crate) fn taken(&self) -> usize {
        self.bytes - self.left.available_permits()
    }
}
