//! Every pattern over a small alphabet against every topic over it, with nothing left to chance.
//!
//! The topics have one name that no pattern has, and one segment more than any pattern: what
//! differs at all differs there.

mod common;

use common::{matches, texts};
use qsse_topic::{Filter, Matcher, Pattern, Topic, TopicMap};
use std::collections::BTreeSet;

struct World {
    patterns: Vec<Pattern>,
    topics: Vec<Topic>,
    /// For each pattern, the topics it matches as bits.
    sets: Vec<Vec<u64>>,
}

impl World {
    fn new() -> Self {
        let patterns: Vec<_> = texts(&["a", "b", "$a", "*"], 4)
            .iter()
            .map(|text| common::pattern(text))
            .collect();
        let topics: Vec<_> = texts(&["a", "b", "$a", "z"], 5)
            .iter()
            .map(|text| common::topic(text))
            .collect();
        let sets = patterns
            .iter()
            .map(|pattern| {
                let mut set = vec![0_u64; topics.len().div_ceil(64)];
                for (index, topic) in topics.iter().enumerate() {
                    set[index / 64] |= u64::from(matches(pattern, topic)) << (index % 64);
                }
                set
            })
            .collect();
        Self {
            patterns,
            topics,
            sets,
        }
    }

    fn has(&self, pattern: usize, topic: usize) -> bool {
        self.sets[pattern][topic / 64] >> (topic % 64) & 1 == 1
    }
}

fn covers(outer: &[u64], inner: &[u64]) -> bool {
    outer
        .iter()
        .zip(inner)
        .all(|(outer, inner)| inner & !outer == 0)
}

fn overlap(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).any(|(a, b)| a & b != 0)
}

#[test]
fn matching_contains_and_intersects_are_exact() {
    let world = World::new();
    for (i, a) in world.patterns.iter().enumerate() {
        for (j, topic) in world.topics.iter().enumerate() {
            assert_eq!(a.matches(topic), world.has(i, j), "{a} matches {topic}");
        }
        for (j, b) in world.patterns.iter().enumerate() {
            let (a_set, b_set) = (&world.sets[i], &world.sets[j]);
            assert_eq!(a.contains(b), covers(a_set, b_set), "{a} contains {b}");
            assert_eq!(a.intersects(b), overlap(a_set, b_set), "{a} intersects {b}");
        }
    }
}

#[test]
fn a_matcher_of_all_patterns_agrees_with_asking_each() {
    let world = World::new();
    let matcher: Matcher<usize> = world.patterns.iter().cloned().zip(0..).collect();
    assert_eq!(matcher.len(), world.patterns.len());
    for (j, topic) in world.topics.iter().enumerate() {
        let mut found: Vec<usize> = matcher.matches(topic).map(|(_, value)| *value).collect();
        found.sort_unstable();
        let expected: Vec<usize> = (0..world.patterns.len())
            .filter(|&i| world.has(i, j))
            .collect();
        assert_eq!(found, expected, "{topic}");
    }
    for (i, pattern) in world.patterns.iter().enumerate() {
        let mut found: Vec<usize> = matcher
            .containing(pattern)
            .map(|(_, value)| *value)
            .collect();
        found.sort_unstable();
        let expected: Vec<usize> = (0..world.patterns.len())
            .filter(|&outer| covers(&world.sets[outer], &world.sets[i]))
            .collect();
        assert_eq!(found, expected, "{pattern}");
    }
}

#[test]
fn the_reverse_query_agrees_with_asking_each() {
    let world = World::new();
    let map: TopicMap<usize> = world.topics.iter().cloned().zip(0..).collect();
    for (i, pattern) in world.patterns.iter().enumerate() {
        let found: Vec<&Topic> = map
            .matching(pattern)
            .map(|(topic, value)| {
                assert_eq!(*topic, world.topics[*value]);
                topic
            })
            .collect();
        let expected: BTreeSet<&Topic> = (0..world.topics.len())
            .filter(|&j| world.has(i, j))
            .map(|j| &world.topics[j])
            .collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{pattern}");
    }
}

/// Also says that a filter covers no more together than its patterns do one by one.
#[test]
fn filters_of_two_patterns_are_normal_and_exact() {
    let world = World::new();
    for (i, a) in world.patterns.iter().enumerate() {
        // Each pattern meets each other one in some round, at a step that visits them all.
        for j in (i % 7..world.patterns.len()).step_by(7) {
            let b = &world.patterns[j];
            let filter = Filter::new([a.clone(), b.clone()]).unwrap();
            assert_eq!(
                filter,
                Filter::new([b.clone(), a.clone(), b.clone()]).unwrap()
            );
            let union: Vec<u64> = world.sets[i]
                .iter()
                .zip(&world.sets[j])
                .map(|(a, b)| a | b)
                .collect();
            let single =
                covers(&world.sets[i], &world.sets[j]) || covers(&world.sets[j], &world.sets[i]);
            assert_eq!(
                filter.patterns().len(),
                if single { 1 } else { 2 },
                "{filter}"
            );
            for (k, pattern) in world.patterns.iter().enumerate().step_by(5) {
                let set = &world.sets[k];
                assert_eq!(
                    filter.contains(pattern),
                    covers(&union, set),
                    "{filter} / {pattern}"
                );
                assert_eq!(
                    filter.intersects(pattern),
                    overlap(&union, set),
                    "{filter} {pattern}"
                );
            }
        }
    }
}
