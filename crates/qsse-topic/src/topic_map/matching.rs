//! [`Matching`]: scans the ordered topics, and skips ranges that cannot match.

use crate::map::Map;
use crate::pattern::PatternRef;
use crate::sieve::{Sieve, Verdict};
use crate::topic::Topic;
use alloc::collections::BTreeSet;
use alloc::collections::btree_set::Range;
use core::fmt;
use core::iter::FusedIterator;
use core::ops::Bound;

/// An iterator over the topics that a pattern matches, in byte order.
/// [`TopicMap::matching`](crate::TopicMap::matching) returns it.
pub struct Matching<'m, 'p, V> {
    values: &'m Map<Topic, V>,
    order: &'m BTreeSet<Topic>,
    /// `None` if the pattern has no wildcard.
    sieve: Option<Sieve<'p>>,
    /// The only topic of a pattern without a wildcard.
    exact: Option<(&'m Topic, &'m V)>,
    /// The remaining topics; `None` once there are no more.
    ahead: Option<Range<'m, Topic>>,
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
        let sieve = Sieve::new(text);
        Self {
            values,
            order,
            exact: match sieve {
                Some(_) => None,
                None => values.get_key_value(text),
            },
            ahead: sieve.as_ref().map(|sieve| from(order, sieve.names())),
            sieve,
            #[cfg(test)]
            visited: 0,
        }
    }
}

impl<'m, V> Iterator for Matching<'m, '_, V> {
    type Item = (&'m Topic, &'m V);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(exact) = self.exact.take() {
            return Some(exact);
        }
        let sieve = self.sieve.as_mut()?;
        loop {
            let Some(topic) = self.ahead.as_mut()?.next() else {
                self.ahead = None;
                return None;
            };
            #[cfg(test)]
            {
                self.visited += 1;
            }
            match sieve.judge(topic.as_str()) {
                Verdict::Match => {
                    let value = self.values.get(topic.as_str());
                    return Some((topic, value.expect("every topic in order has its value")));
                }
                Verdict::Pass => {}
                Verdict::Jump => self.ahead = Some(from(self.order, sieve.target())),
                Verdict::End => self.ahead = None,
            }
        }
    }
}

impl<V> FusedIterator for Matching<'_, '_, V> {}

impl<V> Clone for Matching<'_, '_, V> {
    fn clone(&self) -> Self {
        Self {
            ahead: self.ahead.clone(),
            sieve: self.sieve.clone(),
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
