//! [`Fetched`]: what came from the storage and has not been handed out yet.

use std::collections::VecDeque;

use qsse_proto::batch::Batch;
use qsse_proto::stream::Gap;

/// What came from the storage and has not been handed out yet.
#[derive(Default)]
pub(super) struct Fetched {
    pub(super) items: VecDeque<Item>,
    /// The reader's position after all items.
    pub(super) through: u64,
}

impl Fetched {
    /// Returns the allocated bytes.
    pub(super) fn bytes(&self) -> usize {
        let batches = self.items.iter().filter_map(|item| match item {
            Item::Batch(batch) => Some(batch.allocated()),
            Item::Gap(_) => None,
        });
        batches.sum()
    }
}

/// The next thing to hand out.
pub(super) enum Item {
    Batch(Batch),
    Gap(Gap),
}
