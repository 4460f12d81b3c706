//! [`Plan`]: which records of a segment a read needs.

use crate::format::Record;
use crate::index::{Index, Slot};
use qsse_topic::{Filter, Topic};
use std::collections::HashMap;
use std::io;

/// How to read a segment from a position on.
pub(super) enum Plan {
    /// Read these consecutive records.
    Sequence(Vec<Record>),
    /// Read these items. Nothing else matches.
    Selected(Vec<Item>),
}

pub(super) enum Item {
    /// The events with these seqs in this record.
    Record(Record, Vec<u64>),
    /// Seqs (after, to] are lost.
    Hole(u64, u64),
}

/// If less than one byte in this many matches, only the records with matching events are read.
const SPARSE: u64 = 4;

/// Plans a read of (after, upto]. `floors` has the floors of topics, below which nothing is read.
/// Without it records are read one by one, and not single events.
///
/// # Errors
/// The index of a topic could not be read.
pub(super) fn plan(
    index: &Index,
    filter: &Filter,
    after: u64,
    upto: u64,
    chunk: u64,
    floors: Option<&HashMap<Topic, u64>>,
) -> io::Result<Plan> {
    let Some(floors) = floors else {
        return Ok(sequence(index, after, upto, chunk));
    };
    let mut topics = Vec::new();
    let mut bytes = 0;
    for (topic, stat) in index.matching(filter) {
        let (first, last) = index.span(&stat);
        let after = floors.get(topic).map_or(after, |floor| after.max(*floor));
        if last > after && first <= upto {
            bytes += stat.bytes;
            topics.push((stat, after));
        }
    }
    if bytes.saturating_mul(SPARSE) >= index.bytes() && !topics.is_empty() {
        return Ok(sequence(index, after, upto, chunk));
    }
    let mut slots = Vec::new();
    for (stat, after) in &topics {
        slots.append(&mut index.slots(stat, *after, upto)?);
    }
    slots.sort_unstable_by_key(|slot| slot.seq);
    Ok(Plan::Selected(items(index, &slots, after, upto)))
}

/// Returns the next records, at least one and about `chunk` bytes.
fn sequence(index: &Index, after: u64, upto: u64, chunk: u64) -> Plan {
    let records = index.records_after(after);
    let Some(first) = records.first() else {
        return Plan::Sequence(Vec::new());
    };
    let limit = u64::from(first.offset) + chunk;
    let within = |record: &&Record| record.end() <= limit && record.after < upto;
    let more = records.iter().skip(1).take_while(within).count();
    Plan::Sequence(records.iter().take(1 + more).copied().collect())
}

fn items(index: &Index, slots: &[Slot], after: u64, upto: u64) -> Vec<Item> {
    let holes = index.holes();
    let begin = holes.partition_point(|&(_, to)| to <= after);
    let mut holes = holes
        .iter()
        .skip(begin)
        .copied()
        .take_while(|&(from, _)| from < upto)
        .peekable();
    let mut items = Vec::new();
    for group in slots.chunk_by(|a, b| a.record == b.record) {
        let Some(record) = group.first().and_then(|slot| index.record(slot)) else {
            continue;
        };
        while let Some((from, to)) = holes.next_if(|&(from, _)| from < record.after) {
            items.push(Item::Hole(from, to));
        }
        let seqs = group.iter().map(|slot| index.seq(slot)).collect();
        items.push(Item::Record(record, seqs));
    }
    items.extend(holes.map(|(from, to)| Item::Hole(from, to)));
    // A rebuilt index may know less than the one before.
    if index.end() < upto {
        items.push(Item::Hole(index.end().max(after), upto));
    }
    items
}
