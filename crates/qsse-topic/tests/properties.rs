//! Random patterns, topics and operations against models that are too simple to be wrong.

mod common;

use common::{matches, pattern, topic};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use qsse_topic::{
    ErrorKind, Filter, MAX_SEGMENTS, MAX_TOPIC_BYTES, Matcher, Pattern, PatternRef, Topic,
    TopicMap, TopicRef,
};
use std::collections::{BTreeMap, BTreeSet};

/// Few enough to meet often. Some sort just before or after the dot, some hold a name as prefix.
const NAMES: [&str; 10] = ["a", "b", "aa", "a-", "a-b", "a/", "$", "$a", "é", "-"];

fn topics() -> impl Strategy<Value = Topic> {
    prop_oneof![9 => vec(select(&NAMES[..]), 1..5), 1 => vec(select(&NAMES[..]), 14..=16)]
        .prop_map(|segments| topic(&segments.join(".")))
}

fn patterns() -> impl Strategy<Value = Pattern> {
    let segment = || prop_oneof![3 => select(&NAMES[..]), 2 => Just("*")];
    prop_oneof![9 => vec(segment(), 1..5), 1 => vec(segment(), 14..=16)]
        .prop_map(|segments| pattern(&segments.join(".")))
}

/// The check of a text, character by character.
fn fault(text: &str, wildcards: bool) -> Option<(ErrorKind, usize)> {
    let mut faults = Vec::new();
    let mut too_long = None;
    if text.is_empty() {
        return Some((ErrorKind::Empty, 0));
    }
    if text.len() > MAX_TOPIC_BYTES {
        too_long = (0..=MAX_TOPIC_BYTES).rfind(|&at| text.is_char_boundary(at));
        faults.push((MAX_TOPIC_BYTES, 1, ErrorKind::TooLong));
    }
    let mut start = 0;
    for (index, segment) in text.split('.').enumerate() {
        if index == MAX_SEGMENTS {
            faults.push((start, 0, ErrorKind::TooManySegments));
        }
        if segment.is_empty() {
            faults.push((start, 2, ErrorKind::EmptySegment));
        }
        for (at, char) in segment.char_indices() {
            if char.is_control() {
                faults.push((start + at, 2, ErrorKind::ControlCharacter));
            }
            if char == '*' && !(wildcards && segment == "*") {
                faults.push((start + at, 2, ErrorKind::Wildcard));
            }
        }
        start += segment.len() + 1;
    }
    let (at, _, kind) = faults.into_iter().min_by_key(|&(at, rank, _)| (at, rank))?;
    match kind {
        ErrorKind::TooLong => too_long.map(|at| (kind, at)),
        _ => Some((kind, at)),
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(usize, u32),
    Remove(usize),
    Change(usize, u32),
    Clear,
}

/// Operations on a few keys, so that they meet; clearing is rare.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = || 0_usize..24;
    let op = prop_oneof![
        20 => (key(), any::<u32>()).prop_map(|(key, value)| Op::Insert(key, value)),
        16 => key().prop_map(Op::Remove),
        4 => (key(), any::<u32>()).prop_map(|(key, value)| Op::Change(key, value)),
        1 => Just(Op::Clear),
    ];
    vec(op, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_check_agrees_with_the_rules(
        text in prop_oneof![
            "[ab.*]{0,12}",
            "([a*é\u{85}\n$.]|\\PC){0,40}",
            "(a\\.){14,17}[a.]?",
            "[a-zé\u{85}]{120,130}\\.[a-zé日]{60,130}",
            any::<String>(),
        ],
    ) {
        let found = TopicRef::new(&text).err().map(|e| (e.kind(), e.offset()));
        prop_assert_eq!(found, fault(&text, false));
        let found = PatternRef::new(&text).err().map(|e| (e.kind(), e.offset()));
        prop_assert_eq!(found, fault(&text, true));
        prop_assert_eq!(Topic::new(&text).is_ok(), fault(&text, false).is_none());
        prop_assert_eq!(Pattern::new(&text).is_ok(), fault(&text, true).is_none());
    }

    #[test]
    fn segments_come_from_both_ends(topic in topics(), from_back in vec(any::<bool>(), 18)) {
        let mut expected: std::collections::VecDeque<&str> = topic.as_str().split('.').collect();
        let mut segments = topic.segments();
        for back in from_back {
            let (hint, bound) = segments.size_hint();
            prop_assert!(hint <= expected.len() && expected.len() <= bound.unwrap());
            if back {
                prop_assert_eq!(segments.next_back(), expected.pop_back());
            } else {
                prop_assert_eq!(segments.next(), expected.pop_front());
            }
        }
    }

    #[test]
    fn a_pattern_matches_as_defined(pattern in patterns(), topic in topics()) {
        prop_assert_eq!(pattern.matches(&topic), matches(&pattern, &topic));
        prop_assert_eq!(pattern.contains(&topic), matches(&pattern, &topic));
        prop_assert_eq!(pattern.intersects(&topic), matches(&pattern, &topic));
        prop_assert_eq!(pattern.as_topic().is_some(), pattern.wildcards() == 0);
    }

    /// What holds for any sets, and here for patterns of full depth as well.
    #[test]
    fn relations_are_those_of_sets(
        a in patterns(),
        b in patterns(),
        c in patterns(),
        t in topics(),
    ) {
        prop_assert!(a.contains(&a) && a.intersects(&a));
        prop_assert_eq!(a.intersects(&b), b.intersects(&a));
        prop_assert_eq!(a.contains(&b) && b.contains(&a), a == b);
        if a.contains(&b) {
            prop_assert!(a.intersects(&b));
            prop_assert!(!b.matches(&t) || a.matches(&t));
            prop_assert!(!b.contains(&c) || a.contains(&c));
            prop_assert!(!b.intersects(&c) || a.intersects(&c));
        }
        if a.matches(&t) && b.matches(&t) {
            prop_assert!(a.intersects(&b));
        }
    }

    #[test]
    fn a_matcher_agrees_with_asking_each(
        patterns in vec(patterns(), 0..60),
        topics in vec(topics(), 1..20),
    ) {
        let patterns: BTreeSet<Pattern> = patterns.into_iter().collect();
        let matcher: Matcher<usize> = patterns.iter().cloned().zip(0..).collect();
        for topic in &topics {
            let mut found: Vec<_> = matcher.matches(topic).map(|(pattern, _)| pattern).collect();
            found.sort();
            let expected: Vec<_> = patterns.iter().filter(|p| matches(p, topic)).collect();
            prop_assert_eq!(found, expected);
        }
        for pattern in &patterns {
            let mut found: Vec<_> = matcher.containing(pattern).map(|(outer, _)| outer).collect();
            found.sort();
            let expected: Vec<_> = patterns.iter().filter(|p| p.contains(pattern)).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_reverse_query_agrees_with_asking_each(
        topics in vec(topics(), 0..200),
        patterns in vec(patterns(), 1..20),
    ) {
        let topics: BTreeSet<Topic> = topics.into_iter().collect();
        let map: TopicMap<()> = topics.iter().map(|topic| (topic.clone(), ())).collect();
        for pattern in &patterns {
            let found: Vec<_> = map.matching(pattern).map(|(topic, ())| topic).collect();
            let expected: Vec<_> = topics.iter().filter(|t| matches(pattern, t)).collect();
            prop_assert_eq!(found, expected, "{}", pattern);
        }
    }

    #[test]
    fn a_filter_admits_what_its_patterns_admit(
        patterns in vec(patterns(), 1..20),
        topics in vec(topics(), 1..20),
    ) {
        let filter = Filter::new(patterns.clone()).unwrap();
        for topic in &topics {
            prop_assert_eq!(filter.matches(topic), patterns.iter().any(|p| matches(p, topic)));
        }
        for kept in &filter {
            prop_assert!(patterns.contains(kept));
            let others = filter.patterns().iter().filter(|other| *other != kept);
            prop_assert!(!others.into_iter().any(|other| other.contains(kept)));
        }
        for given in &patterns {
            prop_assert!(filter.contains(given));
        }
        let mut shuffled = patterns;
        shuffled.reverse();
        prop_assert_eq!(Filter::new(shuffled).unwrap(), filter);
    }

    #[test]
    fn a_matcher_is_a_map(keys in vec(patterns(), 24), ops in ops(), topic in topics()) {
        let mut matcher = Matcher::new();
        let mut model = BTreeMap::new();
        for op in ops {
            match op {
                Op::Insert(key, value) => {
                    let key = &keys[key];
                    prop_assert_eq!(matcher.insert(key.clone(), value), model.insert(key, value));
                }
                Op::Remove(key) => {
                    let key = &keys[key];
                    prop_assert_eq!(matcher.remove(key), model.remove(key));
                }
                Op::Change(key, value) => {
                    let key = &keys[key];
                    if let Some(place) = matcher.get_mut(key) {
                        *place = value;
                    }
                    model.entry(key).and_modify(|place| *place = value);
                }
                Op::Clear => {
                    matcher.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(matcher.len(), model.len());
            prop_assert_eq!(matcher.is_empty(), model.is_empty());
        }
        for key in &keys {
            prop_assert_eq!(matcher.get(key), model.get(key));
            prop_assert_eq!(matcher.contains_key(key), model.contains_key(key));
        }
        prop_assert_eq!(matcher.iter().len(), model.len());
        let entries: BTreeMap<_, _> = matcher.iter().map(|(key, value)| (key, *value)).collect();
        prop_assert_eq!(&entries, &model);
        let found: BTreeMap<_, _> = matcher.matches(&topic).map(|(k, v)| (k, *v)).collect();
        model.retain(|key, _| matches(key, &topic));
        prop_assert_eq!(found, model);
    }

    #[test]
    fn a_topic_map_is_a_map(keys in vec(topics(), 24), ops in ops(), pattern in patterns()) {
        let mut map = TopicMap::new();
        let mut model = BTreeMap::new();
        for op in ops {
            match op {
                Op::Insert(key, value) => {
                    let key = &keys[key];
                    prop_assert_eq!(map.insert(key.clone(), value), model.insert(key, value));
                }
                Op::Remove(key) => {
                    let key = &keys[key];
                    prop_assert_eq!(map.remove(key), model.remove(key));
                }
                Op::Change(key, value) => {
                    let key = &keys[key];
                    if let Some(place) = map.get_mut(key) {
                        *place = value;
                    }
                    model.entry(key).and_modify(|place| *place = value);
                }
                Op::Clear => {
                    map.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(map.len(), model.len());
            prop_assert_eq!(map.is_empty(), model.is_empty());
        }
        for key in &keys {
            prop_assert_eq!(map.get(key), model.get(key));
            prop_assert_eq!(map.contains_key(key), model.contains_key(key));
        }
        prop_assert_eq!(map.iter().len(), model.len());
        let entries: BTreeMap<_, _> = map.iter().map(|(key, value)| (key, *value)).collect();
        prop_assert_eq!(&entries, &model);
        let found: Vec<_> = map.matching(&pattern).map(|(k, v)| (k, *v)).collect();
        model.retain(|key, _| matches(&pattern, key));
        prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
    }
}
