//! What the history contains, finds and removes.

use std::time::Duration;

use qsse_topic::TopicRef;

use super::*;
use crate::config::TopicRetention;
use crate::event::{Incoming, LARGE};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// A history with its topics and limits.
struct Kit {
    config: Config,
    history: History,
    topics: Topics,
}

impl Kit {
    fn new(config: Config) -> Self {
        Self {
            history: History::new(&config, Batches::default()),
            topics: Topics::new(&config.retention),
            config,
        }
    }

    /// Appends an event with a time and age of `at` seconds.
    fn append(&mut self, seq: u64, at: u64, topic: &str, bytes: usize) -> bool {
        let id = self.topics.resolve(TopicRef::new(topic).unwrap());
        let data = vec![b'x'; bytes];
        let event = Incoming {
            seq,
            time: time(at),
            topic,
            kind: "k",
            data: &data,
        };
        let large = event.large();
        let large = large.map(|batch| self.history.batches.hold_large(batch));
        let record = Record {
            seq,
            time: time(at),
            age: seconds(at),
            topic: id,
            kind: "k",
            data: &data,
            large: large.as_ref(),
        };
        self.history.append(record, &mut self.topics)
    }

    fn trim(&mut self, now: Duration) {
        self.history.trim(&self.config, now, &mut self.topics);
    }

    fn trim_topic(&mut self, topic: &str, now: Duration) {
        let id = self.topics.resolve(TopicRef::new(topic).unwrap());
        let rule = &self.config.retention[self.topics.rule(id).unwrap()];
        self.history.trim_topic(id, rule, now, &mut self.topics);
    }

    /// Returns the seqs in (after, upto] that a reader of `filter` gets.
    fn read(&self, filter: &str, after: u64, upto: u64) -> Vec<u64> {
        let filter: Filter = filter.parse().unwrap();
        let (mut after, mut seqs) = (after, Vec::new());
        while after < upto {
            let read = self.history.read(&filter, &self.topics, after, upto);
            let batch = read.batch.iter().flat_map(Batch::iter);
            seqs.extend(batch.map(|event| event.seq()));
            assert!(read.through > after, "it goes on");
            after = read.through;
        }
        seqs
    }

    fn kept(&mut self, topic: &str) -> Vec<u64> {
        let id = self.topics.resolve(TopicRef::new(topic).unwrap());
        self.topics.seqs(id).iter().copied().collect()
    }

    /// Returns the allocated bytes of all segments and of the spare one.
    fn allocated(&self) -> usize {
        let segments = self.history.segments.iter().chain(&self.history.spare);
        segments.map(Segment::allocated).sum()
    }
}

#[test]
fn a_time_is_found_as_long_as_all_of_it_is_there() {
    let mut kit = Kit::new(Config::default());
    assert_eq!(kit.history.before(time(0)), Some(0));
    for (seq, at) in [(1, 0), (2, 5), (3, 5), (4, 9)] {
        kit.append(seq, at, "a", 10);
    }
    let before = |kit: &Kit| [0, 1, 5, 6, 9, 10].map(|at| kit.history.before(time(at)));
    let all = [0, 1, 1, 3, 3, 4].map(Some);
    assert_eq!(before(&kit), all);
    kit.history.drop_through(2, &mut kit.topics);
    assert_eq!(
        before(&kit),
        [None, None, None, Some(3), Some(3), Some(4)],
        "the first event of 5 s is gone"
    );
    // A hole in the seqs begins a segment.
    kit.append(7, 9, "a", 10);
    kit.append(8, 20, "a", 10);
    let before = [9, 10, 20, 21].map(|at| kit.history.before(time(at)));
    assert_eq!(before, [3, 7, 7, 8].map(Some));
    kit.history.begin_after(100, time(30));
    assert_eq!(kit.history.floor(), 100);
}

#[test]
fn bytes_are_those_of_all_segments_and_stay_within_the_bound() {
    let bound = 128 << 10;
    let mut kit = Kit::new(Config::default().history_bytes(bound));
    let segment = kit.history.segment_bytes;
    assert_eq!(segment, 8 << 10);
    let mut filled = 0;
    for seq in 1..=3_000 {
        let begun = kit.append(seq, seq, "a", 100);
        assert_eq!(kit.history.bytes(), kit.allocated());
        let all = kit.history.bytes() + kit.topics.index_bytes();
        if kit.history.floor() == 0 {
            filled = all;
        }
        assert!(
            begun || all <= bound,
            "only a segment that grows needs room"
        );
        if begun {
            kit.trim(seconds(seq));
            let all = kit.history.bytes() + kit.topics.index_bytes();
            assert!(all <= bound, "{all}");
        }
    }
    assert!(
        filled > bound - 3 * segment,
        "nothing goes before: {filled}"
    );
    let held = 3_000 - kit.history.floor();
    assert_eq!(kit.history.events(), held);
    assert_eq!(kit.kept("a").len() as u64, held);
    assert_eq!(kit.read("a", kit.history.floor(), 3_000).len() as u64, held);
}

#[test]
fn segments_are_filled_before_the_next_one_begins() {
    let mut kit = Kit::new(Config::default().history_bytes(64 << 10));
    assert_eq!(kit.history.segment_bytes, 4 << 10);
    // One byte for the length of the kind, and one for the kind.
    for seq in 1..=65 {
        kit.append(seq, 1, "a", 62);
    }
    let lens: Vec<_> = kit.history.segments.iter().map(Segment::len).collect();
    assert_eq!(lens, [64, 1]);
    // With 17 bytes each, 16 are left.
    let mut other = Kit::new(kit.config.clone());
    for seq in 1..=241 {
        other.append(seq, 1, "a", 15);
    }
    let lens: Vec<_> = other.history.segments.iter().map(Segment::len).collect();
    assert_eq!(lens, [240, 1]);
    kit.append(66, 1, "a", 10_000);
    kit.append(67, 1, "a", 1);
    let lens: Vec<_> = kit.history.segments.iter().map(Segment::len).collect();
    assert_eq!(lens, [64, 1, 1, 1], "an event may be longer than a segment");
}

#[test]
fn the_number_of_events_is_bounded_exactly() {
    let mut kit = Kit::new(Config::default().history_events(10));
    for seq in 1..=10 {
        kit.append(seq, seq, "a", 10);
        kit.trim(seconds(seq));
    }
    assert_eq!((kit.history.events(), kit.history.floor()), (10, 0));
    for seq in 11..=25 {
        kit.append(seq, seq, "a", 10);
        kit.trim(seconds(seq));
        assert_eq!((kit.history.events(), kit.history.floor()), (10, seq - 10));
        assert_eq!(kit.kept("a")[0], seq - 9);
    }
    // With a hole in the seqs, between two segments.
    kit.append(40, 40, "a", 10);
    kit.trim(seconds(40));
    assert_eq!(
        kit.read("a", 16, 40),
        [17, 18, 19, 20, 21, 22, 23, 24, 25, 40]
    );
    for seq in 41..=49 {
        kit.append(seq, seq, "a", 10);
        kit.trim(seconds(seq));
    }
    assert_eq!((kit.history.events(), kit.history.floor()), (10, 25));
    kit.append(50, 50, "a", 10);
    kit.trim(seconds(50));
    assert_eq!((kit.history.events(), kit.history.floor()), (10, 40));
}

#[test]
fn an_event_goes_when_it_is_as_old_as_the_bound() {
    let mut kit = Kit::new(Config::default().history_age(seconds(10)));
    for (seq, at) in [(1, 1), (2, 1), (3, 5), (10, 6)] {
        kit.append(seq, at, "a", 10);
    }
    let nanos = Duration::from_nanos(1);
    for (now, floor) in [
        (seconds(5), 0),
        (seconds(11) - nanos, 0),
        (seconds(11), 2),
        (seconds(15) - nanos, 2),
        (seconds(15), 3),
        (seconds(16) - nanos, 3),
        (seconds(16), 10),
    ] {
        kit.trim(now);
        assert_eq!(kit.history.floor(), floor, "at {now:?}");
    }
    // The memory of the last segment is reused for the next one, until a sweep has seen none.
    kit.trim(seconds(17));
    assert_eq!((kit.history.events(), kit.history.bytes()), (0, 0));
    assert_eq!(kit.topics.len(), 0);
}

#[test]
fn each_rule_of_a_topic_holds_exactly() {
    let rule = |pattern: &str| TopicRetention::of(pattern.parse().unwrap());
    let config = Config::default()
        .retain(rule("events").max_events(2))
        .retain(rule("bytes").max_bytes(22))
        .retain(rule("age").max_age(seconds(10)));
    let mut kit = Kit::new(config);
    let mut seq = 0;
    for at in 1..=4 {
        for topic in ["events", "bytes", "age", "other"] {
            seq += 1;
            kit.append(seq, at, topic, 10);
        }
    }
    kit.trim_topic("events", seconds(4));
    kit.trim_topic("bytes", seconds(4));
    assert_eq!(kit.kept("events"), [9, 13]);
    assert_eq!(kit.kept("bytes"), [10, 14], "eleven bytes each");
    for (now, kept) in [
        (seconds(5), &[3, 7, 11, 15][..]),
        (seconds(11) - Duration::from_nanos(1), &[3, 7, 11, 15]),
        (seconds(11), &[7, 11, 15]),
        (seconds(13), &[15]),
    ] {
        kit.trim_topic("age", now);
        assert_eq!(kit.kept("age"), kept, "at {now:?}");
    }
    assert_eq!(kit.read("*", 0, 16), [4, 8, 9, 10, 12, 13, 14, 15, 16]);
    assert_eq!(kit.read("events", 0, 16), [9, 13]);
    // They are removed with their segment, and only once.
    kit.history.drop_through(12, &mut kit.topics);
    assert_eq!((kit.history.events(), kit.kept("events")), (4, vec![13]));
    let bytes = kit.topics.resolve(TopicRef::new("bytes").unwrap());
    assert_eq!(kit.topics.bytes(bytes), 11);
    assert_eq!(kit.kept("other"), [16]);
}

#[test]
fn one_topic_is_read_as_if_everything_were_looked_at() {
    let mut kit = Kit::new(Config::default().history_bytes(1 << 20));
    for seq in 1..=5_000 {
        let topic = if seq % 100 == 0 { "rare" } else { "often" };
        kit.append(seq, 1, topic, 10);
    }
    let multiples = |after: u64, upto: u64| ((after / 100 + 1)..=upto / 100).map(|n| n * 100);
    for (after, upto) in [(0, 5_000), (100, 4_900), (99, 4_899), (150, 151), (0, 99)] {
        let rare: Vec<_> = multiples(after, upto).collect();
        assert_eq!(kit.read("rare", after, upto), rare, "({after}, {upto}]");
        let both = kit.read("*", after, upto);
        assert!(both.into_iter().eq(after + 1..=upto), "({after}, {upto}]");
    }
    let read = |after, upto| {
        kit.history
            .read(&"often".parse().unwrap(), &kit.topics, after, upto)
    };
    assert_eq!(read(7, 5).through, 7, "never back");
    assert_eq!(
        read(4_999, 9_000).through,
        5_000,
        "no further than there is"
    );
}

#[test]
fn a_selection_tells_what_is_gone() {
    let mut kit = Kit::new(Config::default());
    for seq in 1..=8 {
        kit.append(seq, 1, "a", 15_000);
    }
    kit.history.drop_through(1, &mut kit.topics);
    let mut seqs: VecDeque<u64> = [1, 3, 4, 5, 6, 7, 12].into();
    let mut take = || match kit.history.take_selected(&kit.topics, &mut seqs) {
        Selected::Batch(batch) => Ok(batch.iter().map(|event| event.seq()).collect::<Vec<_>>()),
        Selected::Lost(seq) => Err(seq),
    };
    assert_eq!(take(), Err(1));
    assert_eq!(
        (take(), take(), take()),
        (Ok(vec![3, 4, 5, 6]), Ok(vec![7]), Err(12))
    );
}

#[test]
fn large_events_are_counted_and_found_among_small_ones() {
    let config = Config::default().history_bytes(64 << 10).history_events(50);
    let mut kit = Kit::new(config);
    let sizes = [10, LARGE, 500, LARGE - 1, 3 * LARGE, LARGE + 7, 0];
    for seq in 1..=200 {
        kit.append(seq, seq, "a", sizes[seq as usize % sizes.len()]);
        kit.trim(seconds(seq));
        assert_eq!(kit.allocated(), kit.history.bytes(), "after {seq}");
        let large = kit.history.segments.iter().map(Segment::large_allocated);
        assert_eq!(large.sum::<usize>(), kit.history.large_bytes());
        let floor = kit.history.floor();
        let kept: Vec<_> = (floor + 1..=seq).collect();
        assert_eq!(kit.read("a", floor, seq), kept, "by scanning");
        assert_eq!(kit.kept("a"), kept);
        let bytes = kept
            .iter()
            .map(|seq| 1 + sizes[*seq as usize % sizes.len()]);
        let id = kit.topics.resolve(TopicRef::new("a").unwrap());
        assert_eq!(kit.topics.bytes(id), bytes.sum::<usize>());
    }
    assert!(kit.history.bytes() <= 64 << 10);
    kit.history.shrink_to(0, &mut kit.topics);
    assert_eq!((kit.history.bytes(), kit.history.large_bytes()), (0, 0));
}

#[test]
fn no_step_removes_more_expired_events_than_others_can_wait_for() {
    let config = Config::default().history_age(Duration::from_secs(10));
    let mut kit = Kit::new(config);
    for seq in 1..=5_000 {
        kit.append(seq, 0, &format!("t.{}", seq % 7), 1);
    }
    let now = seconds(60);
    let (mut steps, mut left) = (1, kit.history.events());
    while kit.history.expire(&kit.config, now, &mut kit.topics) {
        let removed = left - kit.history.events();
        assert!((1..=1_024).contains(&removed), "{removed}");
        (steps, left) = (steps + 1, kit.history.events());
    }
    assert_eq!(
        (steps, kit.history.events(), kit.history.floor()),
        (5, 0, 5_000)
    );
}
