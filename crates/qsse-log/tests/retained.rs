//! Memory in front of a store: it answers as the store alone would.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use qsse_log::disk::{self, Disk, DiskRetention};
use qsse_log::{
    Acknowledge, Config, Known, Log, NewEvent, Now, OnLag, PublishKey, Reader, Start, Step,
    TopicRetention,
};
use qsse_proto::stream::{Gap, Outcome};
use qsse_proto::{Epoch, EventId, Timestamp};
use qsse_store::Store;
use qsse_store::io::mem::MemIo;
use qsse_topic::{Topic, TopicRef};

const EPOCH: Epoch = Epoch::new(9);
const FILTERS: [&str; 4] = ["t", "quiet", "*", "zzz"];
const EVENTS: u64 = 16;

/// The answer to one start.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    outcome: Outcome,
    gaps: Vec<Gap>,
    seqs: Vec<u64>,
}

fn open(io: &MemIo, kept: &DiskRetention, config: &Config) -> Log {
    let options = disk::options(EPOCH, Acknowledge::Synced).segment_bytes(4 << 10);
    let (store, recovered) = Store::open(Arc::new(io.clone()), options).unwrap();
    let disk = Disk::inline(store, recovered, kept.clone());
    let log = Log::stored(Arc::new(disk), config.clone(), now(0));
    let keeper = log.clone();
    tokio::spawn(async move { keeper.run_group_commit(|| now(0)).await });
    log
}

fn now(seconds: u64) -> Now {
    Now {
        monotonic: Duration::from_secs(seconds),
        wall: Timestamp::from_micros(seconds * 1_000_000),
    }
}

async fn publish(log: &Log, seconds: u64, topic: &str) {
    let receipt = {
        let mut appender = log.appender(now(seconds));
        let topic = TopicRef::new(topic).unwrap();
        appender.push(NewEvent::new(topic, &[7; 100])).unwrap();
        appender.receipt()
    };
    receipt.stored().await.unwrap();
}

/// Publishes an event each second: twelve on `t`, with two quiet ones before and in between.
async fn fill(log: &Log) {
    for seconds in 1..=EVENTS {
        let topic = match seconds {
            1 | 2 => "quiet",
            7 | 8 => "other",
            _ => "t",
        };
        publish(log, seconds, topic).await;
        // Ages have a resolution of a second.
        log.retain(now(seconds)).await;
    }
}

async fn start(log: &Log, filter: &str, start: Start) -> Reader {
    let filter = filter.parse().unwrap();
    log.open(&filter, start, OnLag::CatchUp).await.unwrap()
}

async fn read(reader: &mut Reader, budget: usize) -> Answer {
    let outcome = reader.outcome();
    let (mut gaps, mut seqs, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match reader.step(budget, &mut batches) {
            Step::Idle(_) => break,
            Step::Gap(gap) => {
                // QP-7.2: before any event of its range.
                assert!(seqs.last().is_none_or(|last| *last <= gap.after));
                gaps.push(gap);
            }
            Step::Stored => reader.fetch(budget).await,
            Step::Lagged => panic!("an unexpected lag"),
            Step::Unreadable { .. } => panic!("an unreadable storage"),
            Step::Batches | Step::Looking => {}
        }
        for batch in batches.drain(..) {
            seqs.extend(batch.iter().map(|event| event.seq()));
        }
    }
    Answer {
        outcome,
        gaps,
        seqs,
    }
}

/// Returns every kind of start.
fn starts() -> Vec<Start> {
    let after = (0..=EVENTS).map(|seq| Start::After(EventId::new(EPOCH, seq)));
    let since = (0..=EVENTS + 1).map(|second| Start::Since(now(second).wall));
    let foreign = Start::After(EventId::new(Epoch::new(1), 1));
    let last = (0..5).map(Start::Last);
    let other = [Start::Live, Start::Earliest, foreign];
    after.chain(since).chain(last).chain(other).collect()
}

async fn answers(log: &Log, starts: &[Start]) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    for filter in FILTERS {
        for asked in starts {
            let mut reader = start(log, filter, *asked).await;
            let answer = read(&mut reader, 150).await;
            // QP-7.6: the header says whether there is a gap.
            let has_gap = !answer.gaps.is_empty();
            let what = format!("{filter} {asked:?}");
            match answer.outcome {
                Outcome::Gap => assert!(has_gap, "{what}: {answer:?}"),
                Outcome::Live | Outcome::Resumed => assert!(!has_gap, "{what}: {answer:?}"),
                _ => {}
            }
            answers.push((what, answer));
        }
    }
    answers
}

fn rules() -> Vec<(&'static str, DiskRetention)> {
    let rule = |rule: TopicRetention| {
        let mut kept = DiskRetention::default();
        kept.topics.push(rule);
        kept
    };
    let of_t = || TopicRetention::of("t".parse().unwrap());
    let (mut events, mut age) = (DiskRetention::default(), DiskRetention::default());
    events.max_events = Some(3);
    age.max_age = Some(Duration::from_secs(2));
    vec![
        ("two events of the topic", rule(of_t().max_events(2))),
        ("bytes of the topic", rule(of_t().max_bytes(300))),
        (
            "age of the topic",
            rule(of_t().max_age(Duration::from_secs(2))),
        ),
        ("events in all", events),
        ("age of all", age),
        ("everything", DiskRetention::default()),
    ]
}

/// Memory of a few events, of half of them, and of all.
fn memories() -> [Config; 3] {
    [1, EVENTS / 2, u64::MAX].map(|events| Config::default().history_events(events))
}

#[tokio::test]
async fn memory_answers_as_the_store_alone() {
    for (name, kept) in rules() {
        for config in memories() {
            let io = MemIo::default();
            let log = open(&io, &kept, &config);
            fill(&log).await;
            let starts = starts();
            let with_memory = answers(&log, &starts).await;
            log.close().await.unwrap();
            drop(log);
            let alone = open(&io, &kept, &config);
            for (with, alone) in with_memory.into_iter().zip(answers(&alone, &starts).await) {
                assert_eq!(with, alone, "{name}, {} in memory", config.history_events);
            }
        }
    }
}

#[tokio::test]
async fn who_begins_in_the_past_gets_no_more_because_somebody_reads_live() {
    for (name, kept) in rules() {
        let io = MemIo::default();
        let log = open(&io, &kept, &Config::default());
        let mut live = Vec::new();
        for filter in FILTERS {
            live.push(start(&log, filter, Start::Live).await);
        }
        fill(&log).await;
        let starts: Vec<Start> = starts()
            .into_iter()
            .filter(|start| !matches!(start, Start::After(id) if id.epoch() == EPOCH))
            .collect();
        let with_live = answers(&log, &starts).await;
        // A live reader gets everything, however few events are retained.
        let t = read(&mut live[0], 1 << 20).await;
        assert_eq!((t.seqs.len(), t.gaps.len()), (12, 0), "{name}");
        drop(live);
        log.close().await.unwrap();
        let alone = open(&io, &kept, &Config::default());
        for (with, alone) in with_live.into_iter().zip(answers(&alone, &starts).await) {
            assert_eq!(with, alone, "{name}");
        }
    }
}

#[tokio::test]
async fn a_reader_in_the_middle_is_told_of_what_goes_before_it() {
    let mut kept = DiskRetention::default();
    kept.topics
        .push(TopicRetention::of("t".parse().unwrap()).max_events(2));
    let log = open(&MemIo::default(), &kept, &Config::default());
    for _ in 0..12 {
        publish(&log, 1, "t").await;
    }
    let mut reader = start(&log, "t", Start::Earliest).await;
    let mut batches = Vec::new();
    while batches.is_empty() {
        reader.step(1, &mut batches);
    }
    let had = batches.iter().map(|batch| batch.last_seq()).max().unwrap();
    publish(&log, 1, "t").await;
    log.retain(now(1)).await;
    let rest = read(&mut reader, 1 << 20).await;
    if had < 11 {
        assert_eq!(rest.gaps.len(), 1, "after {had}: {rest:?}");
    }
    assert_eq!(rest.seqs.last(), Some(&13));
}

#[tokio::test]
async fn what_others_have_read_is_not_shown_once_it_is_gone() {
    let mut kept = DiskRetention::default();
    kept.max_events = Some(2);
    let config = Config::default().history_events(1);
    let log = open(&MemIo::default(), &kept, &config);
    for _ in 0..12 {
        publish(&log, 1, "t").await;
    }
    let [mut first, mut second] = [
        start(&log, "t", Start::Earliest).await,
        start(&log, "t", Start::Earliest).await,
    ];
    assert_eq!(read(&mut first, 1 << 20).await.seqs.len(), 12);
    log.retain(now(1)).await;
    let answer = read(&mut second, 1 << 20).await;
    assert_eq!(answer.seqs, [11, 12]);
    let told = answer.gaps.iter().map(|gap| (gap.after, gap.to));
    assert_eq!(told.collect::<Vec<_>>(), [(0, 10)]);
}

#[tokio::test]
async fn a_store_that_is_full_is_not_well() {
    let io = MemIo::default();
    let log = open(&io, &DiskRetention::default(), &Config::default());
    publish(&log, 1, "t").await;
    log.health().unwrap();
    io.set_capacity(Some(io.used()));
    let receipt = {
        let mut appender = log.appender(now(1));
        let topic = TopicRef::new("t").unwrap();
        appender.push(NewEvent::new(topic, &[7; 10_000])).unwrap();
        appender.receipt()
    };
    receipt.stored().await.unwrap_err();
    let error = log.health().unwrap_err().to_string();
    assert!(error.contains("full"), "{error}");
    io.set_capacity(None);
    publish(&log, 1, "t").await;
    log.health().unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_as_synced_outlasts_a_crash_of_the_machine() {
    for seed in 0..8 {
        let io = MemIo::default();
        let log = open(&io, &DiskRetention::default(), &Config::default());
        for _ in 0..3 {
            publish(&log, 1, "t").await;
        }
        io.crash(seed);
        let log = open(&io, &DiskRetention::default(), &Config::default());
        let mut reader = start(&log, "t", Start::Earliest).await;
        assert_eq!(read(&mut reader, 1 << 20).await.seqs, [1, 2, 3]);
    }
}

#[tokio::test]
async fn after_an_unclean_end_a_retry_is_unknown_where_events_may_be_lost() {
    for (acknowledge, clean, known) in [
        (Acknowledge::Memory, true, Known::New),
        (Acknowledge::Memory, false, Known::Unknown),
        (Acknowledge::Synced, false, Known::New),
    ] {
        let io = MemIo::default();
        let config = Config::default().acknowledge(acknowledge);
        let log = open(&io, &DiskRetention::default(), &config);
        log.room().await;
        publish(&log, 1, "t").await;
        log.flush().await.unwrap();
        match clean {
            true => log.close().await.unwrap(),
            false => io.recover(),
        }
        let log = open(&io, &DiskRetention::default(), &config);
        let ago = Some(Duration::from_secs(1));
        let retried = log
            .appender(now(1))
            .look_up(&PublishKey::new([0; 16], "k"), ago);
        assert_eq!(retried, known, "{acknowledge:?}, {clean}");
    }
}

#[tokio::test]
async fn a_small_limit_of_bytes_holds() {
    const LIMIT: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let mut kept = DiskRetention::default();
    kept.max_bytes = Some(LIMIT);
    let options = disk::options(EPOCH, Acknowledge::Written);
    let disk = Disk::open(folder.path(), options, kept).unwrap();
    let config = Config::default().acknowledge(Acknowledge::Written);
    let log = Log::stored(Arc::new(disk), config, now(0));
    let keeper = log.clone();
    tokio::spawn(async move { keeper.run_group_commit(|| now(0)).await });
    log.room().await;
    // All at once, so that groups are longer than segments.
    for _ in 0..40 {
        for _ in 0..1_000 {
            let event = NewEvent::new(TopicRef::new("t").unwrap(), &[7; 100]);
            log.append(now(1), event).unwrap();
        }
        log.flush().await.unwrap();
        log.room().await;
    }
    log.retain(now(1)).await;
    let files = std::fs::read_dir(folder.path()).unwrap();
    let lengths = files.map(|file| file.unwrap().metadata().unwrap().len());
    let bytes: u64 = lengths.sum();
    assert!(bytes <= LIMIT + LIMIT / 8, "{bytes} bytes");
    assert!(bytes > LIMIT / 2, "{bytes} bytes");
    let mut reader = start(&log, "t", Start::Earliest).await;
    let answer = read(&mut reader, 64 << 10).await;
    assert_eq!(answer.outcome, Outcome::Resumed);
    let kept = answer.seqs.len();
    assert!((4_000..10_000).contains(&kept), "{kept} events");
}

#[tokio::test]
async fn topics_are_known_as_long_as_an_event_is_kept() {
    let mut kept = DiskRetention::default();
    kept.max_events = Some(1);
    let io = MemIo::default();
    let log = open(&io, &kept, &Config::default());
    for topic in ["a", "b"] {
        publish(&log, 1, topic).await;
    }
    let known = || {
        let topics = log
            .topics_matching(&"*".parse().unwrap(), usize::MAX)
            .unwrap();
        topics.iter().map(Topic::to_string).collect::<Vec<_>>()
    };
    assert_eq!(known(), ["a", "b"]);
    log.retain(now(1)).await;
    assert_eq!(known(), ["b"]);
    // Only the store knows the events from before the start.
    log.close().await.unwrap();
    let log = open(&io, &kept, &Config::default());
    let topics = log
        .topics_matching(&"*".parse().unwrap(), usize::MAX)
        .unwrap();
    assert_eq!(topics.iter().map(Topic::as_str).collect::<Vec<_>>(), ["b"]);
    log.health().unwrap();
}
