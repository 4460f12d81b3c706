//! Storages that hang, fail or panic: all that wait for them get an answer.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use qsse_log::{
    Acknowledge, AppendError, Config, Log, NewEvent, Now, OnLag, Start, StartError, Step,
    StorageError,
};
use qsse_proto::batch::Batch;
use qsse_proto::{Epoch, EventId, Timestamp};
use qsse_topic::{Filter, TopicRef};
use support::{Fault, Faulty, Memory, Shared};

fn start(faulty: &Arc<Faulty>, acknowledge: Acknowledge) -> Log {
    let storage = Arc::new(Shared(Arc::clone(faulty)));
    let config = Config::default().acknowledge(acknowledge);
    let log = Log::stored(storage, config, Now::default());
    let keeper = log.clone();
    tokio::spawn(async move { keeper.run_group_commit(Now::default).await });
    log
}

fn at(seconds: u64) -> Now {
    Now {
        monotonic: Duration::from_secs(seconds),
        ..Now::default()
    }
}

#[tokio::test]
async fn a_storage_that_hangs_while_nothing_is_published_is_not_well() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage, Acknowledge::Synced);
    storage.set("retain", Fault::Hang);
    let retain = tokio::spawn({
        let log = log.clone();
        async move { log.retain(at(1)).await }
    });
    storage.begun("retain", 1).await;
    log.sweep(at(10));
    log.health().unwrap();
    log.sweep(at(11));
    let error = log.health().unwrap_err().to_string();
    assert!(error.contains("nothing for 10 s"), "{error}");
    storage.clear("retain");
    retain.await.unwrap();
    log.sweep(at(12));
    log.health().unwrap();

    let storage = Faulty::new(Memory::default());
    storage.set("reserve", Fault::Hang);
    let log = start(&storage, Acknowledge::Memory);
    storage.begun("reserve", 1).await;
    log.sweep(at(11));
    log.health().unwrap_err();
    storage.clear("reserve");
    log.room().await;
    log.sweep(at(12));
    log.health().unwrap();
}

#[tokio::test]
async fn each_group_has_10_s() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage, Acknowledge::Synced);
    storage.set("append", Fault::Hang);
    let push = || {
        let event = NewEvent::new(TopicRef::new("a").unwrap(), b"x");
        log.append(at(0), event).unwrap();
    };
    push();
    storage.begun("append", 1).await;
    log.sweep(at(1));
    push();
    log.sweep(at(10));
    log.health().unwrap();
    storage.pass("append");
    storage.begun("append", 2).await;
    log.sweep(at(12));
    log.sweep(at(21));
    log.health().expect("the second group has waited for 9 s");
    log.sweep(at(22));
    log.health().unwrap_err();
}

#[tokio::test]
async fn events_that_nobody_gives_to_the_storage_are_noticed() {
    let storage = Faulty::new(Memory::default());
    let shared = Arc::new(Shared(Arc::clone(&storage)));
    let log = Log::stored(shared, Config::default(), at(0));
    log.sweep(at(5));
    let event = NewEvent::new(TopicRef::new("a").unwrap(), b"x");
    log.append(at(5), event).unwrap();
    for seconds in [6, 15] {
        log.sweep(at(seconds));
        log.health().unwrap();
    }
    log.sweep(at(16));
    log.health().unwrap_err();
}

#[tokio::test]
async fn retention_that_fails_once_is_tried_again_and_publishing_goes_on() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage, Acknowledge::Synced);
    let other = |text: &'static str| Arc::new(std::io::Error::other(text));
    storage.set("retain", Fault::Fail(StorageError::Failed(other("busy"))));
    log.retain(at(1)).await;
    log.appender(at(1)).ready().unwrap();
    publish(&log).await.unwrap();
    storage.set("retain", Fault::Fail(StorageError::Ended(other("gone"))));
    log.retain(at(2)).await;
    let refused = log.appender(at(2)).ready().unwrap_err();
    assert!(refused.to_string().contains("gone"), "{refused}");
}

/// Publishes an event and waits for its receipt.
async fn publish(log: &Log) -> Result<u64, StorageError> {
    let (id, receipt) = {
        let mut appender = log.appender(Now::default());
        appender.ready().map_err(|error| match error {
            AppendError::Storage(error) => error,
            other => panic!("{other}"),
        })?;
        let topic = TopicRef::new("a").unwrap();
        let id = appender.push(NewEvent::new(topic, b"x")).unwrap();
        (id.seq(), appender.receipt())
    };
    receipt.stored().await.map(|()| id)
}

/// Awaits a future, for a time that is too short only if it hangs.
async fn soon<F: Future>(future: F) -> F::Output {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, future)
        .await
        .expect("it came in time")
}

#[tokio::test]
async fn a_storage_that_panics_is_told_to_all_who_wait_and_is_not_well() {
    for call in ["append", "reserve", "retain"] {
        let storage = Faulty::new(Memory::default());
        let acknowledge = match call {
            "reserve" => Acknowledge::Written,
            _ => Acknowledge::Synced,
        };
        storage.set("append", Fault::Hang);
        storage.set("reserve", Fault::Hang);
        let log = start(&storage, acknowledge);
        let spawn = |log: &Log| {
            let log = log.clone();
            tokio::spawn(async move { publish(&log).await })
        };
        let first = spawn(&log);
        storage
            .begun(if call == "reserve" { call } else { "append" }, 1)
            .await;
        // After the group that is being written.
        let second = spawn(&log);
        let flushed = tokio::spawn({
            let log = log.clone();
            async move { log.flush().await }
        });
        while log.stats().head < 2 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        if call == "retain" {
            storage.set("retain", Fault::Panic);
            soon(log.retain(at(1))).await;
            storage.clear("append");
            soon(first).await.unwrap().unwrap();
        } else {
            storage.set(call, Fault::Panic);
            assert!(soon(first).await.unwrap().unwrap_err().is_final());
        }
        let error = soon(second).await.unwrap().unwrap_err();
        assert!(
            error.is_final() && error.to_string().contains("panic"),
            "{call}: {error}"
        );
        assert!(soon(flushed).await.unwrap().is_err());
        soon(log.room()).await;
        assert!(soon(publish(&log)).await.unwrap_err().is_final());
        assert!(log.health().is_err(), "{call}");
    }
}

#[tokio::test]
async fn a_storage_that_panics_when_it_is_asked_for_its_health_is_not_well() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage, Acknowledge::Synced);
    storage.set("health", Fault::Panic);
    let error = log.health().unwrap_err().to_string();
    assert!(error.contains("health of the storage panics"), "{error}");
    soon(publish(&log)).await.unwrap();
    storage.clear("health");
    log.health().unwrap();
}

#[tokio::test]
async fn a_close_waits_also_for_what_is_published_while_it_waits() {
    let storage = Faulty::new(Memory::default());
    storage.set("append", Fault::Hang);
    let log = start(&storage, Acknowledge::Synced);
    let spawn = || {
        let log = log.clone();
        tokio::spawn(async move { publish(&log).await })
    };
    let first = spawn();
    storage.begun("append", 1).await;
    let closing = tokio::spawn({
        let log = log.clone();
        async move { log.close().await }
    });
    // It waits for the group that is being written before the next one gathers.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let second = spawn();
    while log.stats().head < 2 {
        tokio::task::yield_now().await;
    }
    storage.pass("append");
    soon(first).await.unwrap().unwrap();
    soon(storage.begun("append", 2)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!closing.is_finished());
    storage.pass("append");
    soon(second).await.unwrap().unwrap();
    soon(closing).await.unwrap().unwrap();
    soon(storage.begun("close", 1)).await;
    assert!(soon(publish(&log)).await.unwrap_err().is_final());
}

#[tokio::test]
async fn when_nobody_keeps_any_more_all_who_wait_are_told() {
    let storage = Faulty::new(Memory::default());
    storage.set("append", Fault::Hang);
    let shared = Arc::new(Shared(Arc::clone(&storage)));
    let log = Log::stored(shared, Config::default(), Now::default());
    let keeper = log.clone();
    let keeping = tokio::spawn(async move { keeper.run_group_commit(Now::default).await });
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { publish(&log).await })
        })
        .collect();
    storage.begun("append", 1).await;
    // As if its runtime had ended or its task had panicked.
    keeping.abort();
    for publish in waiting {
        assert!(soon(publish).await.unwrap().unwrap_err().is_final());
    }
    soon(log.flush()).await.unwrap();
    assert!(log.health().is_err());
    assert!(soon(publish(&log)).await.unwrap_err().is_final());
}

#[tokio::test]
async fn a_read_that_panics_is_told_and_not_taken_for_nothing_there() {
    let storage = Faulty::new(Memory::default());
    let config = Config::default().history_bytes(0).feed_bytes(0);
    let shared = Arc::new(Shared(Arc::clone(&storage)));
    let log = Log::stored(shared, config, Now::default());
    let keeper = log.clone();
    tokio::spawn(async move { keeper.run_group_commit(Now::default).await });
    for _ in 0..3 {
        publish(&log).await.unwrap();
    }
    let filter: Filter = "*".parse().unwrap();
    for call in ["read", "tail", "seq_at"] {
        storage.set(call, Fault::Panic);
    }
    let open = async |start| soon(log.open(&filter, start, OnLag::CatchUp)).await;
    let since = Start::Since(Timestamp::default());
    for start in [Start::Last(2), since] {
        let error = open(start).await.err();
        assert!(
            matches!(error, Some(StartError::Unreadable { .. })),
            "{error:?}"
        );
    }
    let mut reader = open(Start::Earliest).await.unwrap();
    let mut batches = Vec::new();
    assert_eq!(reader.step(1 << 20, &mut batches), Step::Stored);
    soon(reader.fetch(1 << 20)).await;
    let step = reader.step(1 << 20, &mut batches);
    assert!(matches!(step, Step::Unreadable { .. }), "{step:?}");
    // The reader is where it was, and continues once the storage works.
    for call in ["read", "tail", "seq_at"] {
        storage.clear(call);
    }
    assert_eq!(reader.step(1 << 20, &mut batches), Step::Stored);
    soon(reader.fetch(1 << 20)).await;
    reader.step(1 << 20, &mut batches);
    let seqs: Vec<_> = batches.iter().flat_map(|batch| batch.iter()).collect();
    assert_eq!(seqs.len(), 3);
    assert!(log.health().is_ok(), "writing works");
}

/// A log with three events that are only in the storage.
async fn stored_only(storage: &Arc<Faulty>) -> Log {
    let config = Config::default().history_bytes(0).feed_bytes(0);
    let shared = Arc::new(Shared(Arc::clone(storage)));
    let log = Log::stored(shared, config, Now::default());
    let committing = log.clone();
    tokio::spawn(async move { committing.run_group_commit(Now::default).await });
    for _ in 0..3 {
        publish(&log).await.unwrap();
    }
    log
}

#[tokio::test]
async fn a_panic_while_topics_are_listed_is_an_error_and_hides_no_topic() {
    let storage = Faulty::new(Memory::default());
    let log = stored_only(&storage).await;
    let all = "*".parse().unwrap();
    storage.set("topics", Fault::Panic);
    let error = log
        .topics_matching(&all, usize::MAX)
        .unwrap_err()
        .to_string();
    assert!(error.contains("topics of the storage panics"), "{error}");
    storage.clear("topics");
    assert_eq!(log.topics_matching(&all, usize::MAX).unwrap().len(), 1);
    soon(publish(&log)).await.unwrap();
}

#[tokio::test]
async fn a_panic_while_the_oldest_event_is_looked_for_refuses_the_start() {
    let storage = Faulty::new(Memory::default());
    let log = stored_only(&storage).await;
    let filter: Filter = "*".parse().unwrap();
    storage.set("oldest", Fault::Panic);
    let unknown = EventId::new(Epoch::new(77), 1);
    for start in [Start::Earliest, Start::After(unknown)] {
        let error = log.reader(&filter, start).err();
        assert!(
            matches!(error, Some(StartError::Unreadable { .. })),
            "{error:?}"
        );
    }
    // The refused readers left the feed, and the lock is free.
    log.reader(&filter, Start::Live).unwrap();
    soon(publish(&log)).await.unwrap();
    soon(log.taken(log.visible().seq())).await;
    storage.clear("oldest");
    log.reader(&filter, Start::Earliest).unwrap();
}

#[tokio::test]
async fn a_panic_while_a_floor_is_looked_for_refuses_the_start() {
    let storage = Faulty::new(Memory::default());
    let log = stored_only(&storage).await;
    let filter: Filter = "*".parse().unwrap();
    storage.set("floor", Fault::Panic);
    let known = EventId::new(log.epoch(), 1);
    let since = Start::Since(Timestamp::default());
    for start in [Start::Earliest, Start::After(known), Start::Last(2), since] {
        let error = soon(log.open(&filter, start, OnLag::CatchUp)).await.err();
        assert!(
            matches!(error, Some(StartError::Unreadable { .. })),
            "{start:?}: {error:?}"
        );
    }
    storage.clear("floor");
    soon(log.open(&filter, Start::After(known), OnLag::CatchUp))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_panic_while_a_floor_is_looked_for_is_reported_by_the_next_step() {
    // The next events are in the storage.
    let storage = Faulty::new(Memory::default());
    let log = stored_only(&storage).await;
    let filter: Filter = "*".parse().unwrap();
    let mut batches = Vec::new();
    let mut reader = log.reader(&filter, Start::Earliest).unwrap();
    assert_eq!(reader.step(1 << 20, &mut batches), Step::Stored);
    storage.set("floor", Fault::Panic);
    soon(reader.fetch(1 << 20)).await;
    let step = reader.step(1 << 20, &mut batches);
    assert!(matches!(step, Step::Unreadable { .. }), "{step:?}");

    // The next events are in the history.
    let storage = Faulty::new(Memory::default());
    let log = start(&storage, Acknowledge::Synced);
    for _ in 0..3 {
        publish(&log).await.unwrap();
    }
    let mut reader = log.reader(&filter, Start::Earliest).unwrap();
    storage.set("floor", Fault::Panic);
    let step = reader.step(1 << 20, &mut batches);
    assert!(matches!(step, Step::Unreadable { .. }), "{step:?}");
    assert!(batches.is_empty());
    storage.clear("floor");
    assert_eq!(reader.step(1 << 20, &mut batches), Step::Batches);
    assert_eq!(batches.iter().map(Batch::count).sum::<u32>(), 3);
}
