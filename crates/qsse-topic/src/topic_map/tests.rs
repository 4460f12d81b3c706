//! How much a reverse query looks at, and what is left after removals.

use super::*;
use crate::pattern::Pattern;
use alloc::format;
use alloc::vec::Vec;

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

/// Returns how many topics a query finds, and how many it looks at.
fn work<V>(map: &TopicMap<V>, pattern: &str) -> (usize, usize) {
    let pattern = Pattern::new(pattern).unwrap();
    let mut matching = map.matching(&pattern);
    let found = matching.by_ref().count();
    (found, matching.visited)
}

/// 100 cities of 100 rides of 100 events: a million topics.
fn million() -> TopicMap<()> {
    (0..1_000_000)
        .map(|n| {
            (
                topic(&format!("c{}.r{}.e{}", n / 10_000, n / 100 % 100, n % 100)),
                (),
            )
        })
        .collect()
}

#[test]
fn a_million_topics_are_not_all_looked_at() {
    let mut map = million();
    assert_eq!(map.len(), 1_000_000);

    // One lookup by hash, none in order.
    assert_eq!(work(&map, "c7.r7.e7"), (1, 0));
    assert_eq!(work(&map, "c7.r7.x"), (0, 0));
    // The names first: one topic behind the last match ends the scan.
    assert_eq!(work(&map, "c7.r7.*"), (100, 101));
    assert_eq!(work(&map, "c7.*"), (10_000, 10_001));
    assert_eq!(work(&map, "x.*"), (0, 0));

    // A name after a wildcard: a few topics for each branch, not all of its 100 or 10,000.
    let (found, visited) = work(&map, "c7.*.e7");
    assert_eq!(found, 100);
    assert!(visited <= 100 * 12, "{visited}");
    let (found, visited) = work(&map, "*.r7.*");
    assert_eq!(found, 10_000);
    assert!(visited <= 10_000 + 100 * 12, "{visited}");
    let (found, visited) = work(&map, "*.x.*");
    assert_eq!(found, 0);
    assert!(visited <= 100 * 12, "{visited}");
    let (found, visited) = work(&map, "*.r7.e7");
    assert_eq!(found, 100);
    assert!(visited <= 100 * 12, "{visited}");

    // Too short and too long.
    assert_eq!(work(&map, "c7.*.*.*").0, 0);
    let (found, visited) = work(&map, "*.r7");
    assert_eq!(found, 0);
    assert!(visited <= 100 * 12, "{visited}");

    // No topic is looked at twice, whatever the pattern.
    assert_eq!(work(&map, "*"), (1_000_000, 1_000_000));
    assert_eq!(work(&map, "*.*.*"), (1_000_000, 1_000_000));
    assert!(work(&map, "*.*.e99").1 <= 1_000_000);

    for n in 0..1_000_000 {
        let gone = topic(&format!("c{}.r{}.e{}", n / 10_000, n / 100 % 100, n % 100));
        assert_eq!(map.remove(&gone), Some(()));
    }
    assert!(map.order.is_empty());
    #[cfg(feature = "std")]
    assert_eq!(map.values.capacity(), 0);
}

/// Names of the server are stepped over at once, and found by their own names.
#[test]
fn reserved_topics_are_jumped_over() {
    let map: TopicMap<usize> = (0..1000)
        .map(|n| (topic(&format!("$sys.{n}")), n))
        .chain([(topic("!first"), 1), (topic("last"), 2)])
        .collect();
    let all = Pattern::new("*").unwrap();
    let found: Vec<_> = map
        .matching(&all)
        .map(|(topic, _)| topic.as_str())
        .collect();
    assert_eq!(found, ["!first", "last"]);
    assert!(work(&map, "*").1 < 10);
    assert_eq!(work(&map, "$sys.*").0, 1000);
}

/// Segments that sort between a name, the name and a dot, and the byte after the dot.
#[test]
fn jumps_pass_over_nothing_that_matches() {
    let names = ["a", "a!", "a-", "a-b", "a/", "a0", "b"];
    let map: TopicMap<()> = names
        .iter()
        .flat_map(|x| names.iter().map(move |y| format!("{x}.{y}")))
        .flat_map(|two| {
            [
                topic(&two),
                topic(&format!("{two}.a")),
                topic(&format!("{two}.z")),
            ]
        })
        .chain(names.iter().map(|name| topic(name)))
        .map(|topic| (topic, ()))
        .collect();
    assert_eq!(map.len(), 7 * 7 * 3 + 7);
    for name in names {
        assert_eq!(work(&map, &format!("*.{name}")).0, 7, "{name}");
        assert_eq!(work(&map, &format!("*.{name}.*")).0, 14, "{name}");
        assert_eq!(work(&map, &format!("*.{name}.z")).0, 7, "{name}");
        assert_eq!(work(&map, &format!("{name}.*.z")).0, 7, "{name}");
    }
    assert_eq!(work(&map, "*.*.z").0, 49);
}

#[test]
fn an_insert_keeps_one_entry() {
    let mut map = TopicMap::new();
    assert_eq!(map.insert(topic("a.b"), 1), None);
    assert_eq!(map.insert(topic("a.b"), 2), Some(1));
    assert_eq!((map.len(), map.order.len()), (1, 1));
    assert_eq!(map.remove(&topic("a")), None);
    assert_eq!(map.remove(&topic("a.b")), Some(2));
    assert_eq!((map.len(), map.order.len()), (0, 0));
    assert_eq!(format!("{map:?}"), "{}");
}

#[test]
fn a_map_and_its_entries_can_be_shown() {
    let map: TopicMap<u8> = [(topic("a.b"), 7)].into_iter().collect();
    assert_eq!(format!("{map:?}"), format!("{:?}", map.iter()));
    let shown = format!("{:?}", map.iter());
    assert!(shown.contains("a.b") && shown.contains('7'), "{shown}");
    let pattern = Pattern::new("a.*").unwrap();
    assert_eq!(format!("{:?}", map.matching(&pattern)), shown);
}

#[test]
fn a_clone_of_a_query_goes_on_from_where_it_is() {
    let texts = ["a.b", "a.c", "a.d", "b"];
    let map: TopicMap<()> = texts.map(|text| (topic(text), ())).into_iter().collect();
    let pattern = Pattern::new("a.*").unwrap();
    let mut matching = map.matching(&pattern);
    matching.next();
    let rest = |matching: Matching<'_, '_, ()>| {
        matching
            .map(|(topic, ())| topic.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(rest(matching.clone()), [topic("a.c"), topic("a.d")]);
    assert_eq!(rest(matching), [topic("a.c"), topic("a.d")]);
}
