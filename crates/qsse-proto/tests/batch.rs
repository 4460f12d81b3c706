//! Batches: what goes in comes out, in few bytes and little memory.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use proptest::prelude::*;
use qsse_proto::batch::{Batch, Builder};
use qsse_proto::{Code, DecodeError, Event, Timestamp, limits};
use std::collections::BTreeSet;
use support::*;

fn events_of(batch: &Batch) -> Vec<Event> {
    batch.events(EPOCH).collect::<Result<_, _>>().unwrap()
}

fn naive(events: &[Event], keep: impl Fn(&Event) -> bool) -> Vec<Event> {
    events.iter().filter(|event| keep(event)).cloned().collect()
}

proptest! {
    // QP-6.2, QP-6.4, QP-6.5, QP-2.7
    #[test]
    fn events_round_trip(events in events(), most in 1..70usize) {
        let batches = batches(&events, most);
        let read: Vec<Event> = batches.iter().flat_map(events_of).collect();
        prop_assert_eq!(&read, &events);
        for batch in &batches {
            let again = Batch::decode(batch.bytes().clone()).unwrap();
            prop_assert_eq!(&again, batch);
            prop_assert_eq!(again.count(), batch.count());
            prop_assert_eq!(again.first_seq()..=again.last_seq(), batch.first_seq()..=batch.last_seq());
            prop_assert_eq!(again.first_time()..=again.last_time(), batch.first_time()..=batch.last_time());
            prop_assert!(again.topics().eq(batch.topics()));
        }
    }

    #[test]
    fn borrowed_events_are_the_same(events in events()) {
        for batch in batches(&events, 50) {
            let owned = events_of(&batch);
            prop_assert_eq!(batch.iter().count(), batch.count() as usize);
            for (borrowed, event) in batch.iter().zip(&owned) {
                prop_assert_eq!(borrowed.seq(), event.id().seq());
                prop_assert_eq!(borrowed.time(), event.time());
                prop_assert_eq!(borrowed.topic(), event.topic().as_str());
                prop_assert_eq!(borrowed.kind(), event.kind().as_str());
                prop_assert_eq!(borrowed.data(), event.data());
            }
        }
    }

    // QP-6.6
    #[test]
    fn what_fits_stays_within_the_limit(events in events()) {
        let batches = batches(&events, usize::MAX);
        for batch in &batches {
            prop_assert!(batch.count() == 1 || batch.bytes().len() <= limits::BATCH_BYTES);
        }
    }

    #[test]
    fn topics_are_those_of_the_events(events in events()) {
        for batch in batches(&events, 50) {
            let read = events_of(&batch);
            let expected: BTreeSet<&str> = read.iter().map(|event| event.topic().as_str()).collect();
            prop_assert_eq!(batch.topics().collect::<BTreeSet<_>>(), expected);
        }
    }

    #[test]
    fn retain_and_after_leave_the_events_that_they_should(events in events(), keep in "[a-z]", seq_of in 0..60usize) {
        for batch in batches(&events, 50) {
            let all = events_of(&batch);
            let left = batch.retain(|topic| topic.contains(&keep));
            let left = left.as_ref().map(events_of).unwrap_or_default();
            prop_assert_eq!(left, naive(&all, |event| event.topic().as_str().contains(&keep)));

            let seq = all[seq_of % all.len()].id().seq();
            for seq in [0, seq - 1, seq, u64::MAX] {
                let left = batch.after(seq);
                let left = left.as_ref().map(events_of).unwrap_or_default();
                prop_assert_eq!(left, naive(&all, |event| event.id().seq() > seq));
            }
        }
    }
}

#[test]
fn what_is_kept_whole_is_shared() {
    let batch = &batches(
        &[
            event(1, 1, "a", "message", "x"),
            event(2, 1, "b", "message", "y"),
        ],
        9,
    )[0];
    for same in [batch.retain(|_| true).unwrap(), batch.after(0).unwrap()] {
        assert_eq!(same.bytes().as_ptr(), batch.bytes().as_ptr());
    }
    let data = events_of(batch)[1].data().as_ptr();
    assert!(
        batch.bytes().as_ptr_range().contains(&data),
        "data is a share of the batch"
    );
}

#[test]
fn a_verdict_is_asked_once_for_each_topic() {
    let mut builder = Builder::new();
    for seq in 1..=100 {
        let topic = ["a", "b", "c"][seq as usize % 3];
        builder.push(seq, Timestamp::default(), topic, "message", b"");
    }
    let mut asked = Vec::new();
    builder.finish().retain(|topic| {
        asked.push(topic.to_owned());
        topic != "b"
    });
    assert_eq!(asked, ["b", "c", "a"]);
}

#[test]
fn later_events_cost_few_bytes() {
    let mut builder = Builder::new();
    let mut last = 0;
    for seq in 1..=100 {
        last = builder.len();
        let time = Timestamp::from_micros(1_767_323_045_000_006 + 50 * seq);
        builder.push(seq, time, "ride.7.start", "message", &[0; 100]);
    }
    assert!(builder.len() - last <= 106);
}

// QP-6.4: more topics than are remembered, and more kinds.
#[test]
fn ten_thousand_topics_survive_batches() {
    let events: Vec<Event> = (0..20_000)
        .map(|n| {
            event(
                n + 1,
                n,
                &format!("t.{}", n * 7919 % 10_000),
                &format!("k{}", n % 40),
                "",
            )
        })
        .collect();
    let batches = batches(&events, usize::MAX);
    let read: Vec<Event> = batches.iter().flat_map(events_of).collect();
    assert_eq!(read, events);
}

#[test]
fn a_hundred_topics_are_mostly_named_once() {
    let events: Vec<Event> = (0..1_000)
        .map(|n| event(n + 1, n, &format!("ride.{}.start", n % 100), "message", ""))
        .collect();
    let named = batches(&events, usize::MAX)[0].topics().count();
    assert!((100..500).contains(&named), "named {named} times");
}

#[test]
fn memory_is_given_back() {
    let mut builder = Builder::new();
    assert_eq!(builder.capacity(), 0);
    // Quiet: one small event a batch.
    for seq in 1..100 {
        builder.push(seq, Timestamp::default(), "ride.7", "message", &[0; 100]);
        let batch = builder.finish();
        assert!(
            batch.allocated() < 200,
            "{} for one event",
            batch.allocated()
        );
        assert!(builder.capacity() <= 256);
    }
    // Busy: full batches.
    let mut seq = 100;
    for _ in 0..10 {
        while builder.would_fit("ride.7", "message", 100) {
            builder.push(seq, Timestamp::default(), "ride.7", "message", &[0; 100]);
            seq += 1;
        }
        assert!(builder.capacity() <= limits::BATCH_BYTES);
        let batch = builder.finish();
        assert!(batch.bytes().len() > limits::BATCH_BYTES - 200);
        assert_eq!(batch.allocated(), limits::BATCH_BYTES);
    }
    // Quiet again: one guess that is too large, and its memory does not stay.
    for _ in 0..2 {
        builder.push(seq, Timestamp::default(), "ride.7", "message", &[0; 100]);
        seq += 1;
        assert!(builder.finish().allocated() < 200);
    }
    assert!(builder.capacity() <= 256);
}

#[test]
fn a_busy_builder_starts_where_it_left_off() {
    let mut builder = Builder::new();
    let mut seq = 0;
    while builder.would_fit("ride.7", "message", 100) {
        seq += 1;
        builder.push(seq, Timestamp::default(), "ride.7", "message", &[0; 100]);
    }
    builder.finish();
    builder.push(
        seq + 1,
        Timestamp::default(),
        "ride.7",
        "message",
        &[0; 100],
    );
    assert!(builder.capacity() > limits::BATCH_BYTES / 2);
}

#[test]
fn many_kinds_are_not_remembered() {
    let mut builder = Builder::new();
    for seq in 1..=500 {
        builder.push(seq, Timestamp::default(), "a", &format!("kind {seq}"), b"");
    }
    builder.finish();
    assert!(builder.capacity() < 1_000, "{}", builder.capacity());
}

#[test]
fn one_large_event_is_a_batch() {
    let large = vec![1; limits::EVENT_BYTES];
    let events = [
        event(1, 1, "a", "message", "x"),
        event(2, 1, "a", "message", large),
        event(3, 1, "a", "message", ""),
    ];
    let batches = batches(&events, usize::MAX);
    assert_eq!(
        batches.iter().map(Batch::count).collect::<Vec<_>>(),
        [1, 1, 1]
    );
    assert!(batches[1].bytes().len() < limits::event_frame_bytes(limits::EVENT_BYTES));
    assert_eq!(events_of(&batches[1])[0], events[1]);
}

// QP-6.6
#[test]
fn a_long_batch_of_several_is_refused() {
    let mut builder = Builder::new();
    builder.push(
        1,
        Timestamp::default(),
        "a",
        "message",
        &[0; limits::BATCH_BYTES],
    );
    assert!(!builder.would_fit("a", "message", 0));
    builder.push(2, Timestamp::default(), "a", "message", b"");
    let bytes = builder.finish().bytes().clone();
    let error = Batch::decode(bytes.clone()).unwrap_err();
    assert_eq!(error.code(), Code::PROTOCOL_VIOLATION);
    let (items, result) = decode([header(0).encode(), bytes]);
    assert_eq!((items.len(), result), (1, Err(error)));
}

#[test]
fn a_time_before_the_last_counts_as_the_last() {
    let mut builder = Builder::new();
    for (seq, micros) in [(1, 10), (2, 5), (3, 11)] {
        builder.push(seq, Timestamp::from_micros(micros), "a", "message", b"");
    }
    let times = builder
        .finish()
        .iter()
        .map(|event| event.time().as_micros())
        .collect::<Vec<_>>();
    assert_eq!(times, [10, 10, 11]);
}

#[test]
fn a_name_that_is_no_topic_is_an_error_when_read() {
    let mut builder = Builder::new();
    builder.push(1, Timestamp::default(), "a..b", "message", b"");
    let mut events = builder.finish().events(EPOCH);
    assert!(matches!(events.next(), Some(Err(DecodeError::Topic(_)))));
    assert!(events.next().is_none());
}

#[test]
#[should_panic(expected = "seqs of a batch rise")]
fn a_seq_is_not_pushed_twice() {
    let mut builder = Builder::new();
    builder.push(1, Timestamp::default(), "a", "message", b"");
    builder.push(1, Timestamp::default(), "a", "message", b"");
}

#[test]
#[should_panic(expected = "at least one event")]
fn an_empty_batch_is_not_sealed() {
    Builder::new().finish();
}

#[test]
fn bytes_behind_a_batch_are_refused() {
    let mut bytes = batches(&[event(1, 1, "a", "message", "x")], 1)[0]
        .bytes()
        .to_vec();
    bytes.push(0);
    let error = Batch::decode(bytes.into()).unwrap_err();
    assert_eq!(
        error,
        DecodeError::Leftover {
            kind: 0x21,
            bytes: 1
        }
    );
    let other = Batch::decode(header(0).encode()).unwrap_err();
    assert_eq!(other, DecodeError::UnexpectedFrame { kind: 0x20 });
}

#[test]
fn a_prefix_is_removed_from_every_name_and_nothing_else_changes() {
    let mut builder = Builder::new();
    let time = Timestamp::from_micros(7);
    builder.push(3, time, "acme.ride.7", "message", b"one");
    builder.push(5, time, "acme.people", "joined", b"two");
    builder.push(9, time, "acme.ride.7", "message", b"");
    let inner = builder.finish().without_prefix("acme.".len());
    let again = Batch::decode(inner.bytes().clone()).unwrap();
    assert_eq!(again.topics().collect::<Vec<_>>(), ["ride.7", "people"]);
    let events: Vec<_> = again
        .iter()
        .map(|event| (event.seq(), event.topic(), event.kind(), event.data()))
        .collect();
    let expected: [(u64, &str, &str, &[u8]); 3] = [
        (3, "ride.7", "message", b"one"),
        (5, "people", "joined", b"two"),
        (9, "ride.7", "message", b""),
    ];
    assert_eq!(events, expected);
}
