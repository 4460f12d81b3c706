//! Groups that wait a moment for their publishers: on any clock, and never for long.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use qsse_log::{Config, Log, NewEvent, Now};
use qsse_topic::TopicRef;
use support::{Fault, Faulty, Memory, Shared};
use tokio::time::Instant;

/// Runs a test on a paused clock, in a thread of its own: a loop that never lets the clock advance
/// could not be timed out from within.
fn on_a_paused_clock<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(test());
        done.send(()).unwrap();
    });
    let ended = ended.recv_timeout(Duration::from_secs(30));
    ended.expect("it ends, and the clock moves");
}

fn start(faulty: &Arc<Faulty>) -> Log {
    let storage = Arc::new(Shared(Arc::clone(faulty)));
    let log = Log::stored(storage, Config::default(), Now::default());
    let (keeper, began) = (log.clone(), Instant::now());
    let now = move || Now {
        monotonic: began.elapsed(),
        ..Now::default()
    };
    tokio::spawn(async move { keeper.run_group_commit(now).await });
    log
}

/// Publishes one event in each of `count` tasks, and waits for all.
async fn publish(log: &Log, count: usize) {
    let publish = |_| {
        let log = log.clone();
        tokio::spawn(async move {
            let receipt = {
                let mut appender = log.appender(Now::default());
                let topic = TopicRef::new("a").unwrap();
                appender.push(NewEvent::new(topic, b"x")).unwrap();
                appender.receipt()
            };
            receipt.stored().await.unwrap();
        })
    };
    for task in (0..count).map(publish).collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[test]
fn a_group_that_waits_for_more_publishers_lets_a_paused_clock_move() {
    on_a_paused_clock(async || {
        let storage = Faulty::new(Memory::default());
        for micros in [300, 4_000, 50_000] {
            let log = start(&storage);
            storage.set("append", Fault::Slow(Duration::from_micros(micros)));
            publish(&log, 4).await;
            // One publisher returns where four were expected.
            publish(&log, 1).await;
            publish(&log, 4).await;
        }
    });
}

#[test]
fn a_storage_that_hung_once_does_not_hold_back_the_next_group() {
    on_a_paused_clock(async || {
        let storage = Faulty::new(Memory::default());
        let log = start(&storage);
        storage.set("append", Fault::Slow(Duration::from_secs(30)));
        publish(&log, 4).await;
        storage.clear("append");
        let began = Instant::now();
        publish(&log, 1).await;
        let took = began.elapsed();
        assert!(took < Duration::from_millis(100), "it took {took:?}");
    });
}

/// Lets publishers continue as soon as each is acknowledged. Returns how long it takes.
async fn publish_in_turns(log: &Log, publishers: u64, turns: u32) -> Duration {
    let publishers = (0..publishers).map(|n| {
        let log = log.clone();
        tokio::spawn(async move {
            for _ in 0..turns {
                // Some return a little later than others.
                tokio::time::sleep(Duration::from_micros(700 * n)).await;
                publish(&log, 1).await;
            }
        })
    });
    let began = Instant::now();
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    began.elapsed()
}

#[test]
fn publishers_that_come_back_are_written_together() {
    on_a_paused_clock(async || {
        for publishers in [2, 4] {
            let storage = Faulty::new(Memory::default());
            let log = start(&storage);
            storage.set("append", Fault::Slow(Duration::from_millis(10)));
            let took = publish_in_turns(&log, publishers, 50).await;
            // Two halves that take turns would need 20 ms for each turn.
            assert!(took < Duration::from_millis(50 * 15), "it took {took:?}");
            assert!(took > Duration::from_millis(50 * 10), "it took {took:?}");
        }
    });
}

/// If one of two publishers does not return, the other waits in vain, but not each time.
#[test]
fn waiting_in_vain_becomes_rare() {
    on_a_paused_clock(async || {
        let storage = Faulty::new(Memory::default());
        let log = start(&storage);
        storage.set("append", Fault::Slow(Duration::from_millis(10)));
        publish(&log, 4).await;
        let (began, rounds) = (Instant::now(), 200);
        for _ in 0..rounds {
            publish(&log, 1).await;
        }
        let waited = began.elapsed() - rounds * Duration::from_millis(10);
        assert!(waited < Duration::from_millis(60), "{waited:?}");
        // Once the others have returned they are waited for again.
        let took = publish_in_turns(&log, 4, 150).await;
        assert!(took < Duration::from_millis(150 * 16), "it took {took:?}");
    });
}
