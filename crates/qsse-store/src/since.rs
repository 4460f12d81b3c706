//! Where a time begins among events whose times may go back.

use crate::segment::{Files, Segment};
use qsse_proto::Since;
use std::sync::Arc;

/// Returns the seq that `since` looks for, or `next` if no event in these segments has such a time.
/// Removed events count too, and a damaged record counts as a whole.
pub(crate) fn seq_since(
    segments: &[Arc<Segment>],
    files: &Files,
    mut since: Since,
    next: u64,
) -> u64 {
    let found = segments
        .iter()
        .find_map(|segment| in_segment(segment, files, &mut since));
    found.unwrap_or_else(|| since.begin(next))
}

fn in_segment(segment: &Arc<Segment>, files: &Files, since: &mut Since) -> Option<u64> {
    let (earliest, latest) = segment.times()?;
    if since.skip(segment.first, earliest, latest) {
        return None;
    }
    let mut looked = 0;
    loop {
        let next = segment.index(files, |index| {
            let mut records = index.records().iter().enumerate().skip(looked);
            let next = records.find(|(_, record)| {
                let (earliest, latest) = record.times();
                !since.skip(record.after + 1, earliest, latest)
            });
            next.map(|(at, record)| (at, *record))
        });
        let Ok(next) = next else {
            return Some(since.begin(segment.first));
        };
        let (at, record) = next?;
        let Some(Some(batch)) = segment.batch(&record, files.seal) else {
            return Some(since.begin(record.after + 1));
        };
        let mut events = batch.iter();
        let found = events.find_map(|event| since.event(event.seq(), event.time()));
        if found.is_some() {
            return found;
        }
        looked = at + 1;
    }
}
