//! [`Children`]: the named children of a node, in a list while they are few, else in a map.

use super::name::Name;
use crate::map::{Map, shrink};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The longest list. To compare a few short names is faster than to hash one.
const FEW: usize = 8;

#[derive(Clone)]
pub(super) enum Children<N> {
    /// At most [`FEW`], unordered.
    Few(Vec<(Name, N)>),
    /// Rare.
    #[expect(
        clippy::box_collection,
        reason = "unboxed it would make every node larger"
    )]
    Many(Box<Map<Name, N>>),
}

impl<N> Children<N> {
    pub(super) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many(map) => map.is_empty(),
        }
    }

    #[inline]
    pub(super) fn get(&self, name: &str) -> Option<&N> {
        match self {
            Self::Few(list) => list
                .iter()
                .find(|(key, _)| key.is(name))
                .map(|(_, node)| node),
            Self::Many(map) => map.get(name.as_bytes()),
        }
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut N> {
        match self {
            Self::Few(list) => list
                .iter_mut()
                .find(|(key, _)| key.is(name))
                .map(|(_, node)| node),
            Self::Many(map) => map.get_mut(name.as_bytes()),
        }
    }

    pub(super) fn get_or_insert(&mut self, name: &str) -> &mut N
    where
        N: Default,
    {
        if let Self::Few(list) = self
            && list.len() == FEW
            && list.iter().all(|(key, _)| !key.is(name))
        {
            let map = core::mem::take(list).into_iter().collect();
            *self = Self::Many(Box::new(map));
        }
        match self {
            Self::Few(list) => {
                let at = list.iter().position(|(key, _)| key.is(name));
                let at = at.unwrap_or_else(|| {
                    // Grows by one: most nodes have one child, and spare room would be most of the
                    // memory.
                    list.reserve_exact(1);
                    list.push((Name::new(name), N::default()));
                    list.len() - 1
                });
                &mut list[at].1
            }
            Self::Many(map) => map.entry(Name::new(name)).or_default(),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        match self {
            Self::Few(list) => {
                if let Some(at) = list.iter().position(|(key, _)| key.is(name)) {
                    list.swap_remove(at);
                    list.shrink_to_fit();
                }
            }
            Self::Many(map) => {
                map.remove(name.as_bytes());
                shrink(map);
                // Well below the limit, so that a child that comes and goes does not convert each
                // time.
                if map.len() <= FEW / 2 {
                    *self = Self::Few(core::mem::take(&mut **map).into_iter().collect());
                }
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &N> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list.iter().map(|(_, node)| node)), None),
            Self::Many(map) => (None, Some(map.values())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }
}
