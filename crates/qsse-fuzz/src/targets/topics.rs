//! Topics, patterns and what matches them.

use std::collections::BTreeSet;

use qsse_topic::{Filter, Matcher, Pattern, Topic, TopicMap};

use crate::oracle;

/// Reads a topic in each line and a pattern in each line, and compares all ways to match them with
/// the definition.
pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (mut topics, mut patterns) = (BTreeSet::new(), BTreeSet::new());
    for line in text.split('\n').take(32) {
        if let Ok(topic) = Topic::new(line) {
            assert_eq!(topic.as_str(), line);
            topics.insert(topic);
        }
        if let Ok(pattern) = Pattern::new(line) {
            assert_eq!(pattern.as_str(), line);
            patterns.insert(pattern);
        }
    }
    let mut matcher = Matcher::new();
    let mut map = TopicMap::new();
    for pattern in &patterns {
        matcher.insert(pattern.clone(), pattern.as_str().to_owned());
    }
    for topic in &topics {
        map.insert(topic.clone(), topic.as_str().to_owned());
    }
    let filter = Filter::new(patterns.iter().cloned()).ok();
    for topic in &topics {
        let expected: BTreeSet<_> = patterns
            .iter()
            .map(Pattern::as_str)
            .filter(|pattern| oracle::matches(pattern, topic.as_str()))
            .collect();
        let found: BTreeSet<_> = matcher.matches(topic).map(|(_, name)| &**name).collect();
        assert_eq!(found, expected, "of {topic}");
        if let Some(filter) = &filter {
            assert_eq!(filter.matches(topic), !expected.is_empty(), "{topic}");
        }
    }
    for pattern in &patterns {
        let expected = topics.iter().map(Topic::as_str);
        let expected: BTreeSet<_> = expected
            .filter(|topic| oracle::matches(pattern.as_str(), topic))
            .collect();
        let found: BTreeSet<_> = map.matching(pattern).map(|(_, name)| &**name).collect();
        assert_eq!(found, expected, "of {pattern}");
        for other in &patterns {
            let both = topics
                .iter()
                .any(|topic| pattern.matches(topic) && other.matches(topic));
            assert!(!both || pattern.intersects(other), "{pattern} and {other}");
            let only = topics
                .iter()
                .any(|topic| other.matches(topic) && !pattern.matches(topic));
            assert!(!only || !pattern.contains(other), "{pattern} and {other}");
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "ride.7.start\nride.*.start\nride.*\n*\nride.7\npeople",
        "$SYS.a\n*\n$SYS.*\n*.a\n$sys\na",
        "a.b.c\na.*.c\n*.b.*\n*.*.*\na.b\na.*\n*.c\na",
        "a..b\n.a\na.\n\n*\n**\na*.b\na.*b",
        "é.ü\né.*\n*.ü\nA\na\n\u{202e}x",
        "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a\n*.a.*.a.*.a.*.a.*.a.*.a.*.a.*.a\n*.*.*.*.*.*.*.*.*",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}
