//! Names and patterns as text: the rules by example, the errors, and the traits users rely on.

mod common;

use common::{pattern, topic};
use qsse_topic::{
    ErrorKind, Filter, FilterError, IntoFilter, MAX_SEGMENTS, MAX_TOPIC_BYTES, Matcher, Pattern,
    PatternError, PatternRef, Topic, TopicError, TopicRef,
};
use std::collections::{BTreeMap, HashMap};

const RIDES: TopicRef<'static> = match TopicRef::new("ride.7") {
    Ok(topic) => topic,
    Err(_) => panic!("a valid name"),
};

fn topic_fault(text: &str) -> (ErrorKind, usize) {
    let error = Topic::new(text).expect_err(text);
    (error.kind(), error.offset())
}

fn pattern_fault(text: &str) -> (ErrorKind, usize) {
    let error = Pattern::new(text).expect_err(text);
    (error.kind(), error.offset())
}

#[test]
fn errors_say_where() {
    use ErrorKind::*;
    for (text, expected) in [
        ("", (Empty, 0)),
        (".", (EmptySegment, 0)),
        (".a", (EmptySegment, 0)),
        ("a.", (EmptySegment, 2)),
        ("a..b", (EmptySegment, 2)),
        ("é..b", (EmptySegment, 3)),
        ("a\nb", (ControlCharacter, 1)),
        ("a.\u{0}", (ControlCharacter, 2)),
        ("\u{7f}", (ControlCharacter, 0)),
        ("é\u{85}", (ControlCharacter, 2)),
        ("\u{9f}", (ControlCharacter, 0)),
        ("a.b*.c", (Wildcard, 3)),
        ("a.*b", (Wildcard, 2)),
        ("a.**", (Wildcard, 2)),
        ("a..*b\n", (EmptySegment, 2)),
    ] {
        assert_eq!(topic_fault(text), expected, "{text:?}");
        assert_eq!(pattern_fault(text), expected, "{text:?}");
    }
    assert_eq!(topic_fault("a.*"), (Wildcard, 2));
    assert_eq!(topic_fault("*"), (Wildcard, 0));
}

#[test]
fn unusual_characters_are_allowed() {
    for text in [
        "a b",
        "a,b",
        "ride/7",
        "$",
        "$sys.load",
        "a.$b",
        "é.日本",
        "?[x]",
        "\u{a0}",
        "A>",
    ] {
        assert_eq!(Topic::new(text).unwrap(), text);
        assert_eq!(Pattern::new(text).unwrap(), text);
    }
    for text in ["*", "*.*", "a.*", "*.a", "a.*.b", "$sys.*", "*.$a"] {
        assert_eq!(Pattern::new(text).unwrap(), text);
    }
}

#[test]
fn limits_are_inclusive() {
    let longest = "x".repeat(MAX_TOPIC_BYTES);
    assert!(Topic::new(&longest).is_ok());
    assert_eq!(
        topic_fault(&format!("{longest}x")),
        (ErrorKind::TooLong, MAX_TOPIC_BYTES)
    );
    assert_eq!(
        topic_fault(&"é".repeat(128)),
        (ErrorKind::TooLong, MAX_TOPIC_BYTES - 1)
    );

    let deepest = vec!["*"; MAX_SEGMENTS].join(".");
    assert_eq!(Pattern::new(&deepest).unwrap().wildcards(), MAX_SEGMENTS);
    assert_eq!(
        pattern_fault(&format!("{deepest}.*")),
        (ErrorKind::TooManySegments, 32)
    );
    // A text of any length is refused at its first fault.
    assert_eq!(
        topic_fault(&"a.".repeat(1 << 20)),
        (ErrorKind::TooManySegments, 32)
    );
}

#[test]
fn errors_print_as_sentences() {
    let show = |text| Topic::new(text).unwrap_err().to_string();
    assert_eq!(show(""), "topic is empty: it needs at least one segment");
    assert_eq!(
        show("a..b"),
        "topic has an empty segment at byte 2: remove the dot too many or put a name there"
    );
    assert_eq!(
        show("ride.*"),
        "topic has a `*` at byte 5: a topic is one name, wildcards belong in patterns"
    );
    assert_eq!(
        Pattern::new("ri*").unwrap_err().to_string(),
        "pattern has a `*` inside a longer segment at byte 2: \
         a wildcard is a segment of its own, as in `ride.*.start`"
    );
    let filter = ["a", "b\tc"].into_filter().unwrap_err();
    assert_eq!(
        filter.to_string(),
        "pattern has a control character at byte 1: remove it"
    );
    assert_eq!(
        FilterError::Empty.to_string(),
        "filter is empty: it needs at least one pattern"
    );
}

#[test]
fn topics_and_patterns_survive_their_text() {
    let ride: Topic = "ride.7".parse().unwrap();
    assert_eq!(ride, Topic::try_from("ride.7").unwrap());
    assert_eq!(ride, Topic::try_from(String::from("ride.7")).unwrap());
    assert_eq!(ride, RIDES.to_topic());
    assert_eq!(ride, Topic::from(RIDES));
    assert_eq!(format!("{ride:>8}|{ride:?}"), "  ride.7|Topic(\"ride.7\")");
    assert_eq!(<Topic as AsRef<str>>::as_ref(&ride), "ride.7");
    assert_eq!(RIDES, TopicRef::try_from("ride.7").unwrap());
    assert!(topic("$sys").is_reserved() && !topic("a.$sys").is_reserved());

    let rides: Pattern = "ride.*".parse().unwrap();
    assert_eq!(rides, Pattern::try_from(String::from("ride.*")).unwrap());
    assert_eq!(
        rides,
        Pattern::from(PatternRef::try_from("ride.*").unwrap())
    );
    assert_eq!(rides.segments().collect::<Vec<_>>(), ["ride", "*"]);
    assert!(rides.contains(RIDES) && rides.matches(RIDES));

    let exact = Pattern::from(ride.clone());
    assert!(exact.is_exact());
    assert_eq!(exact.as_topic(), Some(ride.as_topic_ref()));
    assert_eq!(exact, Pattern::from(&ride));
    assert_eq!(rides.as_topic(), None);
}

#[test]
fn maps_can_be_asked_with_text() {
    let hashed: HashMap<Topic, u8> = [(topic("a.b"), 1)].into();
    assert_eq!(hashed.get("a.b"), Some(&1));
    let ordered: BTreeMap<Pattern, u8> = [(pattern("a.*"), 1)].into();
    assert_eq!(ordered.get("a.*"), Some(&1));
}

#[test]
fn conversions_that_cannot_fail_fit() {
    fn publish<T: TryInto<Topic>>(topic: T) -> Result<Topic, TopicError>
    where
        TopicError: From<T::Error>,
    {
        Ok(topic.try_into()?)
    }
    fn admit<T: TryInto<Pattern>>(pattern: T) -> Result<Pattern, PatternError>
    where
        PatternError: From<T::Error>,
    {
        Ok(pattern.try_into()?)
    }
    fn select<T: TryInto<Filter>>(filter: T) -> Result<Filter, FilterError>
    where
        FilterError: From<T::Error>,
    {
        Ok(filter.try_into()?)
    }
    assert_eq!(publish("a"), publish(topic("a")));
    assert_eq!(admit("a"), admit(topic("a")));
    assert_eq!(select("a"), select(pattern("a")));
    assert!(publish("*").is_err());
}

#[test]
fn filters_are_made_of_patterns_texts_and_lists() {
    let one: Filter = "ride.*".parse().unwrap();
    let same: [Result<Filter, FilterError>; 10] = [
        "ride.*".into_filter(),
        String::from("ride.*").into_filter(),
        (&String::from("ride.*")).into_filter(),
        pattern("ride.*").into_filter(),
        (&pattern("ride.*")).into_filter(),
        pattern("ride.*").as_pattern_ref().into_filter(),
        one.clone().into_filter(),
        (&one).into_filter(),
        ["ride.*", "ride.*.x"].into_filter(),
        (&[pattern("ride.7"), pattern("ride.*")]).into_filter(),
    ];
    for filter in same {
        assert_eq!(filter.unwrap(), one);
    }

    let two = Filter::new([pattern("b"), pattern("a")]).unwrap();
    let names = vec!["a", "b"];
    assert_eq!((&names[..]).into_filter().unwrap(), two);
    assert_eq!((&names).into_filter().unwrap(), two);
    assert_eq!(names.into_filter().unwrap(), two);
    assert_eq!(two.to_string(), "a, b");

    let ride = topic("ride.7");
    assert_eq!((&ride).into_filter(), RIDES.into_filter());
    assert_eq!(
        ride.clone().into_filter().unwrap().patterns(),
        [Pattern::from(ride)]
    );

    // Commas are part of a name.
    assert_eq!("a, b".into_filter().unwrap().patterns(), [pattern("a, b")]);
    assert_eq!(<[&str; 0]>::into_filter([]), Err(FilterError::Empty));
    assert_eq!(Filter::new([]), Err(FilterError::Empty));
    let error = ["a", "b..c"].into_filter().unwrap_err();
    assert!(matches!(error, FilterError::Pattern(e) if e.offset() == 2));
}

#[test]
fn a_filter_yields_its_patterns() {
    let filter = Filter::new([pattern("a.*"), pattern("b")]).unwrap();
    let mut yielded = Vec::new();
    for pattern in &filter {
        yielded.push(pattern.clone());
    }
    assert_eq!(yielded, filter.patterns());
    assert_eq!(yielded.len(), 2);
}

#[test]
fn types_are_shared_between_threads_and_have_debug_output() {
    fn shareable<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}
    shareable::<Topic>();
    shareable::<Pattern>();
    shareable::<Filter>();
    shareable::<Matcher<u32>>();

    let matcher: Matcher<u32> = [(pattern("a.*"), 1)].into_iter().collect();
    assert_eq!(format!("{matcher:?}"), r#"{Pattern("a.*"): 1}"#);
    assert_eq!(
        format!("{:?} {:?}", matcher.iter(), matcher.matches(&topic("a.b"))),
        r#"{Pattern("a.*"): 1} {Pattern("a.*"): 1}"#
    );
}

#[cfg(feature = "serde")]
mod serde {
    use super::*;

    #[test]
    fn topics_and_patterns_are_serialized_as_strings() {
        assert_eq!(serde_json::to_string(&topic("a.b")).unwrap(), r#""a.b""#);
        assert_eq!(serde_json::to_string(&RIDES).unwrap(), r#""ride.7""#);
        assert_eq!(
            serde_json::from_str::<Topic>(r#""a.\u0062""#).unwrap(),
            "a.b"
        );
        assert_eq!(serde_json::from_str::<Pattern>(r#""a.*""#).unwrap(), "a.*");
        let error = serde_json::from_str::<Topic>(r#""a.*""#)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("topic has a `*` at byte 2"), "{error}");
        let error = serde_json::from_str::<Pattern>("7")
            .unwrap_err()
            .to_string();
        assert!(error.contains("expected a pattern"), "{error}");
    }

    #[test]
    fn filters_are_serialized_as_sequences_of_patterns() {
        let filter = ["b", "a.*", "a.b"].into_filter().unwrap();
        assert_eq!(serde_json::to_string(&filter).unwrap(), r#"["a.*","b"]"#);
        assert_eq!(
            serde_json::from_str::<Filter>(r#"["a.b","b","a.*"]"#).unwrap(),
            filter
        );
        assert_eq!(
            serde_json::from_str::<Filter>(r#""a.*""#)
                .unwrap()
                .patterns(),
            ["a.*"]
        );
        let error = serde_json::from_str::<Filter>("[]")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("filter is empty"), "{error}");
        assert!(serde_json::from_str::<Filter>(r#"["a*"]"#).is_err());
        let error = serde_json::from_str::<Filter>("{}").unwrap_err();
        let wanted = "a pattern or a sequence of patterns";
        assert!(error.to_string().contains(wanted), "{error}");
    }
}
