//! The wildcard patterns of a matcher, as a tree of segments.
//!
//! A pattern is the path of its segments from the root. It ends at a node (`here`), or with a final
//! `*` (`tail` of the node before). Nodes without entries and children are removed at once. No path
//! is longer than [`MAX_SEGMENTS`](crate::MAX_SEGMENTS), so recursion is safe.

use super::children::Children;
use crate::pattern::{Pattern, PatternRef};
use crate::syntax::{Step, steps};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A pattern and its value. It is boxed in nodes, because most nodes have none.
#[derive(Clone)]
pub(super) struct Entry<V> {
    pub(super) pattern: Pattern,
    pub(super) value: V,
}

#[derive(Clone)]
pub(super) struct Node<V> {
    /// The pattern that ends with this node's segment.
    pub(super) here: Option<Box<Entry<V>>>,
    /// The pattern that continues with a final `*`.
    pub(super) tail: Option<Box<Entry<V>>>,
    /// The patterns that continue with a `*` for one segment.
    pub(super) any: Option<Box<Node<V>>>,
    /// The patterns that continue with a name.
    pub(super) children: Children<Node<V>>,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Node<V> {
    pub(super) const fn new() -> Self {
        Self {
            here: None,
            tail: None,
            any: None,
            children: Children::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.here.is_none() && self.tail.is_none() && self.any.is_none() && self.children.is_empty()
    }

    pub(super) fn get(&self, pattern: PatternRef<'_>) -> Option<&V> {
        let mut node = self;
        for step in steps(pattern.as_str()) {
            node = match step {
                Step::Literal(name) => node.children.get(name)?,
                Step::Any => node.any.as_deref()?,
                Step::Tail => return node.tail.as_deref().map(|entry| &entry.value),
            };
        }
        node.here.as_deref().map(|entry| &entry.value)
    }

    pub(super) fn get_mut(&mut self, pattern: PatternRef<'_>) -> Option<&mut V> {
        let mut node = self;
        for step in steps(pattern.as_str()) {
            node = match step {
                Step::Literal(name) => node.children.get_mut(name)?,
                Step::Any => node.any.as_deref_mut()?,
                Step::Tail => return node.tail.as_deref_mut().map(|entry| &mut entry.value),
            };
        }
        node.here.as_deref_mut().map(|entry| &mut entry.value)
    }

    /// Inserts a pattern. Returns the value that was there.
    pub(super) fn insert(&mut self, pattern: Pattern, value: V) -> Option<V> {
        let mut node = self;
        let mut tail = false;
        for step in steps(pattern.as_str()) {
            match step {
                Step::Literal(name) => node = node.children.get_or_insert(name),
                Step::Any => node = node.any.get_or_insert_with(|| Box::new(Node::new())),
                Step::Tail => tail = true,
            }
        }
        let slot = if tail { &mut node.tail } else { &mut node.here };
        match slot {
            Some(entry) => Some(core::mem::replace(&mut entry.value, value)),
            None => {
                *slot = Some(Box::new(Entry { pattern, value }));
                None
            }
        }
    }

    /// Removes a pattern, and the nodes that led only to it.
    pub(super) fn remove<'p>(&mut self, mut steps: impl Iterator<Item = Step<'p>>) -> Option<V> {
        self.remove_along(&mut steps).map(|entry| entry.value)
    }

    // Takes the iterator by reference, so that the recursion needs only one instance of this
    // function.
    fn remove_along<'p>(
        &mut self,
        steps: &mut dyn Iterator<Item = Step<'p>>,
    ) -> Option<Box<Entry<V>>> {
        match steps.next() {
            None => self.here.take(),
            Some(Step::Tail) => self.tail.take(),
            Some(Step::Any) => {
                let child = self.any.as_deref_mut()?;
                let entry = child.remove_along(steps)?;
                if child.is_empty() {
                    self.any = None;
                }
                Some(entry)
            }
            Some(Step::Literal(name)) => {
                let child = self.children.get_mut(name)?;
                let entry = child.remove_along(steps)?;
                if child.is_empty() {
                    self.children.remove(name);
                }
                Some(entry)
            }
        }
    }
}

/// An iterator over all entries below a node, in no particular order.
pub(super) struct Entries<'m, V> {
    /// The nodes that have not been visited.
    nodes: Vec<&'m Node<V>>,
    /// The second entry of the last node.
    second: Option<&'m Entry<V>>,
}

impl<'m, V> Entries<'m, V> {
    pub(super) fn new(root: &'m Node<V>) -> Self {
        let mut nodes = Vec::new();
        if !root.is_empty() {
            nodes.push(root);
        }
        Self {
            nodes,
            second: None,
        }
    }
}

impl<V> Clone for Entries<'_, V> {
    fn clone(&self) -> Self {
        Self {
            nodes: self.nodes.clone(),
            second: self.second,
        }
    }
}

impl<'m, V> Iterator for Entries<'m, V> {
    type Item = &'m Entry<V>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.second.take() {
            return Some(entry);
        }
        while let Some(node) = self.nodes.pop() {
            self.nodes.extend(node.any.as_deref());
            self.nodes.extend(node.children.iter());
            self.second = node.tail.as_deref();
            if let Some(entry) = node.here.as_deref().or_else(|| self.second.take()) {
                return Some(entry);
            }
        }
        None
    }
}
