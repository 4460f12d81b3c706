//! The receipts of publishers, while one group is written and the next one gathers.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use qsse_log::{
    Acknowledge, Appended, Config, Known, Log, NewEvent, Now, OnLag, PublishKey, Receipt, Start,
    Step, StorageError,
};
use qsse_proto::EventId;
use qsse_topic::{Filter, TopicRef};
use support::{Fault, Faulty, Memory, Shared};
use tokio::task::JoinHandle;

fn start(faulty: &Arc<Faulty>) -> Log {
    let storage = Arc::new(Shared(Arc::clone(faulty)));
    let log = Log::stored(storage, Config::default(), Now::default());
    let keeper = log.clone();
    tokio::spawn(async move { keeper.run_group_commit(Now::default).await });
    log
}

fn event(topic: &str) -> NewEvent<'_> {
    NewEvent::new(TopicRef::new(topic).unwrap(), b"x")
}

fn push(log: &Log) -> (EventId, Receipt) {
    let mut appender = log.appender(Now::default());
    (appender.push(event("a")).unwrap(), appender.receipt())
}

/// Pushes an event, unless the storage is behind.
fn try_push(log: &Log, topic: &str) -> Option<Receipt> {
    let mut appender = log.appender(Now::default());
    appender.ready().ok()?;
    appender.push(event(topic)).unwrap();
    Some(appender.receipt())
}

/// Lets the tasks that can continue do so.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, future)
        .await
        .expect("it came in time")
}

type Stored = JoinHandle<Result<(), StorageError>>;

/// Creates two groups of one event each: the first is being written, the second gathers.
async fn two_groups(storage: &Arc<Faulty>, log: &Log) -> [(EventId, Stored); 2] {
    storage.set("append", Fault::Hang);
    let (first, kept_first) = push(log);
    storage.begun("append", 1).await;
    let (second, kept_second) = push(log);
    [
        (first, tokio::spawn(kept_first.stored())),
        (second, tokio::spawn(kept_second.stored())),
    ]
}

#[tokio::test]
async fn a_repeated_key_is_acknowledged_no_earlier_than_the_group_that_is_being_written() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage);
    let [(first, kept), (second, _)] = two_groups(&storage, &log).await;
    let appender = log.appender(Now::default());
    let receipts = [first, second].map(|id| tokio::spawn(appender.receipt_of(id).stored()));
    drop(appender);
    settle().await;
    assert!(receipts.iter().all(|receipt| !receipt.is_finished()));
    storage.pass("append");
    soon(kept).await.unwrap().unwrap();
    let [first, second] = receipts;
    soon(first).await.unwrap().unwrap();
    settle().await;
    assert!(!second.is_finished(), "the second group is not written");
    storage.pass("append");
    soon(second).await.unwrap().unwrap();
}

#[tokio::test]
async fn all_that_was_taken_is_promised_with_the_newest_group() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage);
    let of_all = || log.appender(Now::default()).receipt_of_all();
    soon(of_all().stored()).await.unwrap();
    storage.set("append", Fault::Hang);
    let (_, first) = push(&log);
    storage.begun("append", 1).await;
    let written = tokio::spawn(of_all().stored());
    let (_, second) = push(&log);
    let gathered = tokio::spawn(of_all().stored());
    settle().await;
    assert!(!written.is_finished() && !gathered.is_finished());
    storage.pass("append");
    soon(first.stored()).await.unwrap();
    soon(written).await.unwrap().unwrap();
    settle().await;
    assert!(!gathered.is_finished(), "the second group is not written");
    storage.pass("append");
    soon(second.stored()).await.unwrap();
    soon(gathered).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_promised_in_memory_is_there_already() {
    let storage = Faulty::new(Memory::default());
    let config = Config::default().acknowledge(Acknowledge::Memory);
    let shared = Arc::new(Shared(Arc::clone(&storage)));
    let log = Log::stored(shared, config, Now::default());
    let keeper = log.clone();
    tokio::spawn(async move { keeper.run_group_commit(Now::default).await });
    soon(log.room()).await;
    storage.set("append", Fault::Hang);
    let (id, receipt) = push(&log);
    storage.begun("append", 1).await;
    soon(receipt.stored()).await.unwrap();
    let appender = log.appender(Now::default());
    let receipts = [appender.receipt_of(id), appender.receipt_of_all()];
    drop(appender);
    for receipt in receipts {
        soon(receipt.stored()).await.unwrap();
    }
}

#[tokio::test]
async fn a_flush_waits_for_both_groups() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage);
    let [(_, first), (_, second)] = two_groups(&storage, &log).await;
    let flush = tokio::spawn({
        let log = log.clone();
        async move { log.flush().await }
    });
    storage.pass("append");
    soon(first).await.unwrap().unwrap();
    settle().await;
    assert!(!flush.is_finished(), "the second group is not written");
    storage.pass("append");
    soon(flush).await.unwrap().unwrap();
    assert!(second.is_finished());
}

#[tokio::test]
async fn a_close_waits_for_what_is_being_stored() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage);
    let [(_, first), (_, second)] = two_groups(&storage, &log).await;
    let close = tokio::spawn({
        let log = log.clone();
        async move { log.close().await }
    });
    for group in [first, second] {
        settle().await;
        assert!(!close.is_finished() && !group.is_finished());
        storage.pass("append");
        soon(group).await.unwrap().unwrap();
    }
    soon(close).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_close_waits_for_what_comes_meanwhile_too() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage);
    storage.set("append", Fault::Hang);
    let (_, first) = push(&log);
    storage.begun("append", 1).await;
    let close = tokio::spawn({
        let log = log.clone();
        async move { log.close().await }
    });
    settle().await;
    let (_, second) = push(&log);
    storage.pass("append");
    soon(first.stored()).await.unwrap();
    storage.begun("append", 2).await;
    settle().await;
    assert!(!close.is_finished(), "the second group is not written");
    storage.pass("append");
    soon(second.stored()).await.unwrap();
    soon(close).await.unwrap().unwrap();
}

#[tokio::test]
async fn keys_of_a_publish_to_many_topics_go_with_its_own_group() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage);
    let key = |text: &'static str| PublishKey::new([0; 16], text.as_bytes());
    let publish = |text| {
        let mut appender = log.appender(Now::default());
        let first = appender.push(event("a")).unwrap();
        let last = appender.push(event("b")).unwrap();
        appender.remember(key(text), Some(Appended { first, last }));
        appender.receipt()
    };
    let known = |text| {
        let appender = log.appender(Now::default());
        appender.look_up_matching(&key(text), None) != Known::New
    };
    storage.set("append", Fault::Hang);
    let first = publish("first");
    storage.begun("append", 1).await;
    let second = publish("second");
    storage.pass("append");
    soon(first.stored()).await.unwrap();
    // Only the second group fails.
    storage.begun("append", 2).await;
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    storage.set("append", Fault::Fail(StorageError::Full(Arc::new(full))));
    soon(second.stored()).await.unwrap_err();
    assert!(known("first"), "it was taken, and must not be taken twice");
    assert!(!known("second"), "it was not taken, and may be");
}

#[tokio::test]
async fn keys_of_a_group_that_fails_are_free_also_behind_another() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage);
    let key = PublishKey::new([0; 16], &b"many"[..]);
    storage.set("append", Fault::Hang);
    let receipt = {
        let mut appender = log.appender(Now::default());
        let first = appender.push(event("a")).unwrap();
        let last = appender.push(event("b")).unwrap();
        appender.remember(key.clone(), Some(Appended { first, last }));
        appender.receipt()
    };
    storage.begun("append", 1).await;
    // A single event after it, without a key.
    let (_, behind) = push(&log);
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    storage.set("append", Fault::Fail(StorageError::Full(Arc::new(full))));
    soon(receipt.stored()).await.unwrap_err();
    soon(behind.stored()).await.unwrap_err();
    let known = log.appender(Now::default()).look_up_matching(&key, None);
    assert_eq!(known, Known::New);
}

/// Several threads append, one writes groups, and others read: nothing is missing, and nothing
/// comes twice or out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_of_other_threads_see_each_event_once_and_in_order() {
    const EACH: u64 = 3_000;
    const THREADS: u64 = 4;
    for stored in [true, false] {
        let log = if stored {
            start(&Faulty::new(Memory::default()))
        } else {
            Log::new(support::EPOCH, Config::default())
        };
        let filters = ["*", "t.*", "t.1"];
        let mut readers = Vec::new();
        for (n, text) in filters.iter().cycle().take(9).enumerate() {
            let filter: Filter = text.parse().unwrap();
            let start = if n % 2 == 0 {
                Start::Live
            } else {
                Start::Earliest
            };
            let mut reader = log.open(&filter, start, OnLag::CatchUp).await.unwrap();
            let expected = if *text == "t.1" { EACH } else { EACH * THREADS };
            readers.push(tokio::spawn(async move {
                let (mut seqs, mut batches) = (Vec::new(), Vec::new());
                while (seqs.len() as u64) < expected {
                    match reader.step(1 << 16, &mut batches) {
                        Step::Idle(_) => reader.ready().await,
                        Step::Stored => reader.fetch(1 << 16).await,
                        Step::Batches | Step::Looking => {}
                        other => panic!("{other:?}"),
                    }
                    let events = std::mem::take(&mut batches);
                    seqs.extend(
                        events
                            .iter()
                            .flat_map(|batch| batch.iter())
                            .map(|e| e.seq()),
                    );
                    // An idle reader has seen everything that was visible before.
                    let position = reader.position().seq();
                    assert!(seqs.last().is_none_or(|last| *last <= position));
                }
                assert!(seqs.is_sorted_by(|a, b| a < b), "each once, in order");
                assert_eq!(seqs.len() as u64, expected);
            }));
        }
        let publishers: Vec<_> = (0..THREADS)
            .map(|n| {
                let log = log.clone();
                tokio::spawn(async move {
                    let topic = format!("t.{n}");
                    for _ in 0..EACH {
                        let receipt = loop {
                            match try_push(&log, &topic) {
                                Some(receipt) => break receipt,
                                None => log.room().await,
                            }
                        };
                        receipt.stored().await.unwrap();
                    }
                })
            })
            .collect();
        for task in publishers.into_iter().chain(readers) {
            soon(task).await.unwrap();
        }
        assert_eq!(log.visible().seq(), EACH * THREADS);
    }
}

/// A reader may report a position without events only if none up to there was shown meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_never_ahead_of_what_was_handed_out() {
    const EVENTS: u64 = 100_000;
    let log = Log::new(support::EPOCH, Config::default());
    let filter: Filter = "a".parse().unwrap();
    let mut reader = log
        .open(&filter, Start::Live, OnLag::CatchUp)
        .await
        .unwrap();
    let publisher = std::thread::spawn({
        let log = log.clone();
        move || {
            for _ in 0..EVENTS {
                log.append(Now::default(), event("a")).unwrap();
            }
        }
    });
    let (mut seen, mut batches) = (0, Vec::new());
    while seen < EVENTS {
        let step = reader.step(1 << 10, &mut batches);
        for batch in batches.drain(..) {
            assert_eq!(batch.first_seq(), seen + 1, "one was skipped");
            seen = batch.last_seq();
        }
        if let Step::Idle(position) = step {
            assert_eq!(position.seq(), seen, "the position is ahead");
        }
    }
    publisher.join().unwrap();
}
