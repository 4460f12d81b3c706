//! [`Matching`]: scans the ordered topics, and skips ranges that cannot match.

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

/// How many topics are passed one by one before the scan jumps. To search the tree costs about as
/// much as a few steps.
const STEPS_BEFORE_JUMP: u32 = 4;

/// An iterator over the topics that a pattern matches, in byte order.
/// [`TopicMap::matching`](crate::TopicMap::matching) returns it.
pub struct Matching<'m, 'p, V> {
    values: &'m Map<Topic, V>,
    order: &'m BTreeSet<Topic>,
    /// The text before the first wildcard. All matching topics start with it.
    names: &'p str,
    /// The rest of the pattern, from its first wildcard.
    rest: &'p str,
    /// The only topic of a pattern without a wildcard.
    exact: Option<(&'m Topic, &'m V)>,
    /// The remaining topics; `None` once there are no more.
    ahead: Option<Range<'m, Topic>>,
    /// No topic below this matches.
    target: String,
    /// How many topics have been visited.
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

    /// Returns whether a topic that starts with `names` matches.
    ///
    /// If it does not, `target` becomes empty, or a text above the topic that is not above the next
    /// match.
    fn decide(&mut self, topic: &str) -> bool {
        self.target.clear();
        if self.names.is_empty() && topic.starts_with('$') {
            // The byte after `$`.
            self.target.push('%');
            return false;
        }
        let (mut pattern, mut start) = (self.rest, self.names.len());
        // Each iteration consumes a `*`, one segment of the topic, and the names up to the next
        // `*`.
        while pattern != "*" {
            let Some(dot) = topic[start..].find('.') else {
                // It is too short, but later topics may be longer.
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
                    // It is above everything in this branch that can match. `/`, the byte after the
                    // dot, leaves the branch.
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

/// Returns the topics at or above `target`, in order.
fn from<'m>(order: &'m BTreeSet<Topic>, target: &str) -> Range<'m, Topic> {
    order.range::<str, _>((Bound::Included(target), Bound::Unbounded))
}
