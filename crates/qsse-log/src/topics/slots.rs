//! [`Slots`]: values by number, in chunks of fixed size.

use std::collections::BTreeSet;

/// The number of slots in a chunk.
const CHUNK: usize = 256;

/// Values by number. The lowest free numbers are used first.
///
/// A `Vec` that doubles would copy a million topics in one step, and would never shrink. This grows
/// by a chunk, and frees each chunk that is empty.
pub(super) struct Slots<T> {
    /// `None`: an empty chunk.
    chunks: Vec<Option<Box<Chunk<T>>>>,
    /// The chunks with free slots.
    roomy: BTreeSet<u32>,
    len: usize,
}

struct Chunk<T> {
    slots: Vec<Option<T>>,
    /// The free slots below `slots.len()`.
    free: Vec<u8>,
}

impl<T> Chunk<T> {
    fn new() -> Self {
        Self {
            slots: Vec::with_capacity(CHUNK),
            free: Vec::new(),
        }
    }

    fn insert(&mut self, value: T) -> usize {
        if let Some(slot) = self.free.pop() {
            self.slots[usize::from(slot)] = Some(value);
            return usize::from(slot);
        }
        self.slots.push(Some(value));
        self.slots.len() - 1
    }

    fn remove(&mut self, slot: usize) -> Option<T> {
        let value = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot as u8);
        Some(value)
    }

    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl<T> Slots<T> {
    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns a number above all that are in use.
    pub(super) fn end(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&T> {
        let chunk = self.chunks.get(id as usize / CHUNK)?.as_deref()?;
        chunk.slots.get(id as usize % CHUNK)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let chunk = self.chunks.get_mut(id as usize / CHUNK)?.as_deref_mut()?;
        chunk.slots.get_mut(id as usize % CHUNK)?.as_mut()
    }

    /// Adds a value. Returns its number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let at = match self.roomy.first() {
            Some(at) => *at as usize,
            None => {
                self.chunks.push(None);
                let at = self.chunks.len() - 1;
                self.roomy.insert(at as u32);
                at
            }
        };
        let chunk = self.chunks[at].get_or_insert_with(|| Box::new(Chunk::new()));
        let slot = chunk.insert(value);
        if chunk.len() == CHUNK {
            self.roomy.remove(&(at as u32));
        }
        self.len += 1;
        u32::try_from(at * CHUNK + slot).expect("the number of topics has a limit")
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<T> {
        let at = id as usize / CHUNK;
        let chunk = self.chunks.get_mut(at)?;
        let held = chunk.as_deref_mut()?;
        let value = held.remove(id as usize % CHUNK)?;
        if held.len() == 0 {
            *chunk = None;
        }
        self.roomy.insert(at as u32);
        self.len -= 1;
        Some(value)
    }

    /// Returns the numbers in use among the next `count` from `from` on.
    pub(super) fn within(&self, from: u32, count: u32) -> impl Iterator<Item = (u32, &T)> {
        let to = from.saturating_add(count).min(self.end());
        (from..to).filter_map(|id| Some((id, self.get(id)?)))
    }

    /// Returns the number of chunks that are allocated.
    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks.iter().flatten().count()
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            roomy: BTreeSet::new(),
            len: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_numbers_are_used_first_and_empty_chunks_freed() {
        let mut slots = Slots::default();
        for n in 0..1_000_u32 {
            assert_eq!(slots.insert(n), n);
        }
        assert_eq!(
            (slots.len(), slots.end(), slots.chunks()),
            (1_000, 1_024, 4)
        );
        for n in 256..1_000 {
            assert_eq!(slots.remove(n), Some(n));
            assert_eq!(slots.remove(n), None);
        }
        assert_eq!((slots.len(), slots.chunks()), (256, 1));
        assert_eq!(slots.remove(7), Some(7));
        assert_eq!(slots.insert(70), 7);
        assert_eq!(slots.insert(71), 256);
        assert_eq!((slots.get(7), slots.get(256)), (Some(&70), Some(&71)));
        assert_eq!((slots.get(257), slots.get(9_999)), (None, None));
        let all: Vec<_> = slots.within(255, 1_000).map(|(id, n)| (id, *n)).collect();
        assert_eq!(all, [(255, 255), (256, 71)]);
        *slots.get_mut(255).unwrap() += 1;
        assert_eq!(slots.remove(255), Some(256));
    }
}
