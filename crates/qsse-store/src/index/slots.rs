//! [`Slot`]: where the events of a topic are in a segment.

use crate::format::{Fields, Seal};
use crate::io::{IoFile, read_range};
use std::io;
use std::sync::Arc;

/// One event of a topic. Its seq is relative to the segment's first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) seq: u32,
    /// The number of its record.
    pub(crate) record: u32,
    /// The bytes that count for [`Retention`](crate::Retention).
    pub(crate) bytes: u32,
}

/// The figures of a topic's events in a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) count: u32,
    pub(crate) bytes: u64,
    /// Seqs relative to the segment's first one.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// In memory the number of the topic's list; in a file where its slots begin.
    pub(super) at: u32,
    pub(super) len: u32,
    pub(super) sum: u32,
}

/// The slots of all topics of an index.
pub(super) enum Slots {
    Memory(Vec<List>),
    File { file: Arc<dyn IoFile>, seal: Seal },
}

/// The events of one topic.
#[derive(Default)]
pub(super) struct List {
    pub(super) slots: Vec<Slot>,
    pub(super) bytes: u64,
}

impl List {
    pub(super) fn push(&mut self, slot: Slot) {
        self.bytes += u64::from(slot.bytes);
        self.slots.push(slot);
    }
}

/// Returns the slots of a topic in memory.
pub(super) fn list<'a>(lists: &'a [List], stat: &Stat) -> &'a [Slot] {
    lists.get(stat.at as usize).map_or(&[], |list| &list.slots)
}

/// Reads the slots of one topic.
pub(super) fn read(file: &dyn IoFile, seal: Seal, stat: &Stat) -> io::Result<Vec<Slot>> {
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    if u64::from(stat.at) + u64::from(stat.len) > file.len()? {
        return Err(damaged());
    }
    let block = read_range(file, u64::from(stat.at), stat.len as usize)?;
    if block.len() != stat.len as usize || seal.sum(&block) != stat.sum {
        return Err(damaged());
    }
    let (mut fields, mut list) = (Fields::new(&block), Vec::new());
    let mut slot = Slot {
        seq: 0,
        record: 0,
        bytes: 0,
    };
    while !fields.is_empty() {
        let mut next = || fields.varint().ok_or_else(damaged);
        slot = Slot {
            seq: slot.seq.checked_add(next()?).ok_or_else(damaged)?,
            record: slot.record.checked_add(next()?).ok_or_else(damaged)?,
            bytes: next()?,
        };
        list.push(slot);
    }
    Ok(list)
}
