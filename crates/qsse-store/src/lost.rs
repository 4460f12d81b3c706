//! Ranges of lost seqs.

/// Adds (after, to] to the lost ranges. A range that touches the last one extends it.
pub(crate) fn add_lost(lost: &mut Vec<(u64, u64)>, after: u64, to: u64) {
    if after >= to {
        return;
    }
    match lost.last_mut() {
        Some(last) if last.1 >= after => last.1 = last.1.max(to),
        _ => lost.push((after, to)),
    }
}
