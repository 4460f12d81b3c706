//! [`Owner`]: for whom topics are counted.

use std::collections::HashMap;

use slab::Slab;

/// Who has added a topic, as the caller names it: topics of one owner are counted together.
///
/// The bytes are compared and nothing else, so they can be a hash of a principal's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner([u8; 16]);

impl Owner {
    /// Creates an owner. Equal bytes are the same owner.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// The number of an owner in the table, as long as it has topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnerId(u32);

/// How many topics each owner has.
#[derive(Default)]
pub(super) struct Owners {
    by_owner: HashMap<Owner, OwnerId>,
    counts: Slab<(Owner, usize)>,
}

impl Owners {
    /// Returns how many topics an owner has.
    pub(super) fn count(&self, owner: Owner) -> usize {
        let id = self.by_owner.get(&owner);
        id.map_or(0, |id| self.counts[id.0 as usize].1)
    }

    /// Counts a topic for an owner.
    pub(super) fn add(&mut self, owner: Owner) -> OwnerId {
        let counts = &mut self.counts;
        let id = *self.by_owner.entry(owner).or_insert_with(|| {
            let id = counts.insert((owner, 0));
            OwnerId(u32::try_from(id).expect("the number of topics has a limit"))
        });
        self.counts[id.0 as usize].1 += 1;
        id
    }

    /// Counts one topic less.
    pub(super) fn remove(&mut self, id: OwnerId) {
        let (owner, count) = &mut self.counts[id.0 as usize];
        *count -= 1;
        if *count == 0 {
            self.by_owner.remove(owner);
            self.counts.remove(id.0 as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_counted_for_their_owner_and_nothing_is_left_behind() {
        let [one, other] = [1, 2].map(|byte| Owner::new([byte; 16]));
        let mut owners = Owners::default();
        let first = owners.add(one);
        assert_eq!(owners.add(one), first);
        let third = owners.add(other);
        assert_eq!((owners.count(one), owners.count(other)), (2, 1));
        owners.remove(first);
        owners.remove(third);
        assert_eq!((owners.count(one), owners.count(other)), (1, 0));
        owners.remove(first);
        assert_eq!((owners.by_owner.len(), owners.counts.len()), (0, 0));
    }
}
