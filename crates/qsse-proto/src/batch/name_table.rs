//! The names that an open batch has already written, and their positions.

use super::names::Positions;
use crate::intern::hash;

/// The topics of an open batch: the last one, and a small hash table for the others.
#[derive(Debug, Default)]
pub(super) struct TopicNames {
    count: u32,
    first: u32,
    others: Vec<u32>,
    last: Slot,
    /// Made for the second topic of a batch. Most feeds have one topic.
    table: Vec<Slot>,
    /// Slots of earlier batches have another generation, so nothing needs to be cleared in between.
    generation: u32,
}

/// A topic whose length byte is at `at`.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    generation: u32,
    at: u32,
    number: u32,
}

/// A power of two. Names that share a slot are written again each time, so there are several times
/// more slots than a usual batch has topics. Together they take 3 KiB.
const SLOTS: usize = 256;

impl TopicNames {
    /// Returns the number of `topic`, if the table still has it.
    #[inline]
    pub(super) fn find(&mut self, buf: &[u8], topic: &[u8]) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        if name(buf, self.last.at) == topic {
            return Some(self.last.number);
        }
        if self.count == 1 {
            return None;
        }
        let slot = self.table[slot(topic)];
        if slot.generation != self.generation || name(buf, slot.at) != topic {
            return None;
        }
        self.last = slot;
        Some(slot.number)
    }

    /// Writes `topic` with its length, and gives it the next number (`QP-6.4`).
    pub(super) fn add(&mut self, buf: &mut Vec<u8>, topic: &[u8]) {
        let at = write(buf, topic);
        if self.count == 0 {
            self.first = at;
            self.generation = self.generation.wrapping_add(1);
        } else {
            if self.count == 1 {
                self.make_table(buf);
            }
            self.others.push(at);
        }
        self.count += 1;
        self.last = Slot {
            generation: self.generation,
            at,
            number: self.count,
        };
        if self.count > 1 {
            self.table[slot(topic)] = self.last;
        }
    }

    pub(super) fn positions(&self) -> Positions {
        Positions::new(self.first, &self.others)
    }

    pub(super) fn reset(&mut self) {
        self.count = 0;
        self.others.clear();
    }

    pub(super) fn capacity(&self) -> usize {
        self.table.capacity() * size_of::<Slot>() + self.others.capacity() * size_of::<u32>()
    }

    /// Prepares the table, and enters the first topic into it.
    fn make_table(&mut self, buf: &[u8]) {
        if self.table.is_empty() {
            self.table = vec![Slot::default(); SLOTS];
        }
        if self.generation == 0 {
            // The generation wrapped around: slots of four billion batches ago would look like
            // current ones.
            self.table.fill(Slot::default());
            self.generation = 1;
            self.last.generation = 1;
        }
        self.table[slot(name(buf, self.first))] = self.last;
    }
}

/// The kinds of an open batch. There are few of them.
#[derive(Debug, Default)]
pub(super) struct KindNames {
    positions: Vec<u32>,
}

/// Kinds beyond this number are written in full each time.
const KINDS: usize = 16;

impl KindNames {
    /// Returns the number of `kind`, if it has one.
    #[inline]
    pub(super) fn find(&self, buf: &[u8], kind: &str) -> Option<u32> {
        if kind == crate::kind::Kind::MESSAGE_TEXT {
            return Some(0);
        }
        let found = (2..)
            .zip(&self.positions)
            .find(|&(_, &at)| name(buf, at) == kind.as_bytes());
        found.map(|(number, _)| number)
    }

    /// Writes `kind` with its length, and gives it the next number (`QP-6.5`).
    pub(super) fn add(&mut self, buf: &mut Vec<u8>, kind: &[u8]) {
        let at = write(buf, kind);
        if self.positions.len() < KINDS {
            self.positions.push(at);
        }
    }

    pub(super) fn reset(&mut self) {
        self.positions.clear();
    }

    pub(super) fn capacity(&self) -> usize {
        self.positions.capacity() * size_of::<u32>()
    }
}

#[inline]
fn slot(topic: &[u8]) -> usize {
    // The high bits are mixed best.
    (hash(topic) >> 40) as usize % SLOTS
}

/// Returns the name whose length byte is at `at`.
#[inline]
fn name(buf: &[u8], at: u32) -> &[u8] {
    let at = at as usize;
    &buf[at + 1..][..usize::from(buf[at])]
}

/// Appends a name and returns its position. The caller has checked the length.
fn write(buf: &mut Vec<u8>, name: &[u8]) -> u32 {
    let at = u32::try_from(buf.len()).expect("a batch is shorter than 4 GiB");
    buf.push(name.len() as u8);
    buf.extend_from_slice(name);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_round_of_generations_ago_are_not_those_of_this_batch() {
        let mut names = TopicNames {
            generation: u32::MAX,
            ..TopicNames::default()
        };
        // An unused slot says that its name is at 0 and its generation is 0.
        let mut buf = b"\x01c".to_vec();
        for topic in [b"a", b"b"] {
            assert_eq!(names.find(&buf, topic), None);
            names.add(&mut buf, topic);
        }
        assert_eq!(names.find(&buf, b"c"), None);
        assert_eq!(names.find(&buf, b"a"), Some(1));
        assert_eq!(names.find(&buf, b"b"), Some(2));
    }
}
