//! [`Walk`]: visits the wildcard patterns that contain a topic or another pattern.

use super::trie::{Entry, Node};
use crate::limits::MAX_SEGMENTS;
use crate::pattern::PatternRef;

/// Walks down the tree along the query's segments, depth first.
///
/// A node has at most two matching children: the name and the `*`. The walk takes the first, and
/// records the second at its depth. So one array of fixed size is all the memory it needs.
pub(super) struct Walk<'m, 'q, V> {
    question: Question<'q>,
    /// The next node to visit, and its depth.
    next: Option<&'m Node<V>>,
    depth: usize,
    /// The nodes that wait to be visited, by depth minus one. The root never waits.
    waiting: [Option<&'m Node<V>>; MAX_SEGMENTS],
    /// How many nodes have been visited.
    pub(super) visited: u32,
}

impl<'m, 'q, V> Walk<'m, 'q, V> {
    /// Creates a walk that begins at `root`; `None` if the tree is empty.
    #[inline]
    pub(super) fn new(root: &'m Node<V>, pattern: PatternRef<'q>) -> Option<Self> {
        (!root.is_empty()).then(|| Self {
            question: Question::new(pattern.as_str()),
            next: Some(root),
            depth: 0,
            waiting: [None; MAX_SEGMENTS],
            visited: 0,
        })
    }

    /// Takes the next node, deepest first.
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
            self.visited += 1;
            let Some(segment) = self.question.segment(self.depth) else {
                if let Some(entry) = node.here.as_deref() {
                    return Some(entry);
                }
                continue;
            };
            let hidden = self.depth == 0 && self.question.text.starts_with('$');
            // A `*` in the query matches no name. Its final `*` is followed like any other, to a
            // node at which no pattern ends.
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

/// A topic or pattern, split into segments once.
#[derive(Clone)]
struct Question<'q> {
    text: &'q str,
    /// The end of each segment.
    ends: [u8; MAX_SEGMENTS],
    count: u8,
}

impl<'q> Question<'q> {
    fn new(text: &'q str) -> Self {
        let mut ends = [0; MAX_SEGMENTS];
        let mut count = 0;
        // It processes eight bytes at a time: byte by byte this took a sixth of a lookup.
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

/// Returns a word in which the highest bit of each byte is set if the byte is a dot.
#[inline]
fn dots(word: [u8; 8]) -> u64 {
    const DOTS: u64 = u64::from_le_bytes([b'.'; 8]);
    const LOW: u64 = u64::from_le_bytes([0x7f; 8]);
    let difference = u64::from_le_bytes(word) ^ DOTS;
    // The addition carries into a byte's highest bit unless its low bits are zero. It does not
    // carry further.
    let low_bits_differ = (difference & LOW) + LOW;
    !(low_bits_differ | difference | LOW)
}
