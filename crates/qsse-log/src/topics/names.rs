//! [`Names`]: finds the number of a topic by its name.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashTable;

/// The number of names in a shard, on average. To move this many takes microseconds.
const SHARD: usize = 1_024;

/// The numbers of topics, by the hash of their names.
///
/// A hash map that doubles would move a million entries in one step. This one consists of small
/// tables. Whenever they hold too many names on average, the next one in line is split in two
/// (linear hashing), so no insert moves more than one shard.
pub(super) struct Names {
    shards: Vec<HashTable<Name>>,
    hasher: RandomState,
    len: usize,
}

/// A name, by its hash.
#[derive(Clone, Copy)]
struct Name {
    hash: u32,
    id: u32,
}

impl Name {
    /// Returns the hash for the table of a shard. The low bits of `hash` select the shard.
    fn spread(&self) -> u64 {
        spread(self.hash)
    }
}

fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Names {
    /// Returns the number under the hash of `name` that `is` accepts.
    #[inline]
    pub(super) fn find(&self, name: &str, is: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.hash(name);
        let shard = &self.shards[shard(hash, self.shards.len())];
        let found = shard.find(spread(hash), |own| own.hash == hash && is(own.id));
        found.map(|own| own.id)
    }

    /// Adds a name that is not there.
    pub(super) fn insert(&mut self, name: &str, id: u32) {
        let hash = self.hash(name);
        self.len += 1;
        if self.len > self.shards.len() * SHARD {
            self.split();
        }
        let at = shard(hash, self.shards.len());
        self.shards[at].insert_unique(spread(hash), Name { hash, id }, Name::spread);
    }

    pub(super) fn remove(&mut self, name: &str, id: u32) {
        let hash = self.hash(name);
        let at = shard(hash, self.shards.len());
        let shard = &mut self.shards[at];
        if let Ok(entry) = shard.find_entry(spread(hash), |own| own.id == id) {
            entry.remove();
            self.len -= 1;
        }
        if shard.len() < shard.capacity() / 4 {
            shard.shrink_to(shard.len() * 2, Name::spread);
        }
    }

    /// Splits the shard that is next in line.
    fn split(&mut self) {
        let new = self.shards.len();
        let source = new - (1 << new.ilog2());
        let leaves = |name: &mut Name| shard(name.hash, new + 1) == new;
        let moved: Vec<Name> = self.shards[source].extract_if(leaves).collect();
        let mut table = HashTable::with_capacity(moved.len());
        for name in moved {
            table.insert_unique(name.spread(), name, Name::spread);
        }
        self.shards.push(table);
    }

    fn hash(&self, name: &str) -> u32 {
        self.hasher.hash_one(name) as u32
    }
}

/// Returns the shard of a hash among `count` shards.
#[inline]
fn shard(hash: u32, count: usize) -> usize {
    let all = count.next_power_of_two();
    let at = hash as usize & (all - 1);
    // The upper half has not been split off completely.
    if at < count { at } else { at - all / 2 }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            shards: vec![HashTable::new()],
            hasher: RandomState::new(),
            len: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_moves_more_than_a_shard() {
        let mut names = Names::default();
        let count = 200_000;
        let name = |n: u32| format!("t.{n}");
        for n in 0..count {
            names.insert(&name(n), n);
            let largest = names.shards.iter().map(HashTable::len).max();
            // The shards that wait for their turn are twice as large as those that were split.
            assert!(
                n % 10_000 > 0 || largest.unwrap() < 4 * SHARD,
                "{largest:?}"
            );
        }
        assert_eq!(names.shards.len(), 200_000_usize.div_ceil(SHARD));
        for n in 0..count {
            assert_eq!(names.find(&name(n), |id| id == n), Some(n));
        }
        assert_eq!(names.find("t.0", |_| false), None);
        assert_eq!(names.find("other", |_| true), None);
        for n in 0..count {
            names.remove(&name(n), n);
            names.remove(&name(n), n);
        }
        assert_eq!(names.len, 0);
        let left: usize = names.shards.iter().map(HashTable::capacity).sum();
        assert_eq!(left, 0, "memory is given back");
    }
}
