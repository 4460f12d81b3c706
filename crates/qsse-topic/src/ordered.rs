//! [`OrderedTopics`]: topics in order, searched for a pattern in parts.

use crate::pattern::PatternRef;
use crate::sieve::{Sieve, Verdict};
use crate::topic::{Topic, TopicRef};
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Range;
use core::fmt;
use core::ops::{Bound, ControlFlow};

/// A map from topics to values, in byte order, that finds the topics of a pattern in parts.
///
/// Unlike [`TopicMap`](crate::TopicMap), no operation takes long even with millions of topics: it
/// grows and shrinks by small steps, and a search can be bounded and continued later. Finding one
/// topic takes a few comparisons more than a hash lookup.
///
/// ```
/// use core::ops::ControlFlow;
/// use qsse_topic::{OrderedTopics, Pattern, Topic};
///
/// let mut topics = OrderedTopics::new();
/// for name in ["ride.7.start", "ride.7.stop", "ride.8.start"] {
///     topics.insert(Topic::new(name)?, name.len());
/// }
/// let starts = Pattern::new("ride.*.start")?;
/// let mut found = Vec::new();
/// let mut after = None;
/// loop {
///     let mut visits = 2;
///     after = topics.visit(&starts, after.as_ref(), &mut visits, |topic, _| {
///         found.push(topic.to_string());
///         ControlFlow::Continue(())
///     });
///     if after.is_none() {
///         break;
///     }
/// }
/// assert_eq!(found, ["ride.7.start", "ride.8.start"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OrderedTopics<V> {
    entries: BTreeMap<Topic, V>,
}

impl<V> OrderedTopics<V> {
    /// Creates an empty map. It allocates nothing before the first insert.
    pub const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
        }
    }

    /// Returns the number of topics.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Inserts a value under a topic. Returns the value that was there.
    pub fn insert(&mut self, topic: Topic, value: V) -> Option<V> {
        self.entries.insert(topic, value)
    }

    /// Removes a topic. Returns its value.
    pub fn remove<'t>(&mut self, topic: impl Into<TopicRef<'t>>) -> Option<V> {
        self.entries.remove(topic.into().as_str())
    }

    /// Returns the value of a topic.
    pub fn get<'t>(&self, topic: impl Into<TopicRef<'t>>) -> Option<&V> {
        self.entries.get(topic.into().as_str())
    }

    /// Returns the value of a topic, mutably.
    pub fn get_mut<'t>(&mut self, topic: impl Into<TopicRef<'t>>) -> Option<&mut V> {
        self.entries.get_mut(topic.into().as_str())
    }

    /// Returns all topics with their values, in byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&Topic, &V)> {
        self.entries.iter()
    }

    /// Calls `found` with the topics that match `pattern`, in byte order, beginning with the first
    /// one after `after`, until it breaks.
    ///
    /// Each topic that is looked at takes one of `visits`, whether it matches or not. Returns the
    /// last topic that was looked at if they were used up: pass it as `after` to continue. Topics
    /// that came or went meanwhile do not disturb that. Returns `None` once there are no more, or
    /// `found` broke.
    pub fn visit<'p>(
        &self,
        pattern: impl Into<PatternRef<'p>>,
        after: Option<&Topic>,
        visits: &mut usize,
        mut found: impl FnMut(&Topic, &V) -> ControlFlow<()>,
    ) -> Option<Topic> {
        let pattern = pattern.into();
        let Some(mut sieve) = Sieve::new(pattern.as_str()) else {
            *visits = visits.saturating_sub(1);
            if after.is_none()
                && let Some((topic, value)) = self.entries.get_key_value(pattern.as_str())
            {
                let _ = found(topic, value);
            }
            return None;
        };
        let mut ahead = match after {
            Some(after) => self.range(Bound::Excluded(after.as_str())),
            None => self.range(Bound::Included(sieve.names())),
        };
        while let Some((topic, value)) = ahead.next() {
            *visits = visits.saturating_sub(1);
            match sieve.judge(topic.as_str()) {
                Verdict::Match => {
                    if found(topic, value).is_break() {
                        return None;
                    }
                }
                Verdict::Pass => {}
                Verdict::Jump => ahead = self.range(Bound::Included(sieve.target())),
                Verdict::End => return None,
            }
            if *visits == 0 {
                return Some(topic.clone());
            }
        }
        None
    }

    fn range(&self, from: Bound<&str>) -> Range<'_, Topic, V> {
        self.entries.range::<str, _>((from, Bound::Unbounded))
    }
}

impl<V> Default for OrderedTopics<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: fmt::Debug> fmt::Debug for OrderedTopics<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Pattern;
    use crate::topic_map::TopicMap;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    /// Returns what a search in parts finds, and the number of its parts.
    fn search(topics: &OrderedTopics<()>, pattern: &str, part: usize) -> (Vec<String>, usize) {
        let pattern = Pattern::new(pattern).unwrap();
        let (mut found, mut after, mut parts) = (Vec::new(), None, 0);
        loop {
            let mut visits = part;
            parts += 1;
            after = topics.visit(&pattern, after.as_ref(), &mut visits, |topic, ()| {
                found.push(topic.to_string());
                ControlFlow::Continue(())
            });
            if after.is_none() {
                return (found, parts);
            }
            assert_eq!(visits, 0);
        }
    }

    #[test]
    fn a_search_in_parts_finds_what_one_without_finds() {
        let names = ["a", "a!", "a-", "a/", "a0", "b", "$s"];
        let two = names
            .iter()
            .flat_map(|x| names.iter().map(move |y| format!("{x}.{y}")));
        let three = two.clone().map(|two| format!("{two}.z"));
        let all = two.chain(three).chain(names.map(String::from));
        let map: TopicMap<()> = all.map(|name| (Topic::new(name).unwrap(), ())).collect();
        let mut topics = OrderedTopics::new();
        for (topic, ()) in &map {
            topics.insert(topic.clone(), ());
        }
        for pattern in [
            "*", "a", "a.b", "x", "*.a", "a.*", "*.*.z", "a.*.z", "*.a.*", "$s.*",
        ] {
            let parsed = Pattern::new(pattern).unwrap();
            let matching = map.matching(&parsed).map(|(topic, ())| topic.to_string());
            let matching: Vec<_> = matching.collect();
            for part in [1, 2, 3, 7, 1_000] {
                let (found, _) = search(&topics, pattern, part);
                assert_eq!(found, matching, "{pattern} in parts of {part}");
            }
        }
    }

    #[test]
    fn no_part_looks_at_more_topics_than_it_may() {
        let mut topics = OrderedTopics::new();
        for n in 0..1_000 {
            topics.insert(Topic::new(format!("t.{n}")).unwrap(), ());
        }
        let (found, parts) = search(&topics, "*.*.none", 100);
        assert_eq!((found.len(), parts), (0, 11));
        let (found, parts) = search(&topics, "t.*", 100);
        assert_eq!((found.len(), parts), (1_000, 11));
        assert_eq!(search(&topics, "u.*", 100), (Vec::new(), 1));
        let mut visits = 100;
        let all = Pattern::new("*").unwrap();
        let end = topics.visit(&all, None, &mut visits, |_, ()| ControlFlow::Break(()));
        assert_eq!((end, visits), (None, 99), "it breaks at the first one");
    }

    #[test]
    fn a_search_goes_on_where_topics_come_and_go() {
        let mut topics = OrderedTopics::new();
        for name in ["a", "c", "e"] {
            topics.insert(Topic::new(name).unwrap(), ());
        }
        let all = Pattern::new("*").unwrap();
        let mut found = Vec::new();
        let mut visit = |topics: &OrderedTopics<()>, after: Option<&Topic>| {
            topics.visit(&all, after, &mut 2, |topic, ()| {
                found.push(topic.to_string());
                ControlFlow::Continue(())
            })
        };
        let after = visit(&topics, None);
        topics.remove(TopicRef::new("c").unwrap());
        topics.insert(Topic::new("b").unwrap(), ());
        topics.insert(Topic::new("d").unwrap(), ());
        let after = visit(&topics, after.as_ref());
        assert!(visit(&topics, after.as_ref()).is_none());
        assert_eq!(found, ["a", "c", "d", "e"]);
        assert_eq!((topics.len(), topics.is_empty()), (4, false));
        *topics.get_mut(TopicRef::new("b").unwrap()).unwrap() = ();
        assert!(topics.get(TopicRef::new("b").unwrap()).is_some());
        assert!(topics.iter().is_sorted());
        assert_eq!(topics.iter().count(), 4);
    }
}
