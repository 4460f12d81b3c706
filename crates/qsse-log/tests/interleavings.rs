//! The log under a checker that switches threads at each lock and atomic: `cargo xtask interleave`
//! runs it.
//!
//! A lost wake-up leaves a thread waiting for ever, which the checker reports as a deadlock. It
//! treats every atomic operation as sequentially consistent, so it proves nothing about weaker
//! orderings.
#![cfg(shuttle)]
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use qsse_log::{
    Acknowledge, Appended, Config, Entry, Known, Log, NewEvent, Now, PublishKey, Reader, Recovered,
    Start, Step, Storage, StorageError, StoredEvents,
};
use qsse_proto::{Epoch, EventId, Timestamp};
use qsse_topic::{Filter, Topic, TopicRef};
use shuttle::future::{block_on, yield_now};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Mutex;
use shuttle::{Runner, thread};
use tokio::sync::Notify;

const EPOCH: Epoch = Epoch::new(9);

/// Interleavings of each test, unless the environment sets them. A mistake in the checked code
/// shows within a hundred.
const ITERATIONS: usize = 2_000;

/// Runs `test` in many interleavings, half of them with few switches at the worst places.
fn interleave(test: fn()) {
    let asked = std::env::var("SHUTTLE_ITERATIONS").ok();
    let iterations = asked.map_or(ITERATIONS, |count| count.parse().unwrap());
    let mut config = shuttle::Config::new();
    // It warns of each ordering that it strengthens.
    config.silence_warnings = true;
    config.stack_size = 1 << 18;
    Runner::new(RandomScheduler::new(iterations / 2), config.clone()).run(test);
    Runner::new(PctScheduler::new(3, iterations / 2), config).run(test);
}

fn topic(name: &str) -> TopicRef<'_> {
    TopicRef::new(name).unwrap()
}

fn append(log: &Log, name: &str) -> EventId {
    let event = NewEvent::new(topic(name), b"x");
    log.append(Now::default(), event).unwrap()
}

fn reader(log: &Log, filter: &str) -> Reader {
    log.reader(&filter.parse().unwrap(), Start::Live).unwrap()
}

/// Reads `count` events, waiting as a delivery does. Returns their seqs.
async fn read(reader: &mut Reader, count: usize) -> Vec<u64> {
    let mut batches = Vec::new();
    while batches
        .iter()
        .map(seqs)
        .map(|seqs| seqs.len())
        .sum::<usize>()
        < count
    {
        match reader.step(1 << 16, &mut batches) {
            Step::Batches | Step::Looking => {}
            Step::Idle(_) => reader.ready().await,
            other => panic!("nothing is lost here: {other:?}"),
        }
    }
    batches.iter().flat_map(seqs).collect()
}

fn seqs(batch: &qsse_proto::batch::Batch) -> Vec<u64> {
    batch.iter().map(|event| event.seq()).collect()
}

#[test]
fn a_reader_that_waits_hears_of_each_event() {
    interleave(|| {
        let log = Log::new(EPOCH, Config::default());
        let mut readers = [reader(&log, "a"), reader(&log, "a")];
        let publisher = thread::spawn(move || {
            append(&log, "a");
            append(&log, "a");
        });
        let [one, other] = &mut readers;
        let seqs = block_on(async {
            let one = read(one, 2).await;
            (one, read(other, 2).await)
        });
        assert_eq!(seqs, (vec![1, 2], vec![1, 2]));
        publisher.join().unwrap();
    });
}

#[test]
fn an_idle_reader_never_passes_an_event_that_is_being_appended() {
    interleave(|| {
        let log = Log::new(EPOCH, Config::default());
        let mut reader = reader(&log, "a");
        let publishers = ["a", "b", "a"].map(|name| {
            let log = log.clone();
            thread::spawn(move || append(&log, name).seq())
        });
        // Events that do not match move the position while the others are on their way.
        let mut read = block_on(read(&mut reader, 2));
        let [first, _, second] = publishers.map(|publisher| publisher.join().unwrap());
        read.sort_unstable();
        let published: BTreeSet<_> = [first, second].into();
        assert_eq!(read, Vec::from_iter(published));
    });
}

#[test]
fn a_reader_that_comes_gets_all_that_is_appended_later() {
    interleave(|| {
        let log = Log::new(EPOCH, Config::default());
        let publisher = {
            let log = log.clone();
            thread::spawn(move || {
                append(&log, "a");
                append(&log, "a");
            })
        };
        let mut reader = reader(&log, "a");
        let missing = 2 - reader.position().seq();
        let seqs = block_on(read(&mut reader, missing as usize));
        assert_eq!(seqs, Vec::from_iter(3 - missing..=2));
        publisher.join().unwrap();
    });
}

#[test]
fn who_paces_itself_goes_on_when_readers_have_taken_or_left() {
    interleave(|| {
        let log = Log::new(EPOCH, Config::default());
        let (mut stays, leaves) = (reader(&log, "a"), reader(&log, "a"));
        let readers = [
            thread::spawn(move || {
                block_on(read(&mut stays, 2));
                // The next step says that these were handled.
                while !matches!(stays.step(1, &mut Vec::new()), Step::Idle(_)) {}
            }),
            thread::spawn(move || drop(leaves)),
        ];
        for _ in 0..2 {
            let id = append(&log, "a");
            block_on(log.taken(id.seq()));
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// Stores seqs, and lets other threads run before and after.
struct Fake {
    kept: Mutex<BTreeSet<u64>>,
}

impl Fake {
    fn holds(&self, id: EventId) -> bool {
        self.kept.lock().unwrap().contains(&id.seq())
    }
}

#[async_trait]
impl Storage for Fake {
    fn recovered(&self) -> Recovered {
        Recovered::new(EPOCH)
    }

    async fn append(&self, entries: Vec<Entry>, _: Acknowledge) -> Result<(), StorageError> {
        yield_now().await;
        let batches = entries.iter().map(|entry| &entry.batch);
        self.kept.lock().unwrap().extend(batches.flat_map(seqs));
        yield_now().await;
        Ok(())
    }

    async fn reserve(&self, upto: u64) -> Result<u64, StorageError> {
        Ok(upto)
    }

    async fn read(
        &self,
        _: Filter,
        _: u64,
        upto: u64,
        _: usize,
    ) -> Result<StoredEvents, StorageError> {
        let mut stored = StoredEvents::default();
        stored.through = upto;
        Ok(stored)
    }

    fn topics(&self, _: &Filter, _: usize) -> Vec<Topic> {
        Vec::new()
    }

    fn floor(&self, _: &Filter, _: u64) -> u64 {
        0
    }

    fn oldest(&self) -> u64 {
        0
    }

    async fn seq_at(&self, _: Timestamp, _: Timestamp) -> Result<u64, StorageError> {
        Ok(1)
    }

    async fn tail(&self, _: Filter, _: u64, _: u64) -> Result<Vec<(Topic, u64)>, StorageError> {
        Ok(Vec::new())
    }

    async fn retain(&self, _: Now) -> Result<Vec<(Topic, u64)>, StorageError> {
        Ok(Vec::new())
    }

    async fn close(&self, _: u64) -> Result<(), StorageError> {
        Ok(())
    }

    fn health(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Runs `test` with a log whose group commit runs in a thread, and ends that thread.
fn with_storage(test: impl FnOnce(&Log, &Arc<Fake>)) {
    let storage = Arc::new(Fake {
        kept: Mutex::default(),
    });
    let log = Log::stored(Arc::clone(&storage) as _, Config::default(), Now::default());
    let done = Arc::new(Notify::new());
    let keeping = {
        let (log, done) = (log.clone(), Arc::clone(&done));
        thread::spawn(move || {
            // Each reading of the clock advances it, so that waiting for more events ends.
            let clock = AtomicU64::new(0);
            let now = || Now {
                monotonic: Duration::from_millis(clock.fetch_add(1, Ordering::Relaxed)),
                ..Now::default()
            };
            block_on(async {
                tokio::select! {
                    () = log.run_group_commit(now) => panic!("the storage is well"),
                    () = done.notified() => {}
                }
            });
        })
    };
    test(&log, &storage);
    done.notify_one();
    keeping.join().unwrap();
}

fn append_kept(log: &Log, name: &str) -> (EventId, qsse_log::Receipt) {
    let mut appender = log.appender(Now::default());
    appender.ready().unwrap();
    let id = appender.push(NewEvent::new(topic(name), b"x")).unwrap();
    (id, appender.receipt())
}

#[test]
fn what_is_acknowledged_is_stored_and_shown() {
    interleave(|| {
        with_storage(|log, storage| {
            let publishers = ["a", "b", "a"].map(|name| {
                let (log, storage) = (log.clone(), Arc::clone(storage));
                thread::spawn(move || {
                    let (id, receipt) = append_kept(&log, name);
                    block_on(receipt.stored()).unwrap();
                    assert!(storage.holds(id), "{id} is acknowledged and not stored");
                    assert!(log.visible() >= id, "{id} is acknowledged and not shown");
                })
            });
            for publisher in publishers {
                publisher.join().unwrap();
            }
        });
    });
}

#[test]
fn readers_see_each_event_once_it_is_stored_and_none_before() {
    interleave(|| {
        with_storage(|log, storage| {
            let mut reader = reader(log, "a");
            let publishers = ["a", "a"].map(|name| {
                let log = log.clone();
                thread::spawn(move || drop(append_kept(&log, name)))
            });
            for seq in 1..=2 {
                let mut batches = Vec::new();
                while batches.is_empty() && reader.position().seq() < seq {
                    if let Step::Idle(_) = reader.step(1, &mut batches) {
                        block_on(reader.ready());
                    }
                }
                for seq in batches.iter().flat_map(seqs) {
                    assert!(
                        storage.holds(EventId::new(EPOCH, seq)),
                        "{seq} is shown early"
                    );
                }
            }
            for publisher in publishers {
                publisher.join().unwrap();
            }
        });
    });
}

#[test]
fn a_flush_waits_for_the_group_behind_the_one_being_written() {
    interleave(|| {
        with_storage(|log, storage| {
            let (first, _) = append_kept(log, "a");
            let (second, _) = append_kept(log, "a");
            block_on(log.flush()).unwrap();
            assert!(storage.holds(first) && storage.holds(second));
            block_on(log.close()).unwrap();
        });
    });
}

#[test]
fn a_repeated_key_is_acknowledged_when_its_first_publish_is_stored() {
    interleave(|| {
        with_storage(|log, storage| {
            let publish = |log: Log, storage: Arc<Fake>| {
                let mut appender = log.appender(Now::default());
                appender.ready().unwrap();
                let key = PublishKey::new([7; 16], "key");
                let (id, receipt) = match appender.look_up(&key, None) {
                    Known::Taken(Some(Appended { last, .. })) => (last, appender.receipt_of(last)),
                    Known::New => {
                        let event = [NewEvent::new(topic("a"), b"x")];
                        let taken = appender.push_all(&event).unwrap();
                        appender.remember(key, taken);
                        (taken.unwrap().last, appender.receipt())
                    }
                    other => panic!("the key is not forgotten: {other:?}"),
                };
                drop(appender);
                block_on(receipt.stored()).unwrap();
                assert!(storage.holds(id), "{id} is acknowledged and not stored");
                id
            };
            let publishers = [(); 3].map(|()| {
                let (log, storage) = (log.clone(), Arc::clone(storage));
                thread::spawn(move || publish(log, storage))
            });
            let ids = publishers.map(|publisher| publisher.join().unwrap());
            assert_eq!(BTreeSet::from(ids).len(), 1);
        });
    });
}
