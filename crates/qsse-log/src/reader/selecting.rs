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

/// The most bytes of all seqs that are selected and have not been read: those of eight starts that
/// select as much as they may.
const MAX_SELECTED_BYTES: usize = 64 << 20;

/// A selection that is not complete.
pub(super) struct Selecting {
    selection: Selection,
    bytes: SelectedBytes,
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
        }
    }

    /// Searches the next part. Returns true if there is no more.
    ///
    /// # Errors
    /// [`StartError::Busy`].
    pub(super) fn part(&mut self, shared: &Shared) -> Result<bool, StartError> {
        let complete = self.selection.search(&shared.state.lock().topics);
        self.selection.settle();
        self.bytes.resize(self.selection.len() * size_of::<u64>())?;
        Ok(complete)
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
        match more > 0 && before + more > MAX_SELECTED_BYTES {
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
