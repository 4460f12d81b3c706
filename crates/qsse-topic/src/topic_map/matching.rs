//! The reverse query: a scan of the ordered topics that jumps where nothing can match.

use crate::map::Map;
use crate::pattern::PatternRef;
use crate::syntax::split_names;
use crate::topic::Topic;
use alloc::collections::BTreeSet;
use alloc::collections::btree_set::Range;
use alloc::string::String;
use core::fmt;
use core::iter::FusedIterator;
use core::ops::Bound;

/// So many topics are passed one by one before a jump searches the tree: a search costs about as
/// much as a few steps.
const STEPS_BEFORE_JUMP: u32 = 4;

/// The topics that a pattern matches, in byte order; made by
/// [`TopicMap::matching`](crate::TopicMap::matching).
pub struct Matching<'m, 'p, V> {
    values: &'m Map<Topic, V>,
    order: &'m BTreeSet<Topic>,
    /// The text before the first wildcard: all that match start with it.
    names: &'p str,
    /// The rest of the pattern, from its first wildcard.
    rest: &'p str,
    /// The one topic of a pattern without a wildcard.
    exact: Option<(&'m Topic, &'m V)>,
    /// The topics ahead; `None` once there can be no more.
    ahead: Option<Range<'m, Topic>>,
    /// Nothing below this matches.
    target: String,
    /// How many topics have been looked at.
    #[cfg(test)]
    pub(super) visited: usize,
}

impl<'m, 'p, V> Matching<'m, 'p, V> {
    pub(super) fn new(
        values: &'m Map<Topic, V>,
        order: &'m BTreeSet<Topic>,
        pattern: PatternRef<'p>,
    ) -> Self {
        let text = pattern.as_str();
        let (names, rest) = split_names(text);
        Self {
            values,
            order,
            names,
            rest,
            exact: if rest.is_empty() {
                values.get_key_value(text)
            } else {
                None
            },
            ahead: if rest.is_empty() {
                None
            } else {
                Some(from(order, names))
            },
            target: String::new(),
            #[cfg(test)]
            visited: 0,
        }
    }

    /// Whether a topic that starts with `names` matches.
    ///
    /// If not, `target` becomes a text that is above it, or empty, and never above the next topic
    /// that matches.
    fn decide(&mut self, topic: &str) -> bool {
        self.target.clear();
        if self.names.is_empty() && topic.starts_with('$') {
            // The byte after the `$`.
            self.target.push('%');
            return false;
        }
        let (mut pattern, mut start) = (self.rest, self.names.len());
        // Each turn takes a `*`, one segment of the topic, and the names up to the next `*`.
        while pattern != "*" {
            let Some(dot) = topic[start..].find('.') else {
                // Too short, but what follows may be longer.
                return false;
            };
            let branch = start + dot;
            start = branch + 1;
            let (names, rest) = split_names(&pattern["*.".len()..]);
            if rest.is_empty() && topic[start..] == *names {
                return true;
            }
            if rest.is_empty() || !topic[start..].starts_with(names) {
                self.target.push_str(&topic[..start]);
                self.target.push_str(names);
                if *topic > *self.target {
                    // Behind all that the branch can have: leave it, by the byte after the dot.
                    self.target.truncate(branch);
                    self.target.push('/');
                }
                return false;
            }
            pattern = rest;
            start += names.len();
        }
        true
    }
}

impl<'m, V> Iterator for Matching<'m, '_, V> {
    type Item = (&'m Topic, &'m V);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(exact) = self.exact.take() {
            return Some(exact);
        }
        let mut passed = 0;
        loop {
            let topic = self.ahead.as_mut()?.next();
            #[cfg(test)]
            {
                self.visited += usize::from(topic.is_some());
            }
            let Some(topic) = topic.filter(|topic| topic.as_str().starts_with(self.names)) else {
                self.ahead = None;
                return None;
            };
            if topic.as_str() < self.target.as_str() {
                passed += 1;
                if passed == STEPS_BEFORE_JUMP {
                    self.ahead = Some(from(self.order, &self.target));
                    passed = 0;
                }
                continue;
            }
            if self.decide(topic.as_str()) {
                let value = self.values.get(topic.as_str());
                return Some((topic, value.expect("every topic in order has its value")));
            }
            passed = 0;
        }
    }
}

impl<V> FusedIterator for Matching<'_, '_, V> {}

impl<V> Clone for Matching<'_, '_, V> {
    fn clone(&self) -> Self {
        Self {
            ahead: self.ahead.clone(),
            target: self.target.clone(),
            ..*self
        }
    }
}

impl<V: fmt::Debug> fmt::Debug for Matching<'_, '_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

/// The topics at or above `target`, in order.
fn from<'m>(order: &'m BTreeSet<Topic>, target: &str) -> Range<'m, Topic> {
    order.range::<str, _>((Bound::Included(target), Bound::Unbounded))
}
