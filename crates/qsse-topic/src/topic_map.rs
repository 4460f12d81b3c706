//! [`TopicMap`]: the reverse of a matcher, which finds the topics that a pattern matches.

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

/// A map from topics to values that finds all topics that match a pattern.
///
/// One hash lookup finds the value of a topic. The topics are also stored in order, so a pattern
/// reads only the ranges that can match. `TopicMap<()>` is a set of topics.
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
    /// The keys of `values`, in byte order. The texts are shared.
    order: BTreeSet<Topic>,
}

impl<V> TopicMap<V> {
    /// Creates an empty map. It allocates nothing before the first insert.
    pub fn new() -> Self {
        Self {
            values: Map::new(),
            order: BTreeSet::new(),
        }
    }

    /// Returns the number of topics.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Inserts a value under a topic. Returns the value that was there.
    pub fn insert(&mut self, topic: Topic, value: V) -> Option<V> {
        if let Some(old) = self.values.get_mut(topic.as_str()) {
            return Some(core::mem::replace(old, value));
        }
        self.order.insert(topic.clone());
        self.values.insert(topic, value)
    }

    /// Removes a topic. Returns its value.
    pub fn remove<'t>(&mut self, topic: impl Into<TopicRef<'t>>) -> Option<V> {
        let topic = topic.into().as_str();
        let value = self.values.remove(topic)?;
        self.order.remove(topic);
        shrink(&mut self.values);
        Some(value)
    }

    /// Removes all topics.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Returns the value of a topic.
    pub fn get<'t>(&self, topic: impl Into<TopicRef<'t>>) -> Option<&V> {
        self.values.get(topic.into().as_str())
    }

    /// Returns the value of a topic, mutably.
    pub fn get_mut<'t>(&mut self, topic: impl Into<TopicRef<'t>>) -> Option<&mut V> {
        self.values.get_mut(topic.into().as_str())
    }

    /// Returns whether it contains the topic.
    pub fn contains_key<'t>(&self, topic: impl Into<TopicRef<'t>>) -> bool {
        self.get(topic).is_some()
    }

    /// Returns all topics that `pattern` matches, with their values, in byte order of the topics.
    ///
    /// A pattern without a wildcard takes one lookup. Any other reads the topics that start with
    /// the names before its first wildcard, and skips ranges that a later name rules out.
    pub fn matching<'p>(&self, pattern: impl Into<PatternRef<'p>>) -> Matching<'_, 'p, V> {
        Matching::new(&self.values, &self.order, pattern.into())
    }

    /// Returns all topics with their values, in no particular order.
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

/// An iterator over the entries of a topic map. [`TopicMap::iter`] returns it.
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
