//! [`Matcher`]: finds the patterns that match a topic.

mod children;
mod name;
#[cfg(test)]
mod tests;
mod trie;
mod walk;

use crate::map::{Map, MapIter, shrink};
use crate::pattern::{Pattern, PatternRef};
use crate::syntax::steps;
use crate::topic::TopicRef;
use core::fmt;
use core::iter::FusedIterator;
use trie::{Entries, Node};
use walk::Walk;

/// A map from patterns to values that finds all patterns that match a topic.
///
/// One hash lookup of the whole topic finds the pattern without a wildcard, and such patterns slow
/// nothing else down. The others form a tree of segments, which is walked once. A lookup visits
/// only the nodes on paths that agree with the topic. These are a handful in practice. Patterns
/// made for the purpose can make it at most `2^16`, which takes as many patterns. If you accept
/// patterns from untrusted sources, limit [how many wildcards](Pattern::wildcards) each may have.
///
/// Lookups do not allocate. Removing a pattern frees its memory.
///
/// ```
/// use qsse_topic::{Matcher, Pattern, Topic};
///
/// let mut matcher = Matcher::new();
/// matcher.insert(Pattern::new("ride.*.start")?, "starts");
/// matcher.insert(Pattern::new("ride.7.*")?, "seven");
/// matcher.insert(Pattern::new("ride.7.start")?, "exactly this");
///
/// let topic = Topic::new("ride.7.start")?;
/// let mut found: Vec<_> = matcher.matches(&topic).map(|(_, value)| *value).collect();
/// found.sort();
/// assert_eq!(found, ["exactly this", "seven", "starts"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Matcher<V> {
    /// The patterns without wildcards.
    exact: Map<Pattern, V>,
    /// The patterns with wildcards.
    root: Node<V>,
    /// How many patterns are in the tree.
    wild: usize,
}

impl<V> Matcher<V> {
    /// Creates an empty matcher. It allocates nothing before the first insert.
    pub fn new() -> Self {
        Self {
            exact: Map::new(),
            root: Node::new(),
            wild: 0,
        }
    }

    /// Returns the number of patterns.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wild
    }

    /// Returns whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inserts a value under a pattern. Returns the value that was there.
    pub fn insert(&mut self, pattern: Pattern, value: V) -> Option<V> {
        if pattern.is_exact() {
            return self.exact.insert(pattern, value);
        }
        let old = self.root.insert(pattern, value);
        self.wild += usize::from(old.is_none());
        old
    }

    /// Removes a pattern. Returns its value.
    pub fn remove<'p>(&mut self, pattern: impl Into<PatternRef<'p>>) -> Option<V> {
        let pattern = pattern.into();
        if pattern.is_exact() {
            let value = self.exact.remove(pattern.as_str());
            shrink(&mut self.exact);
            return value;
        }
        let value = self.root.remove(steps(pattern.as_str()))?;
        self.wild -= 1;
        Some(value)
    }

    /// Removes all patterns.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Returns the value of exactly this pattern.
    pub fn get<'p>(&self, pattern: impl Into<PatternRef<'p>>) -> Option<&V> {
        let pattern = pattern.into();
        if pattern.is_exact() {
            self.exact.get(pattern.as_str())
        } else {
            self.root.get(pattern)
        }
    }

    /// Returns the value of exactly this pattern, mutably.
    pub fn get_mut<'p>(&mut self, pattern: impl Into<PatternRef<'p>>) -> Option<&mut V> {
        let pattern = pattern.into();
        if pattern.is_exact() {
            self.exact.get_mut(pattern.as_str())
        } else {
            self.root.get_mut(pattern)
        }
    }

    /// Returns whether it contains exactly this pattern.
    pub fn contains_key<'p>(&self, pattern: impl Into<PatternRef<'p>>) -> bool {
        self.get(pattern).is_some()
    }

    /// Returns all patterns that match `topic`, with their values: each once, in no particular
    /// order.
    ///
    /// Neither the call nor the iterator allocates.
    #[inline]
    pub fn matches<'t>(&self, topic: impl Into<TopicRef<'t>>) -> Matches<'_, 't, V> {
        let topic = topic.into();
        Matches {
            exact: self.exact.get_key_value(topic.as_str()),
            walk: Walk::new(&self.root, topic.into()),
        }
    }

    /// Returns all patterns that [contain](Pattern::contains) `pattern`, including itself: each
    /// once, in no particular order.
    ///
    /// For example, it tells whether one of many granted patterns covers a requested one. Like
    /// [`matches`](Matcher::matches), it does not allocate.
    pub fn containing<'p>(&self, pattern: impl Into<PatternRef<'p>>) -> Matches<'_, 'p, V> {
        let pattern = pattern.into();
        Matches {
            exact: self.exact.get_key_value(pattern.as_str()),
            walk: Walk::new(&self.root, pattern),
        }
    }

    /// Returns all patterns with their values, in no particular order.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter {
            exact: self.exact.iter(),
            wild: Entries::new(&self.root),
            left: self.len(),
        }
    }
}

impl<V> Default for Matcher<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: fmt::Debug> fmt::Debug for Matcher<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<V> Extend<(Pattern, V)> for Matcher<V> {
    fn extend<I: IntoIterator<Item = (Pattern, V)>>(&mut self, entries: I) {
        for (pattern, value) in entries {
            self.insert(pattern, value);
        }
    }
}

impl<V> FromIterator<(Pattern, V)> for Matcher<V> {
    fn from_iter<I: IntoIterator<Item = (Pattern, V)>>(entries: I) -> Self {
        let mut matcher = Self::new();
        matcher.extend(entries);
        matcher
    }
}

impl<'m, V> IntoIterator for &'m Matcher<V> {
    type Item = (&'m Pattern, &'m V);
    type IntoIter = Iter<'m, V>;

    fn into_iter(self) -> Iter<'m, V> {
        self.iter()
    }
}

/// An iterator over the patterns that match a topic. [`Matcher::matches`] and
/// [`Matcher::containing`] return it.
///
/// It borrows the matcher and the topic, and owns nothing.
pub struct Matches<'m, 't, V> {
    /// The pattern without a wildcard, until it is returned.
    exact: Option<(&'m Pattern, &'m V)>,
    /// The walk through the tree; `None` if the tree is empty, so that a name costs only a map
    /// lookup.
    walk: Option<Walk<'m, 't, V>>,
}

impl<V> Matches<'_, '_, V> {
    /// Returns how many nodes of the tree of wildcard patterns it has visited so far. This is what a
    /// lookup costs, apart from the lookup of the whole topic. Programs that serve strangers can
    /// use it to slow down those who make it expensive.
    pub fn visited(&self) -> usize {
        self.walk.as_ref().map_or(0, |walk| walk.visited as usize)
    }
}

impl<'m, V> Iterator for Matches<'m, '_, V> {
    type Item = (&'m Pattern, &'m V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(exact) = self.exact.take() {
            return Some(exact);
        }
        self.walk
            .as_mut()?
            .next()
            .map(|entry| (&entry.pattern, &entry.value))
    }
}

impl<V> FusedIterator for Matches<'_, '_, V> {}

impl<V> Clone for Matches<'_, '_, V> {
    fn clone(&self) -> Self {
        Self {
            exact: self.exact,
            walk: self.walk.clone(),
        }
    }
}

impl<V: fmt::Debug> fmt::Debug for Matches<'_, '_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

/// An iterator over the entries of a matcher. [`Matcher::iter`] returns it.
pub struct Iter<'m, V> {
    exact: MapIter<'m, Pattern, V>,
    wild: Entries<'m, V>,
    left: usize,
}

impl<'m, V> Iterator for Iter<'m, V> {
    type Item = (&'m Pattern, &'m V);

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.exact.next() {
            Some(exact) => exact,
            None => self
                .wild
                .next()
                .map(|entry| (&entry.pattern, &entry.value))?,
        };
        self.left -= 1;
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<V> ExactSizeIterator for Iter<'_, V> {}
impl<V> FusedIterator for Iter<'_, V> {}

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Self {
            exact: self.exact.clone(),
            wild: self.wild.clone(),
            left: self.left,
        }
    }
}

impl<V: fmt::Debug> fmt::Debug for Iter<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}
