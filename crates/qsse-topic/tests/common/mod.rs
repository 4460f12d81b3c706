//! The definition of a match, written for reading and not for speed.

#![allow(dead_code, reason = "each test program uses a part of it")]

use qsse_topic::{Pattern, Topic};

pub(crate) fn topic(text: &str) -> Topic {
    Topic::new(text).expect("a valid topic")
}

pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a valid pattern")
}

/// Whether `topic` matches `pattern`, by the words of the documentation.
pub(crate) fn matches(pattern: &Pattern, topic: &Topic) -> bool {
    let pattern: Vec<&str> = pattern.as_str().split('.').collect();
    let topic: Vec<&str> = topic.as_str().split('.').collect();
    if pattern[0] == "*" && topic[0].starts_with('$') {
        return false;
    }
    segments_match(&pattern, &topic)
}

fn segments_match(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        ([], []) => true,
        ([], _) | (_, []) => false,
        (["*"], _) => true,
        (["*", pattern @ ..], [_, topic @ ..]) => segments_match(pattern, topic),
        ([name, pattern @ ..], [segment, topic @ ..]) => {
            name == segment && segments_match(pattern, topic)
        }
    }
}

/// All texts of up to `depth` segments out of `segments`.
pub(crate) fn texts(segments: &[&str], depth: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut last = vec![String::new()];
    for _ in 0..depth {
        last = last
            .iter()
            .flat_map(|head| {
                let dot = if head.is_empty() { "" } else { "." };
                segments
                    .iter()
                    .map(move |segment| format!("{head}{dot}{segment}"))
            })
            .collect();
        all.extend_from_slice(&last);
    }
    all
}
