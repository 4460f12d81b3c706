//! The map that the crate uses: hashed with `std`, ordered without.

#[cfg(not(feature = "std"))]
mod imp {
    pub(crate) use alloc::collections::BTreeMap as Map;
    pub(crate) use alloc::collections::btree_map::Iter as MapIter;

    /// Does nothing: an ordered map frees its memory itself.
    pub(crate) fn shrink<K, V>(_map: &mut Map<K, V>) {}
}

#[cfg(feature = "std")]
mod imp {
    use core::hash::Hash;
    pub(crate) use std::collections::HashMap as Map;
    pub(crate) use std::collections::hash_map::Iter as MapIter;

    /// Frees memory once three quarters of it are unused. So removals are cheap on average, and a
    /// map that was once large does not stay large.
    pub(crate) fn shrink<K: Eq + Hash, V>(map: &mut Map<K, V>) {
        if map.is_empty() || map.len() < map.capacity() / 4 {
            map.shrink_to(map.len() * 2);
        }
    }
}

pub(crate) use imp::{Map, MapIter, shrink};

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_less_than_a_quarter_is_used() {
        let empty = || Map::<usize, ()>::with_capacity(1_000);
        let capacity = empty().capacity();
        // The map is filled, not emptied: slots of removed entries may count as used until it
        // grows.
        let keep = |len: usize| {
            let mut map = empty();
            map.extend((0..len).map(|key| (key, ())));
            shrink(&mut map);
            map.capacity()
        };
        assert_eq!(keep(capacity / 2), capacity);
        assert_eq!(keep(capacity / 4), capacity, "a quarter is enough");
        let less = keep(capacity / 4 - 1);
        assert!((capacity / 4..capacity).contains(&less), "{less}");
        assert_eq!(keep(0), 0);
    }
}
