//! The guarantees of a log, one in each test.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use qsse_log::{
    AppendError, Config, Encoding, Log, NewEvent, Now, OnLag, Reader, Start, Step, TopicRetention,
};
use qsse_proto::batch::Batch;
use qsse_proto::stream::{GapReason, Outcome};
use qsse_proto::{Epoch, Event, EventId, Kind, Timestamp};
use qsse_topic::{Filter, Pattern, Topic, TopicRef};

const EPOCH: Epoch = Epoch::new(5);

fn log(config: Config) -> Log {
    Log::new(EPOCH, config)
}

fn filter(pattern: &str) -> Filter {
    Filter::from(Pattern::new(pattern).unwrap())
}

fn publish(log: &Log, topic: &str, data: &[u8]) -> EventId {
    log.append(
        Now::default(),
        NewEvent::new(TopicRef::new(topic).unwrap(), data),
    )
    .unwrap()
}

/// Reads to the end. Returns the seqs of all events.
fn read(reader: &mut Reader) -> Vec<u64> {
    let (mut seqs, mut batches) = (Vec::new(), Vec::new());
    loop {
        match reader.step(1 << 20, &mut batches) {
            Step::Idle(_) => return seqs,
            Step::Gap(gap) => panic!("an unexpected gap: {gap:?}"),
            Step::Lagged | Step::Stored | Step::Unreadable { .. } => panic!("an unexpected step"),
            Step::Batches | Step::Looking => {}
        }
        let events = batches.drain(..).flat_map(|batch| batch.events(EPOCH));
        seqs.extend(events.map(|event| event.unwrap().id().seq()));
    }
}

#[test]
fn a_quiet_feed_makes_small_batches_and_a_busy_one_full_ones() {
    let log = log(Config::default());
    let mut reader = log.reader(&filter("a"), Start::Live).unwrap();
    let mut batches = Vec::new();
    publish(&log, "a", b"x");
    reader.step(1 << 20, &mut batches);
    assert_eq!((batches.len(), batches[0].count()), (1, 1));
    batches.clear();
    for _ in 0..1_000 {
        publish(&log, "a", &[0; 128]);
    }
    reader.step(1 << 30, &mut batches);
    assert!(
        batches.len() <= 3,
        "a backlog of 134 KB is three batches, not {}",
        batches.len()
    );
}

#[test]
fn readers_of_a_filter_share_the_bytes() {
    let log = log(Config::default());
    let mut one = log.reader(&filter("a.*"), Start::Live).unwrap();
    let mut two = log.reader(&filter("a.*"), Start::Live).unwrap();
    publish(&log, "a.b", b"shared");
    let (mut first, mut second) = (Vec::new(), Vec::new());
    one.step(1, &mut first);
    two.step(1, &mut second);
    assert_eq!(first[0].bytes().as_ptr(), second[0].bytes().as_ptr());
    assert_eq!(log.stats().feeds, 1);
}

#[test]
fn an_event_that_matches_twice_comes_once() {
    let log = log(Config::default());
    let patterns = ["a.*", "*.b"].map(|text| Pattern::new(text).unwrap());
    let mut reader = log
        .reader(&Filter::new(patterns).unwrap(), Start::Live)
        .unwrap();
    publish(&log, "a.b", b"");
    assert_eq!(read(&mut reader), [1]);
}

#[test]
fn a_resume_begins_exactly_behind_its_cursor_wherever_that_is() {
    let log = log(Config::default());
    let mut live = log.reader(&filter("*"), Start::Live).unwrap();
    for n in 0..1_000u64 {
        publish(&log, "a", &n.to_le_bytes());
        if n % 70 == 0 {
            read(&mut live);
        }
    }
    for cut in 0..=1_000 {
        let start = Start::After(EventId::new(EPOCH, cut));
        let mut resumed = log.reader(&filter("*"), start).unwrap();
        assert_eq!(resumed.outcome(), Outcome::Resumed);
        let expected: Vec<u64> = (cut + 1..=1_000).collect();
        assert_eq!(read(&mut resumed), expected, "after {cut}");
    }
}

// QP-2.5: an epoch names one log.
#[test]
fn a_cursor_of_another_log_or_beyond_the_head_is_a_reset() {
    let log = log(Config::default());
    publish(&log, "a", b"1");
    for cursor in [EventId::new(Epoch::new(6), 1), EventId::new(EPOCH, 2)] {
        let mut reader = log.reader(&filter("a"), Start::After(cursor)).unwrap();
        assert_eq!(reader.outcome(), Outcome::Reset);
        assert_eq!(read(&mut reader), [1], "goes on from the oldest kept");
    }
}

#[test]
fn a_cursor_below_what_is_kept_is_told_so_before_the_first_event() {
    let log = log(Config::default().history_events(3));
    (0..10).for_each(|_| assert!(publish(&log, "a", b"").seq() > 0));
    let start = Start::After(EventId::new(EPOCH, 2));
    let mut reader = log.reader(&filter("a"), start).unwrap();
    assert_eq!(reader.outcome(), Outcome::Gap);
    let mut batches = Vec::new();
    let Step::Gap(gap) = reader.step(1, &mut batches) else {
        panic!("the gap comes first")
    };
    assert_eq!((gap.after, gap.to, gap.at_most), (2, 7, 5));
    assert_eq!(read(&mut reader), [8, 9, 10]);
}

/// A wall clock and a monotonic clock with the same time.
fn at(seconds: u64) -> Now {
    Now {
        wall: Timestamp::from_micros(seconds * 1_000_000),
        monotonic: Duration::from_secs(seconds),
    }
}

fn publish_at(log: &Log, seconds: u64, topic: &str) -> EventId {
    let event = NewEvent::new(TopicRef::new(topic).unwrap(), b"x");
    log.append(at(seconds), event).unwrap()
}

#[test]
fn a_start_at_a_time_begins_with_the_first_event_of_that_time() {
    let log = log(Config::default());
    for second in [1, 2, 2, 5] {
        publish_at(&log, second, "a");
    }
    let since = |seconds: u64| {
        let time = Start::Since(Timestamp::from_micros(seconds * 1_000_000));
        let mut reader = log.reader(&filter("a"), time).unwrap();
        assert_eq!(reader.outcome(), Outcome::Resumed);
        read(&mut reader)
    };
    assert_eq!(since(0), [1, 2, 3, 4]);
    assert_eq!(since(2), [2, 3, 4]);
    assert_eq!(since(3), [4]);
    assert!(since(9).is_empty());
}

#[test]
fn the_history_tells_every_part_of_an_event() {
    // With 16 segments, so that each is reused again and again.
    let log = log(Config::default().history_bytes(64 << 10));
    let mut told = Vec::new();
    for n in 1..=3_000_u64 {
        // Several events at one time, then both clocks advance, then each alone.
        let now = Now {
            wall: Timestamp::from_micros(n / 7 * 10),
            monotonic: Duration::from_micros(n / 5),
        };
        let topic = ["a", "b", "b.c"][(n % 3) as usize];
        let kind = Kind::new(["message", "created", "k"][(n % 4 % 3) as usize]).unwrap();
        let data = vec![n as u8; (n * n % 97) as usize];
        let event = NewEvent::new(TopicRef::new(topic).unwrap(), &data).kind(&kind);
        assert_eq!(log.append(now, event).unwrap().seq(), n);
        told.push(Event::new(
            EventId::new(EPOCH, n),
            Topic::new(topic).unwrap(),
            kind,
            now.wall,
            data.into(),
        ));
    }
    for pattern in ["*", "a", "b.*"] {
        let mut reader = log.reader(&filter(pattern), Start::Earliest).unwrap();
        let (mut read, mut batches) = (Vec::new(), Vec::new());
        while !matches!(reader.step(1 << 20, &mut batches), Step::Idle(_)) {
            let events = batches.drain(..).flat_map(|batch| batch.events(EPOCH));
            read.extend(events.map(Result::unwrap));
        }
        let first = read.first().unwrap().id();
        assert!(first.seq() > 1_000, "{first} is long gone");
        let matching = told
            .iter()
            .filter(|event| filter(pattern).matches(event.topic()));
        let kept: Vec<_> = matching
            .filter(|event| event.id() >= first)
            .cloned()
            .collect();
        assert_eq!(read, kept, "{pattern}");
    }
}

#[test]
fn a_start_at_a_time_gives_nothing_older_that_a_feed_still_has() {
    let log = log(Config::default().history_events(2));
    // Because of this reader the feed retains everything.
    let _other = log.reader(&filter("a"), Start::Live).unwrap();
    for second in [1, 2, 3, 4, 5] {
        publish_at(&log, second, "a");
    }
    let time = Start::Since(Timestamp::from_micros(2_000_000));
    let mut reader = log.reader(&filter("a"), time).unwrap();
    assert_eq!(
        (reader.outcome(), reader.started().seq()),
        (Outcome::Resumed, 1)
    );
    assert_eq!(read(&mut reader), [2, 3, 4, 5]);
    // Without such a feed it is no longer known where that was.
    let mut reader = log.reader(&filter("*"), time).unwrap();
    assert_eq!(
        (reader.outcome(), reader.started().seq()),
        (Outcome::Gap, 0)
    );
    let Step::Gap(gap) = reader.step(1, &mut Vec::new()) else {
        panic!("a gap first")
    };
    assert_eq!((gap.after, gap.to), (0, 3));
    assert_eq!(read(&mut reader), [4, 5]);
}

#[test]
fn a_start_at_a_time_that_is_gone_says_so() {
    let log = log(Config::default().history_events(2));
    for second in 1..=4 {
        publish_at(&log, second, "a");
    }
    let time = Start::Since(Timestamp::from_micros(2_000_000));
    let mut reader = log.reader(&filter("a"), time).unwrap();
    assert_eq!(reader.outcome(), Outcome::Gap);
    let mut batches = Vec::new();
    assert!(matches!(reader.step(1, &mut batches), Step::Gap(gap) if gap.to == 2));
    assert_eq!(read(&mut reader), [3, 4]);
}

#[test]
fn the_last_events_of_each_topic_come_first_and_then_everything() {
    let log = log(Config::default());
    for topic in ["a.x", "a.y", "a.x", "b", "a.x", "a.y"] {
        publish(&log, topic, b"1");
    }
    let mut one = log.reader(&filter("a.*"), Start::Last(1)).unwrap();
    let mut two = log.reader(&filter("*"), Start::Last(2)).unwrap();
    let mut none = log.reader(&filter("a.*"), Start::Last(0)).unwrap();
    publish(&log, "a.x", b"2");
    publish(&log, "a.x", b"2");
    assert_eq!(
        one.started().seq(),
        4,
        "nothing of it is skipped by a resume"
    );
    assert_eq!(read(&mut one), [5, 6, 7, 8]);
    assert_eq!(read(&mut two), [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(read(&mut none), [7, 8]);
}

/// Reads until there is no more. Returns the seqs and the ranges of the gaps.
fn told(reader: &mut Reader) -> (Vec<u64>, Vec<(u64, u64)>) {
    let (mut seqs, mut gaps, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match reader.step(1 << 20, &mut batches) {
            Step::Idle(_) => return (seqs, gaps),
            Step::Gap(gap) => gaps.push((gap.after, gap.to)),
            _ => {}
        }
        for batch in batches.drain(..) {
            seqs.extend(batch.iter().map(|event| event.seq()));
        }
    }
}

#[test]
fn of_the_last_events_those_that_are_gone_are_told() {
    let log = log(Config::default().history_events(3));
    for _ in 0..5 {
        publish(&log, "a", b"x");
    }
    let last = || log.reader(&filter("a"), Start::Last(2)).unwrap();
    assert_eq!(told(&mut last()), (vec![4, 5], vec![]));
    let mut reader = last();
    for _ in 0..2 {
        publish(&log, "a", b"x");
    }
    assert_eq!(told(&mut reader), (vec![5, 6, 7], vec![(3, 4)]));
}

#[test]
fn what_a_lagging_reader_was_told_it_is_not_told_again() {
    let (log, mut reader) = lagging_in(Config::default().history_events(2), OnLag::Latest);
    let step = reader.step(1, &mut Vec::new());
    assert!(matches!(step, Step::Gap(gap) if (gap.after, gap.to) == (0, 1_000)));
    // Event 999, which was selected, is removed.
    publish(&log, "c", b"x");
    assert_eq!(told(&mut reader), (vec![1_000, 1_001], vec![]));
}

#[test]
fn events_that_are_appended_together_follow_one_another() {
    let log = log(Config::default());
    let event = |topic| NewEvent::new(TopicRef::new(topic).unwrap(), b"x");
    let append = |events: &[NewEvent<'_>]| log.append_all(Now::default(), events).unwrap();
    let appended = append(&[event("a"), event("b"), event("a")]).unwrap();
    assert_eq!(
        (appended.first, appended.last.seq()),
        (EventId::new(EPOCH, 1), 3)
    );
    assert_eq!(append(&[]), None);
    assert_eq!(log.visible().seq(), 3);
}

#[test]
fn memory_of_history_is_that_of_events_and_of_their_lists() {
    let log = log(Config::default());
    for _ in 0..10_000 {
        publish(&log, "a", b"");
    }
    // Eight bytes each for the kind, for the location of the event and for its seq, and room to
    // grow.
    let bytes = log.stats().history_bytes;
    assert!((250_000..500_000).contains(&bytes), "{bytes} bytes");
}

#[test]
fn one_topic_of_many_is_read_without_the_others() {
    let log = log(Config::default());
    for n in 0..20_000 {
        publish(&log, &format!("t.{}", n % 10_000), b"x");
    }
    let mut reader = log.reader(&filter("t.77"), Start::Earliest).unwrap();
    let mut batches = Vec::new();
    assert_eq!(reader.step(1 << 20, &mut batches), Step::Batches);
    assert_eq!(batches.iter().map(|batch| batch.count()).sum::<u32>(), 2);
    assert!(matches!(reader.step(1 << 20, &mut batches), Step::Idle(_)));
}

/// A reader that was live and then fell out of its feed, with 1,000 events on two topics after it.
fn lagging(on_lag: OnLag) -> (Log, Reader) {
    lagging_in(Config::default(), on_lag)
}

fn lagging_in(config: Config, on_lag: OnLag) -> (Log, Reader) {
    let log = log(config.feed_bytes(4 << 10));
    let mut reader = log.reader_with(&filter("*"), Start::Live, on_lag).unwrap();
    assert!(read(&mut reader).is_empty());
    for n in 0..1_000 {
        publish(&log, ["a", "b"][n % 2], &[0; 100]);
    }
    (log, reader)
}

#[test]
fn a_lagging_reader_that_skips_goes_on_with_what_is_new() {
    let (log, mut reader) = lagging(OnLag::Skip);
    let Step::Gap(gap) = reader.step(1, &mut Vec::new()) else {
        panic!("a gap first")
    };
    assert_eq!(
        (gap.after, gap.to, gap.reason),
        (0, 1_000, GapReason::Skipped)
    );
    publish(&log, "a", b"new");
    assert_eq!(read(&mut reader), [1_001]);
}

#[test]
fn a_lagging_reader_that_wants_the_latest_gets_the_last_of_each_topic() {
    let (log, mut reader) = lagging(OnLag::Latest);
    let Step::Gap(gap) = reader.step(1, &mut Vec::new()) else {
        panic!("a gap first")
    };
    assert_eq!(
        (gap.after, gap.to, gap.reason),
        (0, 1_000, GapReason::Latest)
    );
    publish(&log, "b", b"new");
    assert_eq!(read(&mut reader), [999, 1_000, 1_001]);
}

#[test]
fn a_lagging_reader_may_end_instead() {
    let (_log, mut reader) = lagging(OnLag::Disconnect);
    assert_eq!(reader.step(1, &mut Vec::new()), Step::Lagged);
}

#[test]
fn catching_up_at_the_start_is_no_lag() {
    let (log, _reader) = lagging(OnLag::CatchUp);
    for on_lag in [OnLag::Skip, OnLag::Latest, OnLag::Disconnect] {
        let mut reader = log
            .reader_with(&filter("b"), Start::Earliest, on_lag)
            .unwrap();
        assert_eq!(read(&mut reader).len(), 500, "{on_lag:?}");
    }
}

#[test]
fn only_those_whose_topics_lost_something_are_told_of_a_gap() {
    let busy = TopicRetention::of("busy.*".parse().unwrap()).max_events(3);
    let log = log(Config::default().retain(busy));
    let start = publish(&log, "quiet", b"1");
    for _ in 0..10 {
        publish(&log, "busy.one", b"x");
    }
    publish(&log, "quiet", b"2");
    // The feeds have no readers any more, so everything comes from the history.
    let mut quiet = log.reader(&filter("quiet"), Start::After(start)).unwrap();
    assert_eq!(quiet.outcome(), Outcome::Resumed);
    assert_eq!(read(&mut quiet), [12]);
    let mut busy = log.reader(&filter("busy.*"), Start::After(start)).unwrap();
    assert_eq!(busy.outcome(), Outcome::Gap);
    assert!(
        matches!(busy.step(1, &mut Vec::new()), Step::Gap(gap) if (gap.after, gap.to) == (1, 8))
    );
    assert_eq!(read(&mut busy), [9, 10, 11]);
}

#[test]
fn a_feed_nobody_reads_holds_nothing_and_goes_after_a_while() {
    let log = log(Config::default());
    drop(log.reader(&filter("*"), Start::Live).unwrap());
    (0..100).for_each(|_| assert!(publish(&log, "a", &[0; 1_000]).seq() > 0));
    assert_eq!((log.stats().feeds, log.stats().feed_bytes), (1, 0));
    log.sweep(Now {
        monotonic: Duration::from_secs(1),
        ..Now::default()
    });
    assert_eq!(log.stats().feeds, 1);
    log.sweep(Now {
        monotonic: Duration::from_secs(12),
        ..Now::default()
    });
    assert_eq!(log.stats().feeds, 0);
}

#[test]
fn a_stalled_reader_costs_no_more_than_the_feed() {
    let config = Config::default().feed_bytes(1 << 20).history_bytes(4 << 20);
    let log = log(config.clone());
    let stalled: Vec<Reader> = (0..100)
        .map(|_| log.reader(&filter("*"), Start::Live).unwrap())
        .collect();
    for _ in 0..100_000 {
        publish(&log, "a", &[0; 200]);
    }
    let stats = log.stats();
    assert!(
        stats.feed_bytes <= config.feed_bytes + (128 << 10),
        "{stats:?}"
    );
    assert!(stats.history_bytes <= config.history_bytes, "{stats:?}");
    drop(stalled);
}

#[test]
fn ten_thousand_filters_stay_within_the_bound_of_all_feeds() {
    let config = Config::default().feeds_bytes(8 << 20).feed_min_bytes(0);
    let log = log(config.clone());
    let readers: Vec<Reader> = (0..10_000)
        .map(|n| {
            log.reader(&filter(&format!("t{n}.*")), Start::Live)
                .unwrap()
        })
        .collect();
    for round in 0..30u64 {
        for n in 0..10_000 {
            publish(&log, &format!("t{n}.x"), &[round as u8; 100]);
        }
    }
    assert!(
        log.stats().feed_bytes <= 2 * config.feeds_bytes,
        "{:?}",
        log.stats()
    );
    drop(readers);
}

#[test]
fn an_event_larger_than_its_feed_comes_from_the_history() {
    let log = log(Config::default().feed_bytes(10_000));
    let mut reader = log.reader(&filter("*"), Start::Live).unwrap();
    publish(&log, "a", &[7; 100_000]);
    publish(&log, "a", b"small");
    assert_eq!(read(&mut reader), [1, 2]);
}

#[test]
fn an_event_over_the_limit_is_refused_and_takes_no_seq() {
    let log = log(Config::default().max_event_bytes(10));
    let event = NewEvent::new(TopicRef::new("a").unwrap(), &[0; 11]);
    let refused = log.append(Now::default(), event);
    assert!(matches!(
        refused,
        Err(AppendError::TooLarge {
            bytes: 11,
            limit: 10
        })
    ));
    assert_eq!(publish(&log, "a", &[0; 10]).seq(), 1);
}

#[test]
fn the_time_of_events_never_goes_back() {
    let log = log(Config::default());
    let mut reader = log.reader(&filter("a"), Start::Live).unwrap();
    for micros in [100, 50, 200] {
        let now = Now {
            wall: Timestamp::from_micros(micros),
            ..Now::default()
        };
        log.append(now, NewEvent::new(TopicRef::new("a").unwrap(), b""))
            .unwrap();
    }
    let mut batches = Vec::new();
    reader.step(1 << 20, &mut batches);
    let times = batches.iter().flat_map(|batch| batch.events(EPOCH));
    let times: Vec<u64> = times
        .map(|event| event.unwrap().time().as_micros())
        .collect();
    assert_eq!(times, [100, 100, 200]);
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_a_matching_event_only() {
    let log = log(Config::default());
    let mut reader = log.reader(&filter("a"), Start::Live).unwrap();
    publish(&log, "b", b"");
    let mut batches = Vec::new();
    assert!(matches!(reader.step(1, &mut batches), Step::Idle(id) if id.seq() == 1));
    let mut waiting = tokio_test(reader.ready());
    assert!(waiting.poll().is_pending());
    publish(&log, "b", b"");
    assert!(waiting.poll().is_pending(), "not for a topic of others");
    publish(&log, "a", b"");
    assert!(waiting.poll().is_ready());
}

#[tokio::test]
async fn no_wake_up_is_lost_between_publisher_and_readers() {
    let log = log(Config::default());
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let mut reader = log.reader(&filter("*"), Start::Live).unwrap();
            tokio::spawn(async move {
                let (mut count, mut batches) = (0, Vec::new());
                while count < 5_000 {
                    if let Step::Idle(_) = reader.step(1 << 16, &mut batches) {
                        reader.ready().await;
                    }
                    count += batches.drain(..).map(|batch| batch.count()).sum::<u32>();
                }
                count
            })
        })
        .collect();
    for n in 0..5_000 {
        publish(&log, "a", b"x");
        if n % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 5_000);
    }
}

#[test]
fn topics_are_known_by_declaration_or_by_a_kept_event() {
    let log = log(Config::default().history_events(1));
    log.declare(TopicRef::new("declared").unwrap());
    publish(&log, "gone", b"");
    publish(&log, "kept", b"");
    let names = log
        .topics_matching(&Pattern::new("*").unwrap(), usize::MAX)
        .unwrap();
    assert_eq!(
        names.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["declared", "kept"]
    );
    let counts = log.take_published(usize::MAX);
    assert_eq!(counts.len(), 2);
    assert!(log.take_published(usize::MAX).is_empty());
}

/// Counts the turns that are held.
struct HeldTurn<'c>(&'c Cell<usize>);

impl<'c> HeldTurn<'c> {
    fn new(held: &'c Cell<usize>) -> Self {
        held.set(held.get() + 1);
        assert_eq!(held.get(), 1, "one turn at a time");
        Self(held)
    }
}

impl Drop for HeldTurn<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[tokio::test]
async fn a_search_has_a_turn_for_each_part_but_the_first() {
    let log = log(Config::default());
    for n in 0..8_192 {
        publish(&log, &format!("t.{n}"), b"");
    }
    let (held, turns) = (Cell::new(0), Cell::new(0));
    let turn = async || {
        turns.set(turns.get() + 1);
        HeldTurn::new(&held)
    };
    let topics = |pattern: &'static str, limit| {
        let pattern = Pattern::new(pattern).unwrap();
        let (log, turn) = (&log, &turn);
        async move {
            let found = log.topics_matching_in_turns(&pattern, limit, turn).await;
            found.unwrap().len()
        }
    };
    assert_eq!(topics("*.*.none", 9).await, 0);
    assert_eq!(turns.take(), 4, "parts of 2,048 topics, and the end");
    assert_eq!(topics("*", 10_000).await, 8_192);
    assert_eq!(turns.take(), 4);
    assert_eq!(topics("*", 9).await, 9, "it stops at the limit");
    assert_eq!(turns.take(), 0);
    let stats = log.topic_stats((&Pattern::new("*").unwrap()).into(), 10_000);
    assert_eq!(stats.unwrap().len(), 8_192);

    let all = filter("*");
    let open = log.open_in_turns(&all, Start::Last(1), OnLag::CatchUp, turn);
    let mut reader = open.await.unwrap();
    assert_eq!((turns.take(), held.get()), (32, 0), "parts of 256 topics");
    let mut batches = Vec::new();
    assert_eq!(reader.step(1 << 20, &mut batches), Step::Batches);
    // They would fit into one batch.
    assert_eq!((batches[0].count(), reader.is_searching()), (512, true));
    assert_eq!(read(&mut reader).len(), 8_192 - 512);
    assert!(!reader.is_searching());
}

#[test]
fn a_read_that_finds_little_in_many_events_is_a_search() {
    let log = log(Config::default());
    for n in 0..3_000 {
        publish(&log, &format!("t.{n}"), b"");
        if n % 1_000 == 0 {
            publish(&log, "t.few.x", b"");
        }
    }
    let steps = |filter: &Filter| {
        let mut reader = log.reader(filter, Start::Earliest).unwrap();
        let (mut batches, mut searches) = (Vec::new(), Vec::new());
        while !matches!(reader.step(1 << 20, &mut batches), Step::Idle(_)) {
            searches.push(reader.is_searching());
        }
        (batches.len(), searches)
    };
    let (few, searches) = steps(&filter("*.*.x"));
    // The first two are within one read.
    assert_eq!((few, searches), (2, vec![true; 3]));
    let (all, searches) = steps(&filter("*"));
    assert_eq!((all, searches), (3, vec![false; 3]));
}

/// Polls a future by hand.
fn tokio_test<F: Future>(future: F) -> Polled<F> {
    Polled(Box::pin(future))
}

struct Polled<F>(std::pin::Pin<Box<F>>);

impl<F: Future> Polled<F> {
    fn poll(&mut self) -> std::task::Poll<F::Output> {
        let waker = std::task::Waker::noop();
        self.0
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker))
    }
}

static ENCODED: AtomicUsize = AtomicUsize::new(0);

fn take(reader: &mut Reader) -> Vec<Batch> {
    let mut batches = Vec::new();
    assert_eq!(reader.step(1 << 20, &mut batches), Step::Batches);
    batches
}

/// Returns the data of a batch's events, joined, and counts its calls.
fn joined(batch: &Batch, _: Epoch) -> Bytes {
    ENCODED.fetch_add(1, Ordering::Relaxed);
    batch
        .iter()
        .flat_map(|event| event.data().to_vec())
        .collect()
}

#[test]
fn readers_of_a_feed_may_get_its_topics_with_and_without_a_prefix() {
    let frames = Encoding::new("frames", |batch, _| batch.bytes().clone());
    let log = log(Config::default());
    let mut readers: Vec<_> = (0..3)
        .map(|_| log.reader(&filter("acme.*"), Start::Live).unwrap())
        .collect();
    publish(&log, "acme.ride.7", b"one");
    publish(&log, "acme.people", b"two");
    let batches: Vec<_> = readers
        .iter_mut()
        .map(|reader| take(reader).remove(0))
        .collect();
    let encoded = |n: usize, prefix| readers[n].encoded(&batches[n], frames.without_prefix(prefix));
    let names = |frame: Bytes| -> Vec<String> {
        let batch = Batch::decode(frame).unwrap();
        assert_eq!((batch.first_seq(), batch.count()), (1, 2));
        batch.topics().map(str::to_owned).collect()
    };
    let inner = encoded(0, "acme.".len());
    assert_eq!(names(inner.clone()), ["ride.7", "people"]);
    assert_eq!(names(encoded(1, 0)), ["acme.ride.7", "acme.people"]);
    let shared = encoded(2, "acme.".len());
    assert_eq!(shared.as_ptr(), inner.as_ptr(), "it is encoded once");
}

#[test]
fn a_batch_is_encoded_once_for_all_readers_of_a_feed() {
    let encoding = Encoding::new("joined", joined);
    let log = log(Config::default().feed_bytes(8 << 10));
    let mut readers: Vec<_> = (0..10)
        .map(|_| log.reader(&filter("*"), Start::Live).unwrap())
        .collect();
    let idle_bytes = log.stats().feed_bytes;
    publish(&log, "a", b"one");
    publish(&log, "b", b"two");
    for reader in &mut readers {
        let batch = take(reader).remove(0);
        assert_eq!(reader.encoded(&batch, encoding), "onetwo");
    }
    assert_eq!(ENCODED.load(Ordering::Relaxed), 1);
    assert!(log.stats().feed_bytes > idle_bytes + 12, "it is counted");

    // Events that were removed from a batch do not come back with another batch of the same seqs.
    publish(&log, "a", b"1");
    publish(&log, "secret", b"2");
    publish(&log, "a", b"3");
    let whole = take(&mut readers[0]).remove(0);
    let part = whole.retain(|topic| topic != "secret").unwrap();
    assert_eq!(
        (part.first_seq(), part.last_seq()),
        (whole.first_seq(), whole.last_seq())
    );
    assert_eq!(readers[0].encoded(&whole, encoding), "123");
    assert_eq!(readers[1].encoded(&part, encoding), "13");
    assert_eq!(readers[2].encoded(&whole, encoding), "123");
    assert_eq!(ENCODED.load(Ordering::Relaxed), 3);

    // Other encodings are dropped with their batches, and are within the same limit.
    for _ in 0..100 {
        publish(&log, "a", &[0; 1_000]);
        let batch = take(&mut readers[0]).remove(0);
        readers[0].encoded(&batch, encoding);
    }
    assert!(
        log.stats().feed_bytes < 12 << 10,
        "{}",
        log.stats().feed_bytes
    );
}

#[tokio::test]
async fn a_publisher_may_wait_for_those_who_keep_up() {
    let log = log(Config::default().feed_bytes(8 << 10));
    let mut quick = log.reader(&filter("*"), Start::Live).unwrap();
    let mut slow = log.reader(&filter("a"), Start::Live).unwrap();
    let _other = log.reader(&filter("zzz"), Start::Live).unwrap();
    read(&mut slow);
    let id = publish(&log, "a", b"x");
    let taken = tokio::spawn({
        let log = log.clone();
        async move { log.taken(id.seq()).await }
    });
    assert_eq!(read(&mut quick), [1]);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!taken.is_finished(), "one of two has not taken it");
    let mut batches = Vec::new();
    assert_eq!(slow.step(1, &mut batches), Step::Batches);
    tokio::task::yield_now().await;
    assert!(
        !taken.is_finished(),
        "it was handed out, and nobody knows whether it was dealt with"
    );
    assert!(matches!(slow.step(1, &mut batches), Step::Idle(_)));
    taken.await.unwrap();

    // A reader that lags, or is gone, is not waited for.
    for _ in 0..100 {
        publish(&log, "a", &[0; 1_000]);
    }
    read(&mut quick);
    slow.step(1, &mut batches);
    assert!(slow.is_lagging());
    log.taken(log.visible().seq()).await;
    read(&mut slow);
    let id = publish(&log, "a", b"y");
    read(&mut quick);
    drop(slow);
    log.taken(id.seq()).await;
}

#[test]
fn topics_that_a_rule_has_emptied_are_nobody_elses() {
    let none = TopicRetention::of("s.*".parse().unwrap()).max_events(0);
    let log = log(Config::default().history_bytes(16 << 20).retain(none));
    // More topics than are remembered, all of which still have a record in the history.
    for n in 0..70_000 {
        publish(&log, &format!("s.{n}"), b"x");
        if n % 1_000 == 0 {
            log.take_published(usize::MAX);
        }
    }
    for n in 0..1_000 {
        publish(&log, &format!("b.{n}"), b"y");
    }
    let mut reader = log.reader(&filter("*"), Start::Earliest).unwrap();
    let mut topics = Vec::new();
    let mut batches = Vec::new();
    while !matches!(reader.step(1 << 20, &mut batches), Step::Idle(_)) {
        let names = batches.drain(..).flat_map(|batch| {
            let events = batch.iter();
            events
                .map(|event| event.topic().to_owned())
                .collect::<Vec<_>>()
        });
        topics.extend(names);
    }
    assert!(
        topics
            .iter()
            .eq(&(0..1_000).map(|n| format!("b.{n}")).collect::<Vec<_>>())
    );
    // The history continues to remove what it has no room for.
    let large = vec![0; 64 << 10];
    for _ in 0..1_000 {
        publish(&log, "b.0", &large);
    }
    assert!(log.stats().history_bytes <= 16 << 20);
    let quiet = log
        .reader(&filter("b.999"), Start::After(EventId::new(EPOCH, 1)))
        .unwrap();
    assert_eq!(quiet.outcome(), Outcome::Gap, "what was let go of is told");
}

#[test]
fn what_the_log_holds_counts_in_its_budget() {
    let log = Log::new(Epoch::new(1), Config::default().memory_bytes(1 << 30));
    assert_eq!((log.budget().used(), log.budget().limit()), (0, 1 << 30));
    let topic = || "a".try_into().unwrap();
    for _ in 0..100 {
        let event = NewEvent::new(topic(), &[7; 1_000]);
        log.append(Now::default(), event).unwrap();
    }
    let stats = log.stats();
    assert!(stats.history_bytes > 100_000 && stats.topic_bytes > 0);
    let held = stats.history_bytes + stats.topic_bytes;
    assert_eq!(log.budget().used(), held);
    let other = log.budget().charge(500);
    assert_eq!(log.budget().used(), held + 500);
    drop((other, log.clone()));
    assert_eq!(log.budget().used(), held);
}
