//! [`Selecting`]: a selection that is not complete, and the memory that it takes.

use std::collections::VecDeque;
use std::sync::Arc;

use qsse_topic::Filter;

use crate::error::StartError;
use crate::shared::Shared;
use crate::sync::atomic::Ordering;
use crate::topics::scan::Selection;

/// The most events that one start or one lag may select one by one: 8 MiB of seqs.
pub(super) const MAX_SELECTED: usize = 1 << 20;

/// The most bytes of all seqs that are selected and have not been read.
///
/// A start may take as much as it leaves to others. So a few large ones, which nobody reads, cannot
/// keep out the small ones.
const MAX_SELECTED_BYTES: usize = 64 << 20;

/// A selection that is not complete.
pub(super) struct Selecting {
    selection: Selection,
    bytes: SelectedBytes,
    /// Whether all topics were looked at.
    searched: bool,
}

/// Bytes that count in [`Shared::selected_bytes`] until this is dropped.
pub(super) struct SelectedBytes {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Selecting {
    /// Begins to select the last `n` events in (after, upto] of each topic.
    pub(super) fn new(shared: &Arc<Shared>, filter: &Filter, n: usize, range: (u64, u64)) -> Self {
        Self {
            selection: Selection::new(filter.clone(), n, range, MAX_SELECTED),
            bytes: SelectedBytes {
                shared: Arc::clone(shared),
                bytes: 0,
            },
            searched: false,
        }
    }

    /// Searches the next part. Returns true if there is no more.
    ///
    /// # Errors
    /// [`StartError::Busy`].
    pub(super) fn part(&mut self, shared: &Shared) -> Result<bool, StartError> {
        if self.searched {
            return Ok(!self.selection.tidy());
        }
        self.searched = self.selection.search(&shared.state.lock().topics);
        self.selection.settle();
        self.bytes.resize(self.selection.len() * size_of::<u64>())?;
        Ok(self.searched && !self.selection.tidy())
    }

    /// Returns the end of the range.
    pub(super) fn upto(&self) -> u64 {
        self.selection.upto()
    }

    /// Returns the seqs in order, or `None` if they are too many; and the memory that they take.
    pub(super) fn finish(self) -> (Option<VecDeque<u64>>, SelectedBytes) {
        (self.selection.finish(), self.bytes)
    }
}

impl SelectedBytes {
    /// Counts what is held now.
    fn resize(&mut self, bytes: usize) -> Result<(), StartError> {
        let all = &self.shared.selected_bytes;
        let more = bytes.saturating_sub(self.bytes);
        let before = all.fetch_add(more, Ordering::Relaxed);
        all.fetch_sub(self.bytes + more - bytes, Ordering::Relaxed);
        self.bytes = bytes;
        let left = MAX_SELECTED_BYTES.saturating_sub(before + more);
        match more > 0 && bytes > left {
            true => Err(StartError::Busy),
            false => Ok(()),
        }
    }
}

impl Drop for SelectedBytes {
    fn drop(&mut self) {
        let all = &self.shared.selected_bytes;
        all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use qsse_proto::Epoch;

    use super::*;
    use crate::config::Config;
    use crate::lineage::Lineage;
    use crate::state::State;
    use crate::topics::Topics;

    #[test]
    fn a_start_may_take_as_much_memory_as_it_leaves_to_others() {
        let config = Config::default();
        let state = State::new(Topics::default(), &config);
        let shared = Shared::new(Lineage::new(Epoch::new(1)), config, state, None);
        let shared = Arc::new(shared);
        let take = |mib: usize| {
            let mut bytes = SelectedBytes {
                shared: Arc::clone(&shared),
                bytes: 0,
            };
            bytes.resize(mib << 20).map(|()| bytes)
        };
        let mut held: Vec<_> = (0..7).map_while(|_| take(8).ok()).collect();
        assert_eq!(held.len(), 7);
        assert!(take(5).is_err(), "it would leave 3 of 8");
        held.push(take(4).unwrap());
        held.push(take(2).unwrap());
        assert!(take(2).is_err());
        held.push(take(1).unwrap());
        held.clear();
        assert_eq!(shared.selected_bytes.load(Ordering::Relaxed), 0);
        take(8).unwrap();
    }
}
