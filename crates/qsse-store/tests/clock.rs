//! Events whose times go back: where a time begins, which events are old, and which keys and
//! publishers are remembered.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;

use qsse_proto::Timestamp;
use qsse_store::io::mem::MemIo;
use qsse_store::{Age, Options, PublisherRun, Recovered, Retention, Store, TopicRetention};
use support::*;

const SECOND: u64 = 1_000_000;
/// A time that a clock may show.
const NOON: u64 = 1_000_000 * SECOND;
const YEAR: u64 = 365 * 24 * 3_600 * SECOND;

fn at(seq: u64, time: u64) -> Event {
    Event {
        time,
        ..event(seq, 3)
    }
}

/// Appends events with these times after all others, each in its own entry.
fn append(store: &mut Store, times: &[u64]) {
    for time in times {
        let seq = store.head() + 1;
        store.append(&[entry(&[at(seq, *time)])]).unwrap();
    }
    store.sync().unwrap();
}

fn open_at(io: &MemIo, now: u64) -> (Store, Recovered) {
    let options = options().now(Timestamp::from_micros(now));
    Store::open(Arc::new(io.clone()), options).unwrap()
}

fn restart(io: &MemIo, store: Store) -> (Store, Recovered) {
    store.close(0).unwrap();
    open(io)
}

fn seq_at(store: &Store, time: u64, until: u64) -> u64 {
    let [time, until] = [time, until].map(Timestamp::from_micros);
    store.reader().seq_at(time, until)
}

/// Returns the first seq that counts as of `time` or later. Each event counts as of the next one,
/// including itself, that is not ahead.
fn naive(times: &[u64], time: u64, until: u64) -> u64 {
    let until = if time > until { u64::MAX } else { until };
    let counts_as = |at: usize| times[at..].iter().find(|time| **time <= until);
    let is_since = |at: &usize| counts_as(*at).is_none_or(|counts| *counts >= time);
    (0..times.len()).find(is_since).unwrap_or(times.len()) as u64 + 1
}

/// Returns the times of a clock that jumps both ways, in runs.
fn jumping(dice: &mut Dice, count: u64) -> Vec<u64> {
    let mut time = 5_000;
    let times = (0..count).map(|_| {
        time = match dice.roll(12) {
            0 => 1 + dice.roll(10_000),
            _ => time + dice.roll(40),
        };
        time
    });
    times.collect()
}

#[test]
fn a_time_begins_where_every_event_says_so() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let io = MemIo::new();
        let (mut store, _) = open(&io);
        let mut times = Vec::new();
        for _ in 0..3 {
            let count = 1 + dice.roll(120);
            let new = jumping(&mut dice, count);
            let events: Vec<_> = (store.head() + 1..)
                .zip(&new)
                .map(|(seq, time)| at(seq, *time))
                .collect();
            // Within an entry times never go back.
            for events in events.chunk_by(|a, b| a.time <= b.time && b.seq % 5 > 0) {
                store.append(&[entry(events)]).unwrap();
            }
            times.extend(new);
            let recovered;
            (store, recovered) = restart(&io, store);
            assert_eq!(recovered.last_time.as_micros(), *times.last().unwrap());
            assert_eq!(recovered.latest.as_micros(), *times.iter().max().unwrap());
            for _ in 0..60 {
                let (time, until) = (dice.roll(11_000), dice.roll(12_000));
                let found = seq_at(&store, time, until);
                assert_eq!(
                    found,
                    naive(&times, time, until),
                    "{time} to {until}: {times:?}"
                );
            }
            let all = read(&store.reader(), "*").events;
            let read: Vec<_> = all.iter().map(|event| event.time).collect();
            assert_eq!(
                read, times,
                "small entries are put together without a change"
            );
        }
    }
}

#[test]
fn rewriting_keeps_the_times_of_what_is_left() {
    let io = MemIo::new();
    let options = options().keys(0, seconds(0));
    let (mut store, _) = Store::open(Arc::new(io.clone()), options).unwrap();
    let times = jumping(&mut Dice(1), 2_000);
    for (seq, time) in (1..).zip(&times) {
        let topic = if seq % 9 == 0 { "kept" } else { "t.0" }.to_owned();
        let event = Event {
            topic,
            ..at(seq, *time)
        };
        store.append(&[entry(&[event])]).unwrap();
    }
    let rules =
        Retention::default().topic(TopicRetention::new("t.*".parse().unwrap()).max_events(1));
    while store.retain(&rules, Age::default()).unwrap().rewritten > 0 {}
    let segments = qsse_store::Io::list(&io).unwrap();
    assert!(segments.len() < 30, "most were put together: {segments:?}");
    let (store, _) = restart(&io, store);
    let left = read(&store.reader(), "*").events;
    assert_eq!(left.len(), 223);
    for event in &left {
        assert_eq!(event.time, times[event.seq as usize - 1], "{event:?}");
    }
    for time in (0..11_000).step_by(100) {
        let begin = seq_at(&store, time, u64::MAX);
        assert!(
            left.iter()
                .all(|event| event.time < time || event.seq >= begin)
        );
    }
}

#[test]
fn a_damaged_record_counts_as_of_the_time_with_what_is_ahead_before_it() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    append(&mut store, &[NOON, NOON + YEAR]);
    let damaged = store.reader().bytes() as usize;
    append(&mut store, &[NOON + 10 * SECOND, NOON + 20 * SECOND]);
    // In the batch, after the header of 72 bytes.
    assert!(io.flip("00000000000000000001.seg", (damaged + 80) * 8));
    assert_eq!(read(&store.reader(), "*").lost, [(2, 3)]);
    assert_eq!(seq_at(&store, NOON + 5 * SECOND, NOON + 30 * SECOND), 2);
}

/// Returns the events of the last hour, in a store that was opened at `now` and was open for
/// `since_open`.
fn left_after(io: &MemIo, now: u64, since_open: u64) -> Vec<u64> {
    let (mut store, _) = open_at(io, now);
    let age = Age {
        since_open: seconds(since_open),
        closed: seconds(0),
    };
    let rules = Retention::default().max_age(seconds(3_600));
    store.retain(&rules, age).unwrap();
    let left = read(&store.reader(), "*").events;
    store.close(0).unwrap();
    left.iter().map(|event| event.seq).collect()
}

#[test]
fn events_ahead_of_the_clock_age_nothing_and_go_with_those_behind_them() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    append(&mut store, &[NOON, NOON + SECOND, NOON + YEAR, NOON + YEAR]);
    store.close(0).unwrap();
    // The clock is right again, and the newest event is ahead of it.
    assert_eq!(left_after(&io, NOON + 2 * SECOND, 10), [1, 2, 3, 4]);

    let (mut store, _) = open(&io);
    append(&mut store, &[NOON + 1_000 * SECOND, NOON + 2_000 * SECOND]);
    store.close(0).unwrap();
    assert_eq!(
        left_after(&io, NOON + 2_000 * SECOND, 10),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(left_after(&io, NOON + 2_000 * SECOND, 1_700), [3, 4, 5, 6]);
    assert_eq!(left_after(&io, NOON + 2_000 * SECOND, 2_700), [6]);
}

#[test]
fn events_of_a_clock_that_was_behind_go_with_those_before_them() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    append(&mut store, &[NOON, SECOND, 2 * SECOND, NOON + 60 * SECOND]);
    store.close(0).unwrap();
    assert_eq!(left_after(&io, NOON + 61 * SECOND, 3_530), [1, 2, 3, 4]);
    assert_eq!(left_after(&io, NOON + 61 * SECOND, 3_550), [4]);
}

/// Appends an event with this time, and with its seq as a key.
fn append_keyed(store: &mut Store, time: u64) {
    let seq = store.head() + 1;
    let mut entry = entry(&[at(seq, time)]);
    entry.keys = vec![(seq, key(&seq.to_string()))];
    store.append(&[entry]).unwrap();
    store.sync().unwrap();
}

fn keyed(recovered: &Recovered) -> Vec<u64> {
    recovered.keys.iter().map(|(_, seq, _)| *seq).collect()
}

#[test]
fn keys_outlast_a_clock_that_jumps() {
    for removed in [false, true] {
        let io = MemIo::new();
        let (mut store, _) = open(&io);
        // A year ahead for a moment, and behind for another.
        for time in [
            NOON,
            NOON + SECOND,
            NOON + YEAR,
            NOON + 2 * SECOND,
            SECOND,
            NOON + 3 * SECOND,
        ] {
            append_keyed(&mut store, time);
        }
        if removed {
            let first = store.head() + 1;
            fill_at(&mut store, first, 100, NOON + 4 * SECOND);
            let rules = Retention::default().max_events(3);
            assert!(store.retain(&rules, Age::default()).unwrap().segments > 0);
        }
        let (mut store, recovered) = restart(&io, store);
        assert_eq!(keyed(&recovered), [1, 2, 3, 4, 5, 6]);
        assert_eq!(recovered.keys_age, Options::new(EPOCH).keys_age);
        // They are outside the window.
        append(&mut store, &[NOON + 500 * SECOND]);
        let (_, recovered) = restart(&io, store);
        assert!(keyed(&recovered).is_empty());
    }
}

/// Appends events with one time, without keys.
fn fill_at(store: &mut Store, first: u64, count: u64, time: u64) {
    for seq in first..first + count {
        store.append(&[entry(&[at(seq, time)])]).unwrap();
    }
    store.sync().unwrap();
}

#[test]
fn keys_outlast_a_clock_that_was_ahead_when_the_process_died() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    for time in [NOON, NOON + YEAR] {
        append_keyed(&mut store, time);
    }
    store.close(0).unwrap();
    let (_, recovered) = open_at(&io, NOON + 5 * SECOND);
    assert_eq!(keyed(&recovered), [1, 2]);
}

/// Appends an event with this time as the next publish of a publisher.
fn append_of(store: &mut Store, publisher: u8, time: u64) {
    let seq = store.head() + 1;
    let mut entry = entry(&[at(seq, time)]);
    entry.runs = vec![PublisherRun {
        publisher: [publisher; 16],
        number: seq,
        count: 1,
        first: seq,
        events: 1,
    }];
    store.append(&[entry]).unwrap();
    store.sync().unwrap();
}

#[test]
fn publishers_are_remembered_when_the_clock_jumps() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    for (publisher, time) in [(1, NOON), (2, NOON + YEAR), (3, NOON + SECOND), (4, SECOND)] {
        append_of(&mut store, publisher, time);
    }
    // Segments are begun, which makes the store forget idle publishers.
    let first = store.head() + 1;
    fill_at(&mut store, first, 100, NOON + 2 * SECOND);
    let (_, recovered) = restart(&io, store);
    let known: Vec<_> = recovered
        .publishers
        .iter()
        .map(|known| known.id[0])
        .collect();
    assert_eq!(known, [1, 2, 3, 4], "the most idle first");
    assert_eq!(recovered.publishers_age, Options::new(EPOCH).publishers_age);
}
