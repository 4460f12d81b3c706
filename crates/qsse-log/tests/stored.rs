//! A log with a storage: what readers see, what receipts say, and what happens on failures.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use qsse_log::{
    Acknowledge, AppendError, Appended, Config, Entry, Known, Log, NewEvent, Now, OnLag,
    PublishKey, Reader, Recovered, Start, Step, Storage, StorageError, StoredEvents,
};
use qsse_proto::batch::{Batch, Builder};
use qsse_proto::stream::{GapReason, Outcome};
use qsse_proto::{Epoch, EventId, Since, Timestamp};
use qsse_topic::{Filter, Topic, TopicRef};
use tokio::sync::Semaphore;

const EPOCH: Epoch = Epoch::new(9);

/// Stores batches in memory. Each append needs a permit and may be made to fail.
struct Fake {
    kept: Mutex<Vec<Batch>>,
    keys: Mutex<Vec<(PublishKey, u64)>>,
    permits: Semaphore,
    fail: Mutex<Option<StorageError>>,
    reserved: Mutex<u64>,
    closed: Mutex<Option<u64>>,
    reads: AtomicUsize,
    /// Seqs that are lost.
    holes: Mutex<Vec<(u64, u64)>>,
    /// What the next retention removes.
    let_go: Mutex<Vec<(Topic, u64)>>,
}

impl Fake {
    fn new() -> Arc<Self> {
        Self::of(Vec::new(), Semaphore::MAX_PERMITS)
    }

    /// Creates a storage that lets nothing pass until it gets permits.
    fn stuck() -> Arc<Self> {
        Self::of(Vec::new(), 0)
    }

    fn of(kept: Vec<Batch>, permits: usize) -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::new(kept),
            keys: Mutex::default(),
            permits: Semaphore::new(permits),
            fail: Mutex::default(),
            reserved: Mutex::new(0),
            closed: Mutex::default(),
            reads: AtomicUsize::new(0),
            holes: Mutex::default(),
            let_go: Mutex::default(),
        })
    }

    fn fail(&self, error: Option<StorageError>) {
        *self.fail.lock().unwrap() = error;
    }

    fn seqs(&self) -> Vec<u64> {
        let kept = self.kept.lock().unwrap();
        kept.iter()
            .flat_map(|batch| batch.iter().map(|event| event.seq()).collect::<Vec<_>>())
            .collect()
    }

    /// Returns every stored event that matches the filter: seq and topic.
    fn admitted(&self, filter: &Filter) -> Vec<(u64, Topic)> {
        let kept = self.kept.lock().unwrap();
        let events = kept.iter().flat_map(|batch| batch.iter());
        let named = events.map(|event| (event.seq(), Topic::new(event.topic()).unwrap()));
        named.filter(|(_, topic)| filter.matches(topic)).collect()
    }
}

#[async_trait]
impl Storage for Fake {
    fn recovered(&self) -> Recovered {
        let mut opened = Recovered::new(EPOCH);
        opened.head = self.seqs().last().copied().unwrap_or_default();
        opened.keys = self.keys.lock().unwrap().clone();
        opened.keys_age = Duration::from_secs(120);
        opened
    }

    async fn append(&self, entries: Vec<Entry>, _: Acknowledge) -> Result<(), StorageError> {
        self.permits.acquire().await.unwrap().forget();
        if let Some(error) = self.fail.lock().unwrap().clone() {
            return Err(error);
        }
        for Entry { batch, keys, .. } in entries {
            let keys = keys.into_iter().map(|(seq, key)| (key, seq));
            self.keys.lock().unwrap().extend(keys);
            self.kept.lock().unwrap().push(batch);
        }
        Ok(())
    }

    async fn reserve(&self, upto: u64) -> Result<u64, StorageError> {
        *self.reserved.lock().unwrap() = upto;
        Ok(upto)
    }

    async fn read(
        &self,
        filter: Filter,
        after: u64,
        upto: u64,
        _: usize,
    ) -> Result<StoredEvents, StorageError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut stored = StoredEvents::default();
        let kept = self.kept.lock().unwrap();
        let next = kept.iter().find(|batch| batch.last_seq() > after);
        stored.through = upto;
        if let Some(batch) = next.filter(|batch| batch.first_seq() <= upto) {
            stored.through = batch.last_seq().min(upto);
            let matches = |seq: u64, topic: &str| {
                seq > after && seq <= upto && filter.matches(TopicRef::new(topic).unwrap())
            };
            stored
                .batches
                .extend(batch.filter(|event| matches(event.seq(), event.topic())));
        }
        for (from, to) in &*self.holes.lock().unwrap() {
            let lost = (*from.max(&after), *to.min(&stored.through));
            stored
                .lost
                .extend(Some(lost).filter(|(from, to)| from < to));
        }
        Ok(stored)
    }

    fn topics(&self, filter: &Filter, limit: usize) -> Vec<Topic> {
        let kept = self.kept.lock().unwrap();
        let topics = kept.iter().flat_map(|batch| batch.iter());
        let names = topics.map(|event| event.topic().parse::<Topic>().unwrap());
        let mut names: Vec<_> = names.filter(|topic| filter.matches(topic)).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(limit);
        names
    }

    fn floor(&self, _: &Filter, _: u64) -> u64 {
        0
    }

    fn oldest(&self) -> u64 {
        0
    }

    async fn seq_at(&self, time: Timestamp, until: Timestamp) -> Result<u64, StorageError> {
        let kept = self.kept.lock().unwrap();
        let mut events = kept.iter().flat_map(|batch| batch.iter());
        let mut since = Since::new(time, until);
        let at = events.find_map(|event| since.event(event.seq(), event.time()));
        Ok(at.unwrap_or_else(|| since.begin(u64::MAX)))
    }

    async fn tail(
        &self,
        filter: Filter,
        n: u64,
        upto: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError> {
        let mut tail: Vec<(Topic, u64)> = Vec::new();
        let mut counts: Vec<(Topic, u64)> = Vec::new();
        for (seq, topic) in self.admitted(&filter).into_iter().rev() {
            if seq > upto {
                continue;
            }
            let at = counts.iter().position(|(known, _)| *known == topic);
            let at = at.unwrap_or_else(|| {
                counts.push((topic.clone(), 0));
                tail.push((topic, seq));
                counts.len() - 1
            });
            if counts[at].1 < n {
                counts[at].1 += 1;
                tail[at].1 = seq;
            }
        }
        Ok(tail)
    }

    async fn retain(&self, _: Now) -> Result<Vec<(Topic, u64)>, StorageError> {
        Ok(std::mem::take(&mut *self.let_go.lock().unwrap()))
    }

    async fn close(&self, given_out: u64) -> Result<(), StorageError> {
        *self.closed.lock().unwrap() = Some(given_out);
        Ok(())
    }

    fn health(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

fn full() -> StorageError {
    StorageError::Full(Arc::new(std::io::Error::from(
        std::io::ErrorKind::StorageFull,
    )))
}

fn ended() -> StorageError {
    StorageError::Ended(Arc::new(std::io::Error::other("the disk is gone")))
}

fn log(storage: &Arc<Fake>, config: Config) -> Log {
    let storage: Arc<dyn Storage> = storage.clone();
    let log = Log::stored(storage, config, Now::default());
    let keeper = log.clone();
    tokio::spawn(async move { keeper.run_group_commit(Now::default).await });
    log
}

fn event<'a>(topic: &'a str, data: &'a [u8]) -> NewEvent<'a> {
    NewEvent::new(TopicRef::new(topic).unwrap(), data)
}

/// Publishes an event and waits for its receipt.
async fn publish(log: &Log, topic: &str) -> Result<EventId, StorageError> {
    let (id, receipt) = {
        let mut appender = log.appender(Now::default());
        (
            appender.push(event(topic, b"x")).unwrap(),
            appender.receipt(),
        )
    };
    receipt.stored().await.map(|()| id)
}

async fn open(log: &Log, filter: &str, start: Start) -> Reader {
    let filter: Filter = filter.parse().unwrap();
    log.open(&filter, start, OnLag::CatchUp).await.unwrap()
}

/// Reads to the end. Returns the seqs and the reasons of the gaps.
async fn read(reader: &mut Reader) -> (Vec<u64>, Vec<GapReason>) {
    let (mut seqs, mut gaps, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match reader.step(1 << 20, &mut batches) {
            Step::Idle(_) => return (seqs, gaps),
            Step::Gap(gap) => gaps.push(gap.reason),
            Step::Stored => reader.fetch(1 << 20).await,
            Step::Unreadable { reason } => panic!("{reason}"),
            Step::Lagged => panic!("an unexpected lag"),
            Step::Batches | Step::Looking => {}
        }
        for batch in batches.drain(..) {
            seqs.extend(batch.iter().map(|event| event.seq()));
        }
    }
}

#[tokio::test]
async fn nobody_sees_what_is_not_kept_yet() {
    let storage = Fake::stuck();
    let log = log(&storage, Config::default());
    let mut reader = open(&log, "*", Start::Live).await;
    let publishing = tokio::spawn({
        let log = log.clone();
        async move { publish(&log, "a").await }
    });
    while log.stats().head == 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    assert_eq!(log.visible().seq(), 0);
    assert!(read(&mut reader).await.0.is_empty());
    let mut late = open(&log, "*", Start::Earliest).await;
    assert!(read(&mut late).await.0.is_empty());
    assert!(!publishing.is_finished(), "nothing is promised yet");
    storage.permits.add_permits(1);
    assert_eq!(publishing.await.unwrap().unwrap().seq(), 1);
    assert_eq!(log.visible().seq(), 1);
    assert_eq!(read(&mut reader).await.0, [1]);
    assert_eq!(read(&mut late).await.0, [1]);
}

#[tokio::test]
async fn one_write_does_for_all_that_gathered() {
    let storage = Fake::stuck();
    let log = log(&storage, Config::default());
    let publishing: Vec<_> = (0..100)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { publish(&log, "a").await })
        })
        .collect();
    while log.stats().head < 100 {
        tokio::task::yield_now().await;
    }
    storage.permits.add_permits(2);
    for publish in publishing {
        publish.await.unwrap().unwrap();
    }
    assert_eq!(storage.seqs(), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn in_memory_means_at_once_and_the_storage_gets_it_later() {
    let storage = Fake::stuck();
    let log = log(&storage, Config::default().acknowledge(Acknowledge::Memory));
    log.room().await;
    publish(&log, "a").await.unwrap();
    assert_eq!(log.visible().seq(), 1);
    assert!(
        *storage.reserved.lock().unwrap() >= 1,
        "no seq is told that is not reserved"
    );
    storage.permits.add_permits(1);
    log.flush().await.unwrap();
    while storage.seqs().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_log_goes_on_after_what_its_storage_has() {
    let storage = Fake::new();
    let first = log(&storage, Config::default());
    for topic in ["a", "b", "a"] {
        publish(&first, topic).await.unwrap();
    }
    let second = log(&storage, Config::default());
    assert_eq!(publish(&second, "a").await.unwrap().seq(), 4);
    let mut all = open(&second, "*", Start::Earliest).await;
    assert_eq!(read(&mut all).await, (vec![1, 2, 3, 4], vec![]));
    let after = Start::After(EventId::new(EPOCH, 1));
    let mut resumed = open(&second, "a", after).await;
    assert_eq!(resumed.outcome(), Outcome::Resumed);
    assert_eq!(read(&mut resumed).await, (vec![3, 4], vec![]));
    let mut last = open(&second, "*", Start::Last(1)).await;
    publish(&second, "b").await.unwrap();
    assert_eq!(read(&mut last).await, (vec![2, 4, 5], vec![]));
    second.close().await.unwrap();
    assert_eq!(*storage.closed.lock().unwrap(), Some(5));
}

#[tokio::test]
async fn a_full_disk_refuses_and_takes_again_without_a_hole() {
    let storage = Fake::new();
    let log = log(&storage, Config::default());
    publish(&log, "a").await.unwrap();
    storage.fail(Some(full()));
    let error = publish(&log, "a").await.unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    let ready = log.appender(Now::default()).ready();
    ready.expect("the next publish tries again");
    let mut reader = open(&log, "*", Start::Earliest).await;
    assert_eq!(
        read(&mut reader).await.0,
        [1],
        "reading goes on, and nobody saw the other"
    );
    storage.fail(None);
    assert_eq!(publish(&log, "a").await.unwrap().seq(), 2);
    assert_eq!(read(&mut reader).await.0, [2]);
}

#[tokio::test]
async fn a_storage_that_has_ended_ends_publishing() {
    let storage = Fake::new();
    let log = log(&storage, Config::default());
    storage.fail(Some(ended()));
    assert!(publish(&log, "a").await.unwrap_err().is_final());
    storage.fail(None);
    let refused = log.append(Now::default(), event("a", b"x"));
    assert!(matches!(refused, Err(AppendError::Storage(error)) if error.is_final()));
    assert_eq!(log.visible().seq(), 0);
}

#[tokio::test]
async fn in_memory_a_full_disk_is_tried_again_and_nothing_is_lost() {
    tokio::time::pause();
    let storage = Fake::new();
    let log = log(&storage, Config::default().acknowledge(Acknowledge::Memory));
    log.room().await;
    storage.fail(Some(full()));
    publish(&log, "a").await.unwrap();
    let refused = loop {
        match log.append(Now::default(), event("a", b"x")) {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Storage(_)), "{refused}");
    storage.fail(None);
    log.room().await;
    while log.append(Now::default(), event("a", b"x")).is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    log.flush().await.unwrap();
    let head = log.stats().head;
    while storage.seqs().len() < head as usize {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(storage.seqs(), (1..=head).collect::<Vec<_>>());
}

#[tokio::test]
async fn publishers_wait_where_the_storage_does_not_keep_up() {
    let storage = Fake::stuck();
    let mut config = Config::default();
    config.pending_bytes = 10_000;
    let log = log(&storage, config);
    let data = [0; 1_000];
    let refused = (0..100).find_map(|_| log.append(Now::default(), event("a", &data)).err());
    assert!(matches!(refused, Some(AppendError::Busy { .. })));
    let head = log.stats().head;
    assert!(head <= 11, "{head} events are waiting");
    let room = tokio::spawn({
        let log = log.clone();
        async move { log.room().await }
    });
    tokio::task::yield_now().await;
    storage.permits.add_permits(1);
    room.await.unwrap();
    log.append(Now::default(), event("a", &data)).unwrap();
}

#[tokio::test]
async fn a_key_outlasts_the_process_and_a_refused_one_is_forgotten() {
    let storage = Fake::new();
    let first = log(&storage, Config::default());
    let key = |text: &'static str| PublishKey::new([0; 16], text.as_bytes());
    let keyed = |log: &Log, text| {
        let mut appender = log.appender(Now::default());
        let known = appender.look_up(&key(text), None);
        let taken = (known == Known::New).then(|| {
            let id = appender.push(event("a", b"x")).unwrap();
            let (first, last) = (id, id);
            appender.remember(key(text), Some(Appended { first, last }));
        });
        (known, taken.map(|()| appender.receipt()))
    };
    let (_, receipt) = keyed(&first, "one");
    receipt.unwrap().stored().await.unwrap();
    storage.fail(Some(full()));
    let (_, receipt) = keyed(&first, "two");
    receipt.unwrap().stored().await.unwrap_err();
    storage.fail(None);
    assert_eq!(keyed(&first, "two").0, Known::New, "it was not taken");
    first.flush().await.unwrap();

    let second = log(&storage, Config::default());
    assert!(matches!(keyed(&second, "one").0, Known::Taken(Some(taken)) if taken.first.seq() == 1));
    assert_eq!(keyed(&second, "three").0, Known::New);
    let appender = second.appender(Now::default());
    let old = Some(Duration::from_secs(3_600));
    assert_eq!(appender.look_up(&key("old"), old), Known::Unknown);
}

#[tokio::test]
async fn a_duplicate_is_promised_no_earlier_than_the_original() {
    let storage = Fake::stuck();
    let log = log(&storage, Config::default());
    let id = log.append(Now::default(), event("a", b"x")).unwrap();
    let receipt = log.appender(Now::default()).receipt_of(id);
    let waiting = tokio::spawn(receipt.stored());
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    storage.permits.add_permits(1);
    waiting.await.unwrap().unwrap();
    assert_eq!(log.visible(), id);
}

#[tokio::test]
async fn many_who_come_back_together_read_the_storage_once() {
    let storage = Fake::new();
    let first = log(&storage, Config::default());
    for _ in 0..50 {
        publish(&first, "a").await.unwrap();
    }
    let second = log(&storage, Config::default());
    let mut readers = Vec::new();
    for _ in 0..100 {
        readers.push(open(&second, "*", Start::Earliest).await);
    }
    for reader in &mut readers {
        // Each publish made a batch of its own, and all readers ask for the first ones.
        for _ in 0..20 {
            if reader.step(1, &mut Vec::new()) == Step::Stored {
                reader.fetch(1).await;
            }
        }
    }
    let reads = storage.reads.load(Ordering::Relaxed);
    assert!(reads <= 20, "{reads} reads for 100 readers");
    for reader in &mut readers {
        let (seqs, gaps) = read(reader).await;
        assert_eq!((seqs.last(), gaps.len()), (Some(&50), 0));
    }
}

#[tokio::test]
async fn a_keyed_publish_to_many_topics_is_neither_acknowledged_nor_taken_twice() {
    let storage = Fake::new();
    let first = log(&storage, Config::default());
    publish(&first, "a").await.unwrap();
    let key = PublishKey::new([0; 16], &b"many"[..]);
    let keyed = |log: &Log| {
        let mut appender = log.appender(Now::default());
        let first = appender.push(event("a", b"x")).unwrap();
        let last = appender.push(event("b", b"x")).unwrap();
        appender.remember(key.clone(), Some(Appended { first, last }));
        appender.receipt()
    };
    storage.fail(Some(full()));
    keyed(&first).stored().await.unwrap_err();
    storage.fail(None);
    let known = |log: &Log, ago| log.appender(Now::default()).look_up_matching(&key, ago);
    assert_eq!(known(&first, None), Known::New, "it was not taken");
    keyed(&first).stored().await.unwrap();
    let taken = known(&first, None);
    assert!(matches!(taken, Known::Taken(Some(_))), "{taken:?}");
    first.flush().await.unwrap();
    let second = log(&storage, Config::default());
    let retried = known(&second, Some(Duration::from_secs(1)));
    assert_eq!(retried, Known::Unknown, "this process cannot know");
}

#[tokio::test]
async fn topics_that_only_the_storage_has_are_reached_by_patterns() {
    let fake = Fake::new();
    let log = log(&fake, Config::default().history_events(1));
    for topic in ["a.old", "a.new", "b"] {
        publish(&log, topic).await.unwrap();
    }
    let matching = |pattern: &str| {
        let topics = log
            .topics_matching(&pattern.parse().unwrap(), usize::MAX)
            .unwrap();
        topics.iter().map(Topic::to_string).collect::<Vec<_>>()
    };
    assert_eq!(matching("*"), ["a.new", "a.old", "b"]);
    assert_eq!(matching("a.*"), ["a.new", "a.old"]);
}

#[tokio::test]
async fn events_that_are_shown_later_are_dropped_from_memory_too() {
    let fake = Fake::new();
    let log = log(&fake, Config::default());
    publish(&log, "a").await.unwrap();
    // The storage removes events that readers have not seen yet.
    fake.let_go.lock().unwrap().push(("a".parse().unwrap(), 2));
    log.retain(Now::default()).await;
    publish(&log, "a").await.unwrap();
    publish(&log, "a").await.unwrap();
    log.retain(Now::default()).await;
    let mut reader = open(&log, "a", Start::After(EventId::new(EPOCH, 0))).await;
    assert_eq!(read(&mut reader).await.0, [3]);
}

#[tokio::test]
async fn a_storage_that_does_not_answer_is_not_well() {
    let fake = Fake::stuck();
    let log = log(&fake, Config::default());
    let mut now = Now::default();
    let mut sweep = |seconds: u64| {
        now.monotonic = Duration::from_secs(seconds);
        log.sweep(now);
        log.health().map_err(|error| error.to_string())
    };
    let kept = tokio::spawn({
        let log = log.clone();
        async move { publish(&log, "a").await }
    });
    while log.stats().head == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((sweep(1), sweep(10)), (Ok(()), Ok(())));
    let error = sweep(12).unwrap_err();
    assert!(error.contains("taken nothing for 11 s"), "{error}");
    fake.permits.add_permits(1);
    kept.await.unwrap().unwrap();
    assert_eq!(sweep(13), Ok(()));
}

#[tokio::test]
async fn a_hole_is_told_once_however_long_it_is() {
    let fake = Fake::new();
    let first = {
        let log = log(&fake, Config::default());
        publish(&log, "a").await.unwrap().seq()
    };
    let after = 300_000;
    let mut batch = Builder::new();
    batch.push(after + 1, Timestamp::default(), "a", "message", b"x");
    fake.kept.lock().unwrap().push(batch.finish());
    fake.holes.lock().unwrap().push((first, after));
    let log = log(&fake, Config::default());
    let mut reader = open(&log, "a", Start::Earliest).await;
    let found = read(&mut reader).await;
    assert_eq!(found, (vec![first, after + 1], vec![GapReason::Damaged]));
}

#[tokio::test]
async fn each_hole_is_told_where_it_is_and_as_long_as_it_is() {
    let fake = Fake::new();
    let batch = |seq| {
        let mut batch = Builder::new();
        batch.push(seq, Timestamp::default(), "a", "message", b"x");
        batch.finish()
    };
    let kept = [1, 5, 200_000].map(batch);
    fake.kept.lock().unwrap().extend(kept);
    // The second reader ends where a read does, and the third begins a little later.
    let stride = 1 << 16;
    let holes = [(1, 4), (stride - 9, stride), (stride + 5, 199_999)];
    fake.holes.lock().unwrap().extend(holes);
    let log = log(&fake, Config::default());
    let mut reader = open(&log, "a", Start::Earliest).await;
    let (mut told, mut batches) = (Vec::new(), Vec::new());
    loop {
        match reader.step(1 << 20, &mut batches) {
            Step::Idle(_) => break,
            Step::Gap(gap) => told.push((gap.after, gap.to)),
            Step::Stored => reader.fetch(1 << 20).await,
            _ => {}
        }
        let seqs = batches.drain(..).map(|batch| batch.first_seq());
        told.extend(seqs.map(|seq| (seq, seq)));
    }
    let events = [(1, 1), (5, 5), (200_000, 200_000)];
    let [first, second, third] = holes;
    assert_eq!(
        told,
        [events[0], first, events[1], second, third, events[2]]
    );
}

#[tokio::test]
async fn a_closed_log_takes_nothing_and_leaves_nobody_waiting() {
    let storage = Fake::new();
    let log = log(&storage, Config::default());
    publish(&log, "a").await.unwrap();
    log.close().await.unwrap();
    let late = log.append(Now::default(), event("a", b"x"));
    assert!(matches!(late, Err(AppendError::Storage(error)) if error.is_final()));
    assert_eq!(*storage.closed.lock().unwrap(), Some(1));
}

#[tokio::test]
async fn a_subscriber_that_comes_while_a_group_fails_misses_nothing_after_it() {
    let storage = Fake::stuck();
    let log = log(&storage, Config::default());
    storage.fail(Some(full()));
    let failing = tokio::spawn({
        let log = log.clone();
        async move { publish(&log, "a").await }
    });
    while log.stats().head == 0 {
        tokio::task::yield_now().await;
    }
    let mut live = open(&log, "*", Start::Live).await;
    assert_eq!(
        live.started().seq(),
        0,
        "nobody has seen the one that fails"
    );
    storage.permits.add_permits(1);
    failing.await.unwrap().unwrap_err();
    storage.fail(None);
    storage.permits.add_permits(1);
    assert_eq!(publish(&log, "a").await.unwrap().seq(), 1);
    assert_eq!(read(&mut live).await.0, [1]);
}
