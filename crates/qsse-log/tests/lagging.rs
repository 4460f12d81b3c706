//! Readers that lag in a log with a storage, and starts that only the storage can find.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use qsse_log::{Acknowledge, Config, Log, NewEvent, Now, OnLag, Reader, Start, Step};
use qsse_proto::EventId;
use qsse_proto::stream::{Gap, GapReason, Outcome};
use qsse_topic::TopicRef;
use support::{EPOCH, Fault, Faulty, Memory, Shared};
use tokio::task::yield_now;

/// A log with almost nothing in memory, so that a reader that is not live reads the storage.
async fn start(storage: &Arc<Faulty>, acknowledge: Acknowledge) -> Log {
    let config = Config::default().history_events(1).feed_bytes(4 << 10);
    let shared = Arc::new(Shared(Arc::clone(storage)));
    let log = Log::stored(shared, config.acknowledge(acknowledge), Now::default());
    let keeper = log.clone();
    tokio::spawn(async move { keeper.run_group_commit(Now::default).await });
    log.room().await;
    log
}

fn push(log: &Log, topic: &str) {
    let event = NewEvent::new(TopicRef::new(topic).unwrap(), &[7; 100]);
    log.append(Now::default(), event).unwrap();
}

/// Publishes and stores events on `a` and `b` in turn.
async fn publish(log: &Log, count: usize) {
    for n in 0..count {
        push(log, ["a", "b"][n % 2]);
    }
    log.flush().await.unwrap();
}

async fn open(log: &Log, start: Start, on_lag: OnLag) -> Reader {
    log.open(&"*".parse().unwrap(), start, on_lag)
        .await
        .unwrap()
}

/// Reads to the end. Returns the gaps and the seqs.
async fn read(reader: &mut Reader) -> (Vec<Gap>, Vec<u64>) {
    let (mut gaps, mut seqs, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match reader.step(4 << 10, &mut batches) {
            Step::Idle(_) => return (gaps, seqs),
            Step::Gap(gap) => {
                assert!(seqs.last().is_none_or(|last| *last <= gap.after));
                gaps.push(gap);
            }
            Step::Stored => reader.fetch(4 << 10).await,
            Step::Batches => assert!(!batches.is_empty(), "it says that there are some"),
            Step::Looking => assert!(batches.is_empty(), "it says that there are none"),
            step => panic!("{step:?}"),
        }
        for batch in batches.drain(..) {
            seqs.extend(batch.iter().map(|event| event.seq()));
        }
    }
}

/// A reader that was live and then fell out of its feed, with 1,000 events after it.
async fn lagging(on_lag: OnLag) -> (Log, Reader) {
    let log = start(&Faulty::new(Memory::default()), Acknowledge::Synced).await;
    let mut reader = open(&log, Start::Live, on_lag).await;
    assert_eq!(reader.on_lag(), on_lag);
    assert_eq!(read(&mut reader).await, (vec![], vec![]));
    assert!(!reader.is_lagging() && !reader.has_fallen_behind());
    publish(&log, 1_000).await;
    (log, reader)
}

fn gap(after: u64, to: u64, reason: GapReason) -> Gap {
    Gap {
        after,
        to,
        at_most: to - after,
        reason,
    }
}

#[tokio::test]
async fn one_that_catches_up_misses_nothing() {
    let (_log, mut reader) = lagging(OnLag::CatchUp).await;
    assert_eq!(reader.step(1, &mut Vec::new()), Step::Stored);
    assert!(reader.is_lagging() && reader.has_fallen_behind());
    assert_eq!(read(&mut reader).await, (vec![], (1..=1_000).collect()));
    assert!(!reader.has_fallen_behind());
}

#[tokio::test]
async fn one_that_skips_goes_on_with_what_is_new() {
    let (log, mut reader) = lagging(OnLag::Skip).await;
    let gaps = vec![gap(0, 1_000, GapReason::Skipped)];
    assert_eq!(read(&mut reader).await, (gaps, vec![]));
    publish(&log, 1).await;
    assert_eq!(read(&mut reader).await, (vec![], vec![1_001]));
}

#[tokio::test]
async fn one_that_wants_the_latest_gets_the_last_of_each_topic_that_it_missed() {
    let (log, mut reader) = lagging(OnLag::Latest).await;
    let gaps = vec![gap(0, 1_000, GapReason::Latest)];
    assert_eq!(read(&mut reader).await, (gaps, vec![999, 1_000]));
    // It has missed nothing on `b`.
    for _ in 0..1_000 {
        push(&log, "a");
    }
    log.flush().await.unwrap();
    let gaps = vec![gap(1_000, 2_000, GapReason::Latest)];
    assert_eq!(read(&mut reader).await, (gaps, vec![2_000]));
    publish(&log, 2).await;
    assert_eq!(read(&mut reader).await, (vec![], vec![2_001, 2_002]));
}

#[tokio::test]
async fn one_that_begins_in_the_past_has_not_fallen_behind() {
    let (log, _) = lagging(OnLag::Skip).await;
    for on_lag in [OnLag::Skip, OnLag::Latest, OnLag::Disconnect] {
        let mut reader = open(&log, Start::Earliest, on_lag).await;
        assert_eq!(reader.step(1, &mut Vec::new()), Step::Stored);
        assert!(reader.is_lagging() && !reader.has_fallen_behind());
        assert_eq!(read(&mut reader).await.1.len(), 1_000, "{on_lag:?}");
    }
}

#[tokio::test]
async fn the_last_events_of_each_topic_come_from_the_storage() {
    let (log, _) = lagging(OnLag::Skip).await;
    push(&log, "c");
    log.flush().await.unwrap();
    for (last, seqs) in [
        (1, vec![999, 1_000, 1_001]),
        (2, vec![997, 998, 999, 1_000, 1_001]),
    ] {
        let mut reader = open(&log, Start::Last(last), OnLag::Skip).await;
        assert_eq!(reader.outcome(), Outcome::Resumed);
        let before = seqs.first().map_or(1_001, |first| first - 1);
        assert_eq!(reader.started(), EventId::new(EPOCH, before), "last {last}");
        assert_eq!(read(&mut reader).await, (vec![], seqs), "last {last}");
        assert_eq!(reader.position(), EventId::new(EPOCH, 1_001));
    }
    // Events that are published meanwhile follow.
    let mut reader = open(&log, Start::Last(1), OnLag::Skip).await;
    publish(&log, 3).await;
    let all = (vec![], vec![999, 1_000, 1_001, 1_002, 1_003, 1_004]);
    assert_eq!(read(&mut reader).await, all);
}

#[tokio::test]
async fn what_was_shown_and_is_not_written_yet_is_waited_for() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage, Acknowledge::Memory).await;
    storage.set("append", Fault::Hang);
    (0..101).for_each(|_| push(&log, "a"));
    assert_eq!(log.visible().seq(), 101);

    let mut readers = Vec::new();
    for (start, first) in [
        (Start::Earliest, 1),
        (Start::After(EventId::new(EPOCH, 1)), 2),
    ] {
        let mut reader = open(&log, start, OnLag::CatchUp).await;
        assert_eq!(reader.step(1, &mut Vec::new()), Step::Stored);
        let mut fetched = Box::pin(reader.find(1 << 20));
        let early = tokio::time::timeout(Duration::from_millis(20), &mut fetched).await;
        assert!(early.is_err(), "it is not there yet");
        readers.push((reader, fetched, first));
    }

    let last = tokio::spawn({
        let log = log.clone();
        async move { open(&log, Start::Last(3), OnLag::CatchUp).await }
    });
    for _ in 0..20 {
        yield_now().await;
    }
    assert!(!last.is_finished(), "the last events are not there yet");

    storage.clear("append");
    for (mut reader, fetched, first) in readers {
        let found = fetched.await;
        reader.take_up(found);
        assert_eq!(read(&mut reader).await, (vec![], (first..=101).collect()));
    }
    let mut last = last.await.unwrap();
    assert_eq!(read(&mut last).await, (vec![], vec![99, 100, 101]));
}

#[tokio::test]
async fn seqs_are_reserved_before_they_run_out() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage, Acknowledge::Memory).await;
    for _ in 0..32 {
        (0..1_000).for_each(|_| push(&log, "a"));
        log.flush().await.unwrap();
    }
    storage.set("reserve", Fault::Hang);
    (0..1_000).for_each(|_| push(&log, "a"));
    let begun = storage.begun("reserve", 2);
    let begun = tokio::time::timeout(Duration::from_secs(20), begun).await;
    begun.expect("half of the first 65,536 are left");
    // What was reserved before can be used meanwhile.
    push(&log, "a");
}
