//! [`Part`]: entries of one append in one segment.

use crate::entry::Entry;
use crate::format::Record;
use crate::segment::Segment;
use std::sync::Arc;

/// Entries that were written to one segment and are not shown to readers yet.
pub(super) struct Part<'e> {
    pub(super) segment: Arc<Segment>,
    /// Whether the segment was begun for these entries.
    pub(super) is_new: bool,
    /// Where the entries begin in the file.
    pub(super) begin: u64,
    pub(super) entries: &'e [Entry],
    pub(super) records: Vec<Record>,
}

impl Part<'_> {
    pub(super) fn of(segment: Arc<Segment>, is_new: bool) -> Self {
        Self {
            begin: segment.len(),
            segment,
            is_new,
            entries: &[],
            records: Vec::new(),
        }
    }
}
