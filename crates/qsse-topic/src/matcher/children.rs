//! The named children of a node: a short list while they are few, a map when they are many.

use super::name::Name;
use super::trie::Node;
use crate::map::{Map, shrink};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Up to here a list is searched: comparing a few short names is quicker than hashing one.
const FEW: usize = 8;

#[derive(Clone)]
pub(super) enum Children<V> {
    /// At most [`FEW`], in no order.
    Few(Vec<(Name, Node<V>)>),
    /// The rare case.
    #[expect(
        clippy::box_collection,
        reason = "unboxed it would make every node larger"
    )]
    Many(Box<Map<Name, Node<V>>>),
}

impl<V> Children<V> {
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
    pub(super) fn get(&self, name: &str) -> Option<&Node<V>> {
        match self {
            Self::Few(list) => list
                .iter()
                .find(|(key, _)| key.is(name))
                .map(|(_, node)| node),
            Self::Many(map) => map.get(name.as_bytes()),
        }
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Node<V>> {
        match self {
            Self::Few(list) => list
                .iter_mut()
                .find(|(key, _)| key.is(name))
                .map(|(_, node)| node),
            Self::Many(map) => map.get_mut(name.as_bytes()),
        }
    }

    pub(super) fn get_or_insert(&mut self, name: &str) -> &mut Node<V> {
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
                    // One at a time: most nodes have one child, and spare room would be most of
                    // them.
                    list.reserve_exact(1);
                    list.push((Name::new(name), Node::new()));
                    list.len() - 1
                });
                &mut list[at].1
            }
            Self::Many(map) => map.entry(Name::new(name)).or_insert_with(Node::new),
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
                // Well below the limit, so that one child coming and going does not convert.
                if map.len() <= FEW / 2 {
                    *self = Self::Few(core::mem::take(&mut **map).into_iter().collect());
                }
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node<V>> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list.iter().map(|(_, node)| node)), None),
            Self::Many(map) => (None, Some(map.values())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }
}
