//! [`Part`]: entries of one append in one segment.

use crate::entry::Entry;
use crate::format::Record;
use crate::segment::Segment;
use std::sync::Arc;

/// Entries in the segment that takes them, written and not shown yet.
pub(super) struct Part<'e> {
    pub(super) segment: Arc<Segment>,
    /// The segment was made for them.
    pub(super) is_new: bool,
    /// Where they begin in the file.
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
