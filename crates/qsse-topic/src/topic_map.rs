//! The reverse of a matcher: which of many topics a pattern matches.

mod matching;
#[cfg(test)]
mod tests;

use crate::map::{Map, MapIter, shrink};
use crate::pattern::PatternRef;
use crate::topic::{Topic, TopicRef};
use alloc::collections::BTreeSet;
use core::fmt;
use core::iter::FusedIterator;
pub use matching::Matching;

/// A map from topics to values that finds all topics matching a pattern.
///
/// A topic's value is found by one hash lookup. Beside that the topics are kept in order, so that
/// a pattern reads only the stretches that can match. As a set of topics it is `TopicMap<()>`.
///
/// ```
/// use qsse_topic::{Pattern, Topic, TopicMap};
///
/// let mut last = TopicMap::new();
/// last.insert(Topic::new("ride.7.start")?, 1);
/// last.insert(Topic::new("ride.7.stop")?, 2);
/// last.insert(Topic::new("ride.8.start")?, 3);
///
/// let starts = Pattern::new("ride.*.start")?;
/// let found: Vec<_> = last.matching(&starts).map(|(topic, _)| topic.as_str()).collect();
/// assert_eq!(found, ["ride.7.start", "ride.8.start"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TopicMap<V> {
    values: Map<Topic, V>,
    /// The keys of `values`, in byte order; the texts are shared.
    order: BTreeSet<Topic>,
}

impl<V> TopicMap<V> {
    /// An empty map; it allocates nothing before the first insert.
    pub fn new() -> Self {
        Self {
            values: Map::new(),
            order: BTreeSet::new(),
        }
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Puts a value under a topic, and returns the one that was there.
    pub fn insert(&mut self, topic: Topic, value: V) -> Option<V> {
        if let Some(old) = self.values.get_mut(topic.as_str()) {
            return Some(core::mem::replace(old, value));
        }
        self.order.insert(topic.clone());
        self.values.insert(topic, value)
    }

    /// Takes a topic out, and returns its value.
    pub fn remove<'t>(&mut self, topic: impl Into<TopicRef<'t>>) -> Option<V> {
        let topic = topic.into().as_str();
        let value = self.values.remove(topic)?;
        self.order.remove(topic);
        shrink(&mut self.values);
        Some(value)
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// The value under a topic.
    pub fn get<'t>(&self, topic: impl Into<TopicRef<'t>>) -> Option<&V> {
        self.values.get(topic.into().as_str())
    }

    /// The value under a topic, to be changed.
    pub fn get_mut<'t>(&mut self, topic: impl Into<TopicRef<'t>>) -> Option<&mut V> {
        self.values.get_mut(topic.into().as_str())
    }

    /// Whether the topic is there.
    pub fn contains_key<'t>(&self, topic: impl Into<TopicRef<'t>>) -> bool {
        self.get(topic).is_some()
    }

    /// All topics that `pattern` matches, with their values, in byte order of the topics.
    ///
    /// A pattern without a wildcard is one lookup. Any other looks at the topics that share the
    /// names before its first wildcard, and jumps over stretches in which a later name rules all
    /// topics out.
    pub fn matching<'p>(&self, pattern: impl Into<PatternRef<'p>>) -> Matching<'_, 'p, V> {
        Matching::new(&self.values, &self.order, pattern.into())
    }

    /// All topics with their values, in no particular order.
    pub fn iter(&self) -> TopicIter<'_, V> {
        TopicIter(self.values.iter())
    }
}

impl<V> Default for TopicMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: fmt::Debug> fmt::Debug for TopicMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<V> Extend<(Topic, V)> for TopicMap<V> {
    fn extend<I: IntoIterator<Item = (Topic, V)>>(&mut self, entries: I) {
        for (topic, value) in entries {
            self.insert(topic, value);
        }
    }
}

impl<V> FromIterator<(Topic, V)> for TopicMap<V> {
    fn from_iter<I: IntoIterator<Item = (Topic, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<'m, V> IntoIterator for &'m TopicMap<V> {
    type Item = (&'m Topic, &'m V);
    type IntoIter = TopicIter<'m, V>;

    fn into_iter(self) -> TopicIter<'m, V> {
        self.iter()
    }
}

/// The entries of a topic map; made by [`TopicMap::iter`].
pub struct TopicIter<'m, V>(MapIter<'m, Topic, V>);

impl<'m, V> Iterator for TopicIter<'m, V> {
    type Item = (&'m Topic, &'m V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<V> ExactSizeIterator for TopicIter<'_, V> {}
impl<V> FusedIterator for TopicIter<'_, V> {}

impl<V> Clone for TopicIter<'_, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V: fmt::Debug> fmt::Debug for TopicIter<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}
