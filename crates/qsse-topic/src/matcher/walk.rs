//! The walk through the wildcard patterns that contain a topic or another pattern.

use super::trie::{Entry, Node};
use crate::pattern::PatternRef;
use crate::syntax::MAX_SEGMENTS;

/// Goes down the tree with the question's segments, depth first.
///
/// A node has at most two ways on, the name and the `*`. The walk takes the first and notes the
/// second in the row of its depth, so that one fixed row is all the memory it ever needs.
pub(super) struct Walk<'m, 'q, V> {
    question: Question<'q>,
    /// The node to look at next, and its depth.
    next: Option<&'m Node<V>>,
    depth: usize,
    /// By depth less one: a node that waits to be looked at. The root never waits.
    waiting: [Option<&'m Node<V>>; MAX_SEGMENTS],
    /// How many nodes have been looked at.
    #[cfg(test)]
    pub(super) visited: usize,
}

impl<'m, 'q, V> Walk<'m, 'q, V> {
    /// A walk that begins at `root`, unless nothing is there.
    #[inline]
    pub(super) fn new(root: &'m Node<V>, pattern: PatternRef<'q>) -> Option<Self> {
        (!root.is_empty()).then(|| Self {
            question: Question::new(pattern.as_str()),
            next: Some(root),
            depth: 0,
            waiting: [None; MAX_SEGMENTS],
            #[cfg(test)]
            visited: 0,
        })
    }

    /// The next node, deepest first.
    #[inline]
    fn take_node(&mut self) -> Option<&'m Node<V>> {
        if let Some(node) = self.next.take() {
            return Some(node);
        }
        while self.depth > 0 {
            if let Some(node) = self.waiting[self.depth - 1].take() {
                return Some(node);
            }
            self.depth -= 1;
        }
        None
    }
}

impl<'m, V> Iterator for Walk<'m, '_, V> {
    type Item = &'m Entry<V>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while let Some(node) = self.take_node() {
            #[cfg(test)]
            {
                self.visited += 1;
            }
            let Some(segment) = self.question.segment(self.depth) else {
                if let Some(entry) = node.here.as_deref() {
                    return Some(entry);
                }
                continue;
            };
            let hidden = self.depth == 0 && self.question.text.starts_with('$');
            // A `*` of the question finds no name. Its final `*` is followed as any other, to a
            // node that is the end of no pattern.
            let any = if hidden { None } else { node.any.as_deref() };
            let named = node.children.get(segment);
            if let Some(node) = named.or(any) {
                self.waiting[self.depth] = named.and(any);
                self.depth += 1;
                self.next = Some(node);
            }
            if let Some(entry) = node.tail.as_deref()
                && !hidden
            {
                return Some(entry);
            }
        }
        None
    }
}

impl<V> Clone for Walk<'_, '_, V> {
    fn clone(&self) -> Self {
        Self {
            question: self.question.clone(),
            ..*self
        }
    }
}

/// A topic or pattern, split once.
#[derive(Clone)]
struct Question<'q> {
    text: &'q str,
    /// Where each segment ends.
    ends: [u8; MAX_SEGMENTS],
    count: u8,
}

impl<'q> Question<'q> {
    fn new(text: &'q str) -> Self {
        let mut ends = [0; MAX_SEGMENTS];
        let mut count = 0;
        // Eight bytes at a time: byte by byte this was a sixth of a lookup.
        let (words, rest) = text.as_bytes().as_chunks();
        for (index, word) in words.iter().enumerate() {
            let mut dots = dots(*word);
            while dots != 0 {
                ends[count] = (index * 8) as u8 + (dots.trailing_zeros() / 8) as u8;
                count += 1;
                dots &= dots - 1;
            }
        }
        for (at, byte) in rest.iter().enumerate() {
            if *byte == b'.' {
                ends[count] = (words.len() * 8 + at) as u8;
                count += 1;
            }
        }
        ends[count] = text.len() as u8;
        count += 1;
        Self {
            text,
            ends,
            count: count as u8,
        }
    }

    #[inline]
    fn segment(&self, index: usize) -> Option<&'q str> {
        if index >= usize::from(self.count) {
            return None;
        }
        let start = match index {
            0 => 0,
            _ => usize::from(self.ends[index - 1]) + 1,
        };
        Some(&self.text[start..usize::from(self.ends[index])])
    }
}

/// The highest bit of each byte that is a dot; the first byte is the lowest.
#[inline]
fn dots(word: [u8; 8]) -> u64 {
    const DOTS: u64 = u64::from_le_bytes([b'.'; 8]);
    const LOW: u64 = u64::from_le_bytes([0x7f; 8]);
    let difference = u64::from_le_bytes(word) ^ DOTS;
    // Adding carries into a byte's highest bit unless its low bits are zero, and no further.
    let low_bits_differ = (difference & LOW) + LOW;
    !(low_bits_differ | difference | LOW)
}
