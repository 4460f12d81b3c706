//! What cannot be seen from outside: how much of the tree a lookup looks at, and what is left of
//! it after removals.

use super::children::Children;
use super::*;
use crate::limits::MAX_SEGMENTS;
use crate::topic::Topic;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

/// Returns how many entries a lookup finds, and how many nodes it looks at.
fn work<V>(matcher: &Matcher<V>, topic: &Topic) -> (usize, usize) {
    let mut matches = matcher.matches(topic);
    let found = matches.by_ref().count();
    (found, matches.visited())
}

fn nodes<V>(node: &Node<V>) -> usize {
    1 + node.any.as_deref().map_or(0, nodes) + node.children.iter().map(nodes).sum::<usize>()
}

/// Returns the pattern of 16 segments whose bits say which are `*`, the others being `a`; then
/// `last`.
fn mask(bits: usize, last: &str) -> String {
    let mut segments: Vec<&str> = (0..MAX_SEGMENTS)
        .map(|at| if bits >> at & 1 == 1 { "*" } else { "a" })
        .collect();
    if !last.is_empty() {
        segments[MAX_SEGMENTS - 1] = last;
    }
    segments.join(".")
}

/// Returns an iterator that needs no drop owns no memory, and this one is made without any.
#[test]
fn a_lookup_owns_nothing() {
    assert!(!core::mem::needs_drop::<Matches<'_, '_, String>>());
    assert!(size_of::<Matches<'_, '_, String>>() <= 256);
}

#[test]
fn an_exact_topic_touches_no_wildcard() {
    let mut matcher: Matcher<usize> = (0..1000)
        .map(|n| (pattern(&format!("ride.{n}.start")), n))
        .collect();
    assert_eq!(work(&matcher, &topic("ride.7.start")), (1, 0));

    // With patterns about other things there, the root is looked at and nothing below it.
    matcher.extend((0..1000).map(|n| (pattern(&format!("order.{n}.*")), n)));
    assert_eq!(work(&matcher, &topic("ride.7.start")), (1, 1));
    assert_eq!(matcher.get(&topic("ride.7.start")), Some(&7));
}

#[test]
fn a_lookup_looks_only_where_the_topic_leads() {
    let mut matcher = Matcher::new();
    for n in 0..1000 {
        matcher.insert(pattern(&format!("ride.{n}.*")), n);
        matcher.insert(pattern(&format!("*.{n}.stop")), n);
    }
    // The root, `ride`, `ride.7`; `*`, `*.7`, `*.7.stop`.
    assert_eq!(work(&matcher, &topic("ride.7.stop")), (2, 6));
    assert_eq!(work(&matcher, &topic("ride.x.stop")), (0, 3));
    assert_eq!(work(&matcher, &topic("order.7.start")), (0, 3));
    // Far more is there.
    assert!(nodes(&matcher.root) > 3000);
}

#[test]
fn the_deepest_patterns_are_found() {
    let wild = ["*"; MAX_SEGMENTS];
    let name = ["a"; MAX_SEGMENTS];
    let mut matcher: Matcher<usize> = (1..=MAX_SEGMENTS)
        .map(|depth| (pattern(&wild[..depth].join(".")), depth))
        .collect();
    for depth in 1..=MAX_SEGMENTS {
        let mut found: Vec<usize> = matcher
            .matches(&topic(&name[..depth].join(".")))
            .map(|(_, depth)| *depth)
            .collect();
        found.sort_unstable();
        assert!(found.into_iter().eq(1..=depth));
    }
    // One node for each depth but the last, whose `*` is the tail of the node before.
    assert_eq!(work(&matcher, &topic(&name.join("."))), (16, 16));

    let deepest = format!("{}.b", wild[1..].join("."));
    matcher.insert(pattern(&deepest), 0);
    assert_eq!(
        work(&matcher, &topic(&format!("{}.b", name[1..].join(".")))),
        (17, 17)
    );
    assert_eq!(matcher.remove(&pattern(&deepest)), Some(0));
    assert_eq!(matcher.len(), 16);
}

/// Every mixture of `a` and `*`, 65,536 of them, asked for a million topics: the work follows what
/// a topic agrees with, and no topic costs more than the tree has nodes.
#[test]
fn a_flood_of_wildcards_is_walked_once() {
    let mut matcher: Matcher<usize> = (0..1 << MAX_SEGMENTS)
        .map(|bits| (pattern(&mask(bits, "")), bits))
        .collect();
    assert_eq!(matcher.len(), 1 << MAX_SEGMENTS);
    let all = nodes(&matcher.root);
    assert!(all < 2 << MAX_SEGMENTS);

    // All match: no node without need.
    let worst = topic(&mask(0, ""));
    let (found, visited) = work(&matcher, &worst);
    assert_eq!(found, 1 << MAX_SEGMENTS);
    assert!(visited <= all);

    // Strangers agree with the wildcards only: one node for each depth.
    for n in 0..1_000_000 {
        let stranger = match n % 4 {
            0 => topic(&format!("x{n}.b")),
            1 => topic(&format!("ride.{n}.b.c.d.e.f.g.h.i.j.k.l.m.n.o")),
            2 => topic(&format!("b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.{n}")),
            _ => topic(&format!("{n}")),
        };
        let (found, visited) = work(&matcher, &stranger);
        assert!(visited <= MAX_SEGMENTS + 1, "{visited} for {stranger}");
        assert!(found <= 1);
    }

    // And nothing is left of them.
    for bits in 0..1 << MAX_SEGMENTS {
        assert_eq!(matcher.remove(&pattern(&mask(bits, ""))), Some(bits));
    }
    assert_eq!(nodes(&matcher.root), 1);
    assert!(matcher.is_empty() && matcher.root.is_empty());
}

/// With the few wildcards that a server allows, even patterns made for it cost little.
#[test]
fn limited_wildcards_limit_the_work() {
    let matcher: Matcher<usize> = (0..1 << (MAX_SEGMENTS - 1))
        .filter(|bits: &usize| bits.count_ones() <= 4)
        .map(|bits| (pattern(&mask(bits, "*")), bits))
        .collect();
    let (_, visited) = work(&matcher, &topic(&mask(0, "b")));
    // The paths of up to 15 segments with at most 4 wildcards: 16 over 1, and so on to 16 over 5.
    assert_eq!(visited, 16 + 120 + 560 + 1820 + 4368);
}

#[test]
fn removal_cuts_back_to_what_is_left() {
    let mut matcher = Matcher::new();
    matcher.insert(pattern("a.*.c"), 1);
    let before = nodes(&matcher.root);
    for text in ["a.*", "a.*.c.d.*.f.*", "a.*.c.*.e", "b.*", "*.a", "a.*.d"] {
        matcher.insert(pattern(text), 2);
        assert_eq!(matcher.remove(&pattern(text)), Some(2), "{text}");
        assert_eq!(matcher.remove(&pattern(text)), None, "{text}");
        assert_eq!(nodes(&matcher.root), before, "{text}");
    }
    // Asking for what is not there leaves nothing either.
    assert_eq!(matcher.remove(&pattern("a.*.c.*")), None);
    assert_eq!(matcher.get_mut(&pattern("x.*.y")), None);
    assert_eq!((matcher.len(), nodes(&matcher.root)), (1, before));
}

#[test]
fn a_crowd_of_children_comes_and_goes() {
    let mut matcher = Matcher::new();
    for round in 0..3 {
        for n in 0..100 {
            assert_eq!(matcher.insert(pattern(&format!("{n}.*")), n), None);
            assert_eq!(matcher.insert(pattern(&format!("{n}")), n), None);
        }
        for n in 0..100 {
            assert_eq!(
                work(&matcher, &topic(&format!("{n}.x"))),
                (1, 2),
                "round {round}"
            );
        }
        for n in 0..100 {
            assert_eq!(matcher.remove(&pattern(&format!("{n}.*"))), Some(n));
            assert_eq!(matcher.remove(&pattern(&format!("{n}"))), Some(n));
            for left in n + 1..100 {
                assert_eq!(matcher.get(&pattern(&format!("{left}.*"))), Some(&left));
            }
        }
        assert!(matcher.root.is_empty());
        assert_eq!(nodes(&matcher.root), 1);
        #[cfg(feature = "std")]
        assert_eq!(matcher.exact.capacity(), 0);
    }
}

/// Names that lie in the list of children, names that do not, and the lengths where that changes;
/// beside few others and beside many.
#[test]
fn names_of_any_length_are_told_apart() {
    for crowd in [0, 100] {
        let mut matcher: Matcher<usize> = (0..crowd)
            .map(|n| (pattern(&format!("{n}.*")), n))
            .collect();
        let lengths = [1, 2, 21, 22, 23, 24, 252, 253];
        let names = lengths.map(|length| "x".repeat(length));
        for (name, length) in names.iter().zip(lengths) {
            assert_eq!(matcher.insert(pattern(&format!("{name}.*")), length), None);
            let other = format!("{}y", &name[1..]);
            assert!(!matcher.contains_key(&pattern(&format!("{other}.*"))));
            assert_eq!(work(&matcher, &topic(&format!("{other}.z"))), (0, 1));
        }
        for (name, length) in names.iter().zip(lengths) {
            let found = topic(&format!("{name}.z"));
            assert_eq!(matcher.matches(&found).next().unwrap().1, &length);
            assert_eq!(work(&matcher, &found), (1, 2));
        }
        for (name, length) in names.iter().zip(lengths) {
            let gone = pattern(&format!("{name}.*"));
            assert_eq!(matcher.remove(&gone), Some(length));
            assert_eq!(matcher.remove(&gone), None);
        }
        assert_eq!(matcher.len(), crowd);
    }
}

#[test]
fn a_node_that_was_crowded_gives_its_memory_back() {
    let mut matcher: Matcher<usize> = (0..1000).map(|n| (pattern(&format!("{n}.*")), n)).collect();
    for n in 20..1000 {
        matcher.remove(&pattern(&format!("{n}.*")));
    }
    let Children::Many(map) = &matcher.root.children else {
        panic!("twenty are many");
    };
    assert_eq!(map.len(), 20);
    #[cfg(feature = "std")]
    assert!(map.capacity() <= 100, "{}", map.capacity());

    for n in 1..20 {
        matcher.remove(&pattern(&format!("{n}.*")));
    }
    let Children::Few(list) = &matcher.root.children else {
        panic!("one is few");
    };
    assert_eq!((list.len(), list.capacity()), (1, 1));
    assert_eq!(work(&matcher, &topic("0.x")), (1, 2));
}

#[test]
fn few_children_are_a_list_and_many_a_map() {
    let is_list = |children: &Children<()>| matches!(children, Children::Few(_));
    let names: Vec<String> = (0..9).map(|n| format!("child{n}")).collect();
    let mut children = Children::new();
    for name in &names[..8] {
        children.get_or_insert(name);
        assert!(is_list(&children));
    }
    children.get_or_insert(&names[0]);
    assert!(is_list(&children), "it is one of them");
    children.get_or_insert(&names[8]);
    assert!(!is_list(&children));
    for name in &names[5..] {
        assert!(!is_list(&children));
        children.remove(name);
        children.remove(name);
    }
    assert_eq!(children.iter().count(), 5);
    children.remove(&names[4]);
    assert!(is_list(&children));
    assert!(names[..4].iter().all(|name| children.get(name).is_some()));
}

#[test]
fn names_are_ordered_by_their_bytes() {
    use super::name::Name;
    let long = "b".repeat(40);
    for (less, more) in [("a", "b"), ("a", "aa"), ("a", &long), ("B", "a")] {
        assert!(Name::new(less) < Name::new(more), "{less} {more}");
    }
}

#[test]
fn an_iterator_knows_how_many_entries_are_left() {
    let texts = ["a", "b.c", "a.*", "*"];
    let matcher: Matcher<()> = texts.map(|text| (pattern(text), ())).into_iter().collect();
    let mut entries = matcher.iter();
    for left in (0..4).rev() {
        assert!(entries.next().is_some());
        assert_eq!(
            (entries.len(), entries.size_hint()),
            (left, (left, Some(left)))
        );
    }
    assert!(entries.next().is_none());
}
