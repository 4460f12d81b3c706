//! What a store knows of its publishers when it is opened again.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use qsse_store::io::mem::MemIo;
use qsse_store::{Age, PublisherRun, Recovered, Retention, Store, StoreError, TopicRetention};
use support::*;

const ADA: [u8; 16] = [1; 16];
const BOB: [u8; 16] = [2; 16];

fn run(publisher: [u8; 16], number: u64, first: u64, count: u32) -> PublisherRun {
    PublisherRun {
        publisher,
        number,
        count,
        first,
        events: count,
    }
}

/// Appends the events first ..= last as one run that begins with `number`.
fn publish(store: &mut Store, who: [u8; 16], number: u64, first: u64, last: u64) {
    let events: Vec<_> = (first..=last).map(|seq| event(seq, 3)).collect();
    let mut entry = entry(&events);
    entry.runs = vec![run(who, number, first, (last - first + 1) as u32)];
    store.append(&[entry]).unwrap();
    store.sync().unwrap();
}

/// Returns each publisher's last number, and whether it is certain that there is none above.
fn known(recovered: &Recovered) -> Vec<([u8; 16], u64, bool)> {
    let publishers = recovered.publishers.iter();
    publishers
        .map(|publisher| (publisher.id, publisher.last, publisher.certain))
        .collect()
}

const WINDOW: Duration = Duration::from_secs(600);

#[test]
fn the_last_numbers_are_known_again() {
    let io = MemIo::new();
    let (mut store, recovered) = open(&io);
    assert_eq!(
        (known(&recovered), recovered.publishers_age),
        (vec![], WINDOW)
    );
    publish(&mut store, ADA, 1, 1, 3);
    publish(&mut store, BOB, 7, 4, 4);
    publish(&mut store, ADA, 4, 5, 6);
    drop(store);
    let (_, recovered) = open(&io);
    assert_eq!(known(&recovered), [(BOB, 7, true), (ADA, 5, true)]);
    assert_eq!(recovered.publishers_age, WINDOW);
    let runs = &recovered.publishers[1].runs;
    assert_eq!(runs, &[run(ADA, 1, 1, 3), run(ADA, 4, 5, 2)]);
    assert_eq!(recovered.keys, [], "no run is taken for a key");
}

#[test]
fn numbers_of_publishers_outlast_their_segments() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    publish(&mut store, ADA, 1, 1, 3);
    for seq in 4..=400 {
        publish(&mut store, BOB, seq, seq, seq);
    }
    let few = Retention::default().max_events(5);
    store.retain(&few, Age::default()).unwrap();
    assert!(store.reader().oldest() > 3, "the first segment is gone");
    drop(store);
    let (_, recovered) = open(&io);
    assert_eq!(known(&recovered), [(ADA, 3, true), (BOB, 400, true)]);
    assert_eq!(recovered.publishers_age, WINDOW);
}

#[test]
fn numbers_keep_no_segment_from_being_rewritten() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let quiet = Event {
        topic: "quiet".to_owned(),
        ..event(1, 1)
    };
    store.append(&[entry(&[quiet])]).unwrap();
    publish(&mut store, ADA, 1, 2, 3);
    for seq in 4..=400 {
        publish(&mut store, BOB, seq, seq, seq);
    }
    let rule = TopicRetention::new("t.*".parse().unwrap()).max_events(2);
    let rules = Retention::default().topic(rule);
    let trimmed = store.retain(&rules, Age::default()).unwrap();
    assert!(trimmed.rewritten > 1, "{trimmed:?}");
    drop(store);
    let (_, recovered) = open(&io);
    assert_eq!(known(&recovered), [(ADA, 2, true), (BOB, 400, true)]);
    assert_eq!(recovered.publishers_age, WINDOW);
}

#[test]
fn without_their_file_they_are_not_all_known_and_nothing_is_certain() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    publish(&mut store, ADA, 1, 1, 3);
    for seq in 4..=400 {
        publish(&mut store, BOB, seq, seq, seq);
    }
    let few = Retention::default().max_events(5);
    store.retain(&few, Age::default()).unwrap();
    drop(store);
    qsse_store::Io::remove(&io, "publishers").unwrap();
    let (_, recovered) = open(&io);
    assert_eq!(recovered.publishers_age, Duration::ZERO);
    assert_eq!(known(&recovered), [(BOB, 400, false)]);
}

#[test]
fn a_run_that_is_none_is_refused() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    fill(&mut store, 1, 10, 3, 3);
    let mut with = |run: PublisherRun| {
        let events = [11, 12, 13].map(|seq| event(seq, 3));
        let mut entry = entry(&events);
        entry.runs = vec![run];
        store.append(&[entry])
    };
    let right = run(ADA, 1, 11, 3);
    let wrong = [
        // Of no event, of one before and of one after.
        PublisherRun { events: 0, ..right },
        PublisherRun { first: 8, ..right },
        PublisherRun { first: 12, ..right },
        // Two publishes of three events, none of three, and more than there are numbers.
        PublisherRun { count: 2, ..right },
        PublisherRun { count: 0, ..right },
        run(ADA, u64::MAX - 2, 11, 3),
    ];
    for run in wrong {
        let error = with(run).unwrap_err();
        assert!(matches!(error, StoreError::Entry { .. }), "{run:?}");
    }
    // One publish of three events is a run.
    with(PublisherRun { count: 1, ..right }).unwrap();
    store.sync().unwrap();
    drop(store);
    assert_eq!(known(&open(&io).1), [(ADA, 1, true)]);
}

/// Returns the ids of the publishers that are known, by their first bytes.
fn ids(recovered: &Recovered) -> Vec<u8> {
    let publishers = recovered.publishers.iter();
    publishers.map(|publisher| publisher.id[0]).collect()
}

#[test]
fn of_too_many_publishers_the_most_idle_are_forgotten_and_the_age_says_so() {
    for removed in [false, true] {
        let io = MemIo::new();
        let few = || {
            let options = options().publishers(3, WINDOW);
            Store::open(Arc::new(io.clone()), options).unwrap()
        };
        let (mut store, _) = few();
        for n in 1..=10 {
            publish(&mut store, [n; 16], 1, n.into(), n.into());
        }
        // The first one is active again.
        publish(&mut store, [1; 16], 2, 11, 11);
        if removed {
            fill(&mut store, 12, 300, 3, 3);
            let rules = Retention::default().max_events(3);
            store.retain(&rules, Age::default()).unwrap();
        }
        drop(store);
        for _ in 0..2 {
            let (_, recovered) = few();
            assert_eq!(ids(&recovered), [9, 10, 1], "removed: {removed}");
            // The event of number 8 has the time 8,000.
            let known = recovered.last_time.as_micros() - 8_001;
            let age = recovered.publishers_age.as_micros() as u64;
            assert_eq!(age, known, "removed: {removed}");
        }
        let none = options().publishers(0, WINDOW);
        let (_, recovered) = Store::open(Arc::new(io.clone()), none).unwrap();
        assert!(ids(&recovered).is_empty());
        assert_eq!(recovered.publishers_age, Duration::ZERO);
    }
}

#[test]
fn publishers_that_were_idle_for_longer_than_their_age_are_forgotten() {
    let io = MemIo::new();
    let age = Duration::from_millis(150);
    let short = || {
        let options = options().publishers(100, age);
        Store::open(Arc::new(io.clone()), options).unwrap()
    };
    let (mut store, _) = short();
    publish(&mut store, ADA, 1, 1, 1);
    publish(&mut store, BOB, 1, 200, 200);
    // Begins a segment, with which the file is written, at a time between 200 and 300 ms.
    let before = store.reader().bytes();
    fill(&mut store, 201, 300, 3, 3);
    assert!(before < 4_096 && store.reader().bytes() > 4_096);
    drop(store);
    let (_, recovered) = short();
    assert_eq!(known(&recovered), [(BOB, 1, true)]);
    assert_eq!(recovered.publishers_age, age);
    // One that asks for more learns that those are not known.
    let (_, recovered) = open(&io);
    let known = age..=Duration::from_millis(250);
    assert!(known.contains(&recovered.publishers_age), "{recovered:?}");
}

#[test]
fn the_newest_runs_of_a_publisher_are_remembered_and_runs_of_single_events_are_joined() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    // Every second number is missing, so no run continues the one before.
    for n in 1..=20 {
        publish(&mut store, ADA, 2 * n, n, n);
    }
    for seq in 21..=29 {
        publish(&mut store, BOB, seq, seq, seq);
    }
    drop(store);
    for _ in 0..2 {
        let (mut store, recovered) = open(&io);
        let runs = |at: usize| &recovered.publishers[at].runs;
        let wanted: Vec<_> = (5..=20).map(|n| run(ADA, 2 * n, n, 1)).collect();
        assert_eq!(runs(0), &wanted);
        assert_eq!(runs(1), &[run(BOB, 21, 21, 9)]);
        // The same from their file.
        let next = recovered.next_seq;
        fill(&mut store, next, next + 300, 3, 3);
        let rules = Retention::default().max_events(3);
        store.retain(&rules, Age::default()).unwrap();
    }
}

#[test]
fn runs_that_their_file_has_are_not_added_again() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    // One append into several segments: the file is written later, in the middle of the last one.
    let entries: Vec<_> = (1..=200)
        .map(|seq| {
            let mut entry = entry(&[event(seq, 3)]);
            entry.runs = vec![run(ADA, 2 * seq, seq, 1)];
            entry
        })
        .collect();
    store.append(&entries).unwrap();
    let few = Retention::default().max_events(5);
    store.retain(&few, Age::default()).unwrap();
    publish(&mut store, ADA, 500, 201, 201);
    drop(store);
    let (_, recovered) = open(&io);
    let mut wanted: Vec<_> = (186..=200).map(|seq| run(ADA, 2 * seq, seq, 1)).collect();
    wanted.push(run(ADA, 500, 201, 1));
    assert_eq!(recovered.publishers[0].runs, wanted);
}

#[test]
fn numbers_in_a_lost_record_make_all_others_uncertain() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    publish(&mut store, ADA, 1, 1, 3);
    let lost = store.reader().bytes() as usize;
    publish(&mut store, BOB, 7, 4, 4);
    publish(&mut store, ADA, 4, 5, 6);
    drop(store);
    // In the batch, after the header of 72 bytes.
    assert!(io.flip("00000000000000000001.seg", (lost + 80) * 8));
    let (_, recovered) = open(&io);
    assert_eq!(known(&recovered), [(ADA, 5, false)]);
    assert_eq!(recovered.publishers_age, Duration::ZERO);
}
