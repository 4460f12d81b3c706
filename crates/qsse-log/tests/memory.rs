//! What a log holds, in bytes that are counted where they are allocated.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::HashSet;

use bytes::Bytes;
use qsse_log::{Config, Encoding, Log, NewEvent, Now, Reader, Start, Step};
use qsse_proto::Epoch;
use qsse_proto::batch::Batch;
use qsse_topic::{Filter, Pattern, TopicRef};

const MIB: usize = 1 << 20;

fn log(config: Config) -> Log {
    Log::new(Epoch::new(5), config)
}

fn publish(log: &Log, topic: &str, bytes: usize) {
    let topic = TopicRef::new(topic).unwrap();
    let data = vec![7; bytes];
    log.append(Now::default(), NewEvent::new(topic, &data))
        .unwrap();
}

/// A filter for `h.*` that is different for each number.
fn filter(number: usize) -> Filter {
    let patterns = ["h.*".to_owned(), format!("none.{number}")];
    let patterns = patterns.iter().map(|text| Pattern::new(text).unwrap());
    Filter::new(patterns).unwrap()
}

/// Takes the next batches of a reader.
fn take(reader: &mut Reader) -> Vec<Batch> {
    let mut batches = Vec::new();
    loop {
        match reader.step(32 << 10, &mut batches) {
            Step::Batches => return batches,
            Step::Looking | Step::Gap(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Returns the distinct places of the batches' bytes in memory.
fn places(batches: &[Batch]) -> HashSet<*const u8> {
    batches.iter().map(|batch| batch.bytes().as_ptr()).collect()
}

#[test]
fn readers_of_one_large_event_hold_it_once_from_history_and_live() {
    let log = log(Config::default());
    publish(&log, "h.1", MIB);
    let history = log.budget().used();
    assert!((MIB..MIB + MIB / 8).contains(&history));
    let open = |number, start| log_reader(&log, number, start);
    let mut past: Vec<_> = (0..200).map(|n| open(n, Start::Earliest)).collect();
    let held: Vec<_> = past.iter_mut().flat_map(take).collect();
    assert_eq!((held.len(), places(&held).len()), (200, 1));
    assert!(log.budget().used() - history < MIB / 8);
    assert_eq!(log.stats().unread_bytes, 0, "the history has it too");

    let mut live: Vec<_> = (0..10).map(|n| open(n, Start::Live)).collect();
    publish(&log, "h.2", MIB);
    let live: Vec<_> = live.iter_mut().flat_map(take).collect();
    assert_eq!((live.len(), places(&live).len()), (10, 1));
    let batches = log.budget().used() - log.stats().filter_bytes;
    assert!(batches < 2 * history + MIB / 8);
}

fn log_reader(log: &Log, number: usize, start: Start) -> Reader {
    log.reader(&filter(number), start).unwrap()
}

#[test]
fn what_only_readers_hold_counts_until_they_release_it() {
    let log = log(Config::default().history_bytes(2 * MIB));
    let mut held = Vec::new();
    for number in 0..5 {
        publish(&log, "h.1", MIB);
        let mut reader = log_reader(&log, number, Start::Last(1));
        held.extend(take(&mut reader));
    }
    let stats = log.stats();
    assert!(stats.history_bytes <= 2 * MIB);
    assert!(
        (4 * MIB..5 * MIB).contains(&stats.unread_bytes),
        "{stats:?}"
    );
    let part = held[0].bytes().slice(..10);
    drop(held);
    let unread = log.stats().unread_bytes;
    assert!((MIB..2 * MIB).contains(&unread), "a part holds all of it");
    drop(part);
    assert_eq!(log.stats().unread_bytes, 0);
}

#[test]
fn a_large_event_counts_once_for_all_feeds_and_not_if_the_history_has_it() {
    for (history_bytes, in_feeds) in [(64 * MIB, 0), (64 << 10, 3 * MIB)] {
        let log = log(Config::default().history_bytes(history_bytes));
        let mut live: Vec<_> = (0..20).map(|n| log_reader(&log, n, Start::Live)).collect();
        for _ in 0..3 {
            publish(&log, "h.1", MIB);
        }
        let feed_bytes = log.stats().feed_bytes;
        let expected = in_feeds..in_feeds + MIB / 8;
        assert!(expected.contains(&feed_bytes), "{feed_bytes} bytes");
        let held: Vec<_> = live.iter_mut().flat_map(take).collect();
        assert_eq!(log.stats().unread_bytes, 0, "feeds or history have them");
        drop(live);
        // This drops the feeds and nothing of the history.
        log.shed(0);
        let unread = if in_feeds > 0 { MIB } else { 0 };
        let range = unread..unread + MIB / 8;
        assert!(range.contains(&log.stats().unread_bytes), "{history_bytes}");
        drop(held);
        assert_eq!((log.stats().unread_bytes, log.stats().feed_bytes), (0, 0));
    }
}

#[test]
fn large_events_that_only_readers_hold_count_however_many_feeds_have_newer_ones() {
    let config = Config::default().history_bytes(2 * MIB);
    let log = log(config.feed_bytes(2 * MIB));
    let mut live: Vec<_> = (0..20).map(|n| log_reader(&log, n, Start::Live)).collect();
    let mut held = Vec::new();
    for _ in 0..8 {
        publish(&log, "h.1", MIB);
        held.extend(live.iter_mut().flat_map(take));
    }
    // One is in the history and in the feeds.
    let stats = log.stats();
    let only_held = 7 * MIB..7 * MIB + MIB / 2;
    assert!(only_held.contains(&stats.unread_bytes), "{stats:?}");
    drop(held);
    assert_eq!(log.stats().unread_bytes, 0);
}

#[test]
fn open_batches_and_other_encodings_are_counted() {
    let log = log(Config::default());
    let mut reader = log_reader(&log, 0, Start::Live);
    publish(&log, "h.1", 1_000);
    let batches = take(&mut reader);
    publish(&log, "h.1", 1_000);
    let before = log.budget().used();
    let long = Encoding::new("long", |_, _| Bytes::from(vec![0; MIB]));
    assert_eq!(reader.encoded(&batches[0], long).len(), MIB);
    publish(&log, "h.1", 10_000);
    let grown = log.budget().used() - before;
    assert!((MIB + 8_000..MIB + MIB / 8).contains(&grown), "{grown}");
}

#[test]
fn cached_reads_and_small_batches_of_feeds_are_not_unread() {
    let log = log(Config::default().history_bytes(MIB));
    let mut reader = log_reader(&log, 0, Start::Live);
    let mut held = Vec::new();
    for _ in 0..100 {
        publish(&log, "h.1", 1_000);
        held.extend(take(&mut reader));
    }
    let mut past = log_reader(&log, 1, Start::Earliest);
    held.extend(take(&mut past));
    assert_eq!(log.stats().unread_bytes, 0);
    let allocated: usize = held.iter().map(Batch::allocated).sum();
    assert!(log.stats().feed_bytes >= allocated);
    drop((reader, past));
    log.shed(0);
    assert_eq!(log.stats().unread_bytes, allocated);
}

#[test]
fn batches_of_small_events_count_for_each_reader() {
    let log = log(Config::default());
    for _ in 0..100 {
        publish(&log, "h.2", 1_000);
    }
    let mut readers: Vec<_> = (0..8)
        .map(|number| log_reader(&log, number, Start::Last(100)))
        .collect();
    let held: Vec<_> = readers.iter_mut().flat_map(take).collect();
    let allocated: usize = held.iter().map(Batch::allocated).sum();
    assert_eq!(log.stats().unread_bytes, allocated);
    drop(held);
    assert_eq!(log.stats().unread_bytes, 0);
}

#[test]
fn feeds_without_readers_go_first_then_the_oldest_history() {
    let log = log(Config::default().history_bytes(2 * MIB));
    let mut reader = log_reader(&log, 0, Start::Live);
    let idle = log_reader(&log, 1, Start::Live);
    for _ in 0..100 {
        publish(&log, "h.1", 10_000);
    }
    drop(idle);
    let before = log.stats();
    assert_eq!(before.feeds, 2);
    let shed = log.shed(1);
    let after = log.stats();
    assert!(shed.feed_bytes > 500_000, "{shed:?}");
    assert_eq!((shed.history_bytes, after.feeds), (0, 1));
    assert_eq!(before.history_bytes, after.history_bytes);
    assert_eq!(take(&mut reader)[0].first_seq(), 1);

    let used = log.budget().used();
    let shed = log.shed(300_000);
    assert!(shed.history_bytes >= 300_000, "{shed:?}");
    assert!(log.budget().used() <= used - 300_000);
    let mut late = log_reader(&log, 2, Start::Earliest);
    let first = take(&mut late)[0].first_seq();
    assert!(first > 1, "the oldest events are gone");

    drop((reader, late));
    log.shed(usize::MAX);
    assert_eq!(log.stats().history_events, 0);
    let idle = log.budget().used();
    publish(&log, "h.1", 10);
    assert!(log.budget().used() > idle, "the log goes on");
}

#[test]
fn the_history_never_grows_beyond_the_limit_of_all_memory() {
    let log = log(Config::default().memory_bytes(16 * MIB));
    for bytes in [MIB, 1_000] {
        for _ in 0..40 * MIB / bytes {
            publish(&log, "h.1", bytes);
            assert!(log.budget().used() <= 16 * MIB);
        }
    }
    assert!(log.budget().used() > 12 * MIB);
    assert!(log.shed(0).history_bytes > 60 * MIB, "it is reported once");
    assert_eq!(log.shed(0).history_bytes, 0);
}
