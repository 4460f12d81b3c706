//! Random operations on a log, compared with a model that retains every event.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use qsse_log::{Config, Log, NewEvent, Now, OnLag, Reader, Start, Step, TopicRetention};
use qsse_proto::{Epoch, EventId, Timestamp};
use qsse_topic::{Filter, Pattern, TopicRef};

const TOPICS: [&str; 5] = ["a", "a.b", "a.c", "b", "b.c.d"];
const FILTERS: [&[&str]; 6] = [
    &["*"],
    &["a"],
    &["a.*"],
    &["a.*", "b"],
    &["*.c.*", "a.b"],
    &["zzz"],
];
const EPOCH: Epoch = Epoch::new(77);

#[derive(Clone, Debug)]
enum Op {
    /// Publish on a topic, this many bytes.
    Publish(usize, usize),
    /// A new reader with a filter.
    Subscribe(usize, From, OnLag),
    /// One step of a reader.
    Step(usize),
    /// Read a reader to its end.
    Drain(usize),
    /// A reader leaves and returns where it was.
    Reconnect(usize),
    /// Time passes.
    Advance(u64),
}

#[derive(Clone, Debug)]
enum From {
    Live,
    Earliest,
    After(u64),
    OtherEpoch,
    /// Start at this time, in seconds.
    Since(u64),
    Last(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let size = prop_oneof![Just(0), Just(1), 2usize..200, 1_000usize..6_000];
    let from = prop_oneof![
        Just(From::Live),
        Just(From::Earliest),
        (0u64..200).prop_map(From::After),
        Just(From::OtherEpoch),
        (0u64..100).prop_map(From::Since),
        (0u32..5).prop_map(From::Last),
    ];
    let on_lag = prop_oneof![
        3 => Just(OnLag::CatchUp),
        1 => Just(OnLag::Skip),
        1 => Just(OnLag::Latest),
        1 => Just(OnLag::Disconnect),
    ];
    prop_oneof![
        8 => (0..TOPICS.len(), size).prop_map(|(topic, size)| Op::Publish(topic, size)),
        2 => (0..FILTERS.len(), from, on_lag).prop_map(|(filter, from, lag)| Op::Subscribe(filter, from, lag)),
        4 => (0usize..8).prop_map(Op::Step),
        2 => (0usize..8).prop_map(Op::Drain),
        1 => (0usize..8).prop_map(Op::Reconnect),
        1 => (0u64..20).prop_map(Op::Advance),
    ]
}

/// A reader and what it must get.
struct Checked {
    reader: Reader,
    filter: Filter,
    /// Everything matching up to here was seen or reported as missing.
    seen: u64,
    /// Ranges (after, to] in which events may be missing, by gaps or by the start.
    gaps: Vec<(u64, u64)>,
    /// The events that a start with the last events of each topic selects, until they have come.
    /// Only if everything is retained.
    selected: BTreeSet<u64>,
    on_lag: OnLag,
    /// Whether it has been idle: only from then on it can lag.
    live: bool,
}

fn filter(index: usize) -> Filter {
    Filter::new(
        FILTERS[index]
            .iter()
            .map(|text| Pattern::new(text).unwrap()),
    )
    .unwrap()
}

struct World {
    log: Log,
    now: Now,
    /// Every event: seq, topic, data.
    all: BTreeMap<u64, (&'static str, Vec<u8>)>,
    times: BTreeMap<u64, Timestamp>,
    /// Whether the history removes nothing.
    keeps_all: bool,
    readers: Vec<Checked>,
}

impl World {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Publish(topic, size) => {
                let topic = TOPICS[topic];
                let seq = self.all.len() as u64 + 1;
                let data: Vec<u8> = (0..size).map(|byte| (byte as u64 ^ seq) as u8).collect();
                let event = NewEvent::new(TopicRef::new(topic).unwrap(), &data);
                // QP-2.11: seqs count from 1, and each is assigned once.
                let id = self.log.append(self.now, event).unwrap();
                assert_eq!(id, EventId::new(EPOCH, seq));
                assert_eq!(self.log.visible(), id);
                self.all.insert(seq, (topic, data));
                self.times.insert(seq, self.now.wall);
            }
            Op::Subscribe(index, from, lag) if self.readers.len() < 8 => {
                self.subscribe(filter(index), from, lag)
            }
            Op::Subscribe(..) => {}
            Op::Step(reader) if reader < self.readers.len() => drop(self.step(reader)),
            Op::Drain(reader) if reader < self.readers.len() => self.drain(reader),
            Op::Reconnect(reader) if reader < self.readers.len() => {
                let old = self.readers.swap_remove(reader);
                if old.selected.is_empty() {
                    self.subscribe(old.filter, From::After(old.seen), old.on_lag);
                }
            }
            Op::Step(_) | Op::Drain(_) | Op::Reconnect(_) => {}
            Op::Advance(seconds) => {
                self.now.monotonic += Duration::from_secs(seconds);
                self.now.wall = Timestamp::from_micros(self.now.monotonic.as_micros() as u64);
                self.log.sweep(self.now);
            }
        }
    }

    fn subscribe(&mut self, filter: Filter, from: From, on_lag: OnLag) {
        let head = self.all.len() as u64;
        let start = match from {
            From::Live => Start::Live,
            From::Earliest => Start::Earliest,
            From::After(seq) => Start::After(EventId::new(EPOCH, seq)),
            From::OtherEpoch => Start::After(EventId::new(Epoch::new(78), 0)),
            From::Since(seconds) => Start::Since(Timestamp::from_micros(seconds * 1_000_000)),
            From::Last(n) => Start::Last(n),
        };
        let mut gaps = Vec::new();
        let mut selected = BTreeSet::new();
        let reader = self.log.reader_with(&filter, start, on_lag).unwrap();
        let seen = reader.started().seq();
        match from {
            From::Live => assert_eq!(seen, head),
            From::After(seq) if seq <= head => assert_eq!(seen, seq),
            From::Since(seconds) => {
                let time = Timestamp::from_micros(seconds * 1_000_000);
                let earlier = self.times.iter().filter(|(_, own)| **own < time);
                let before = earlier.map(|(seq, _)| *seq).max().unwrap_or_default();
                // Earlier only if it is no longer known which events were of that time.
                let matches = |seq| filter.matches(TopicRef::new(self.all[&seq].0).unwrap());
                let exact = seen <= before && !(seen + 1..=before).any(matches);
                assert!(
                    exact || (seen == 0 && !self.keeps_all),
                    "{seen} for {before}"
                );
            }
            From::Last(n) => {
                gaps.push((0, head));
                if self.keeps_all {
                    selected = self.last(&filter, n as usize);
                    let first = selected.first().map_or(head, |first| first - 1);
                    assert_eq!(seen, first);
                }
            }
            // The oldest retained event: everything in the history follows.
            _ => assert_eq!(seen, head - self.log.stats().history_events),
        }
        self.readers.push(Checked {
            reader,
            filter,
            seen,
            gaps,
            selected,
            on_lag,
            live: false,
        });
    }

    /// Returns the last `n` events of each topic that matches the filter.
    fn last(&self, filter: &Filter, n: usize) -> BTreeSet<u64> {
        let admitted = |topic: &&str| filter.matches(TopicRef::new(topic).unwrap());
        let of = |name: &str| {
            let events = self
                .all
                .iter()
                .rev()
                .filter(move |(_, (topic, _))| *topic == name);
            events.map(|(seq, _)| *seq).take(n).collect::<Vec<_>>()
        };
        TOPICS.into_iter().filter(admitted).flat_map(of).collect()
    }

    fn drain(&mut self, reader: usize) {
        while !self.step(reader) {}
        if self.readers[reader].on_lag == OnLag::Disconnect && !self.readers[reader].live {
            return;
        }
        let head = self.all.len() as u64;
        assert_eq!(
            self.readers[reader].seen, head,
            "idle only at the newest event"
        );
    }

    /// Returns true when the reader is idle.
    fn step(&mut self, index: usize) -> bool {
        let Checked {
            reader,
            filter,
            seen,
            gaps,
            selected,
            on_lag,
            live,
        } = &mut self.readers[index];
        let mut batches = Vec::new();
        let step = reader.step(2_000, &mut batches);
        for event in batches.iter().flat_map(|batch| batch.events(EPOCH)) {
            let event = event.unwrap();
            let seq = event.id().seq();
            assert!(seq > *seen, "in order and once: {seq} after {seen}");
            if let Some(first) = selected.pop_first() {
                assert_eq!(seq, first, "the last events of each topic, and no others");
            }
            missing(&self.all, filter, *seen, seq - 1, gaps);
            let (topic, data) = &self.all[&seq];
            assert_eq!(
                (event.topic().as_str(), &event.data()[..]),
                (*topic, &data[..])
            );
            assert!(filter.matches(event.topic()));
            *seen = seq;
        }
        match step {
            Step::Gap(gap) => {
                assert!(
                    gap.after >= *seen && gap.to > gap.after && gap.at_most == gap.to - gap.after
                );
                assert!(
                    !self.keeps_all || *on_lag != OnLag::CatchUp,
                    "all is kept: {gap:?}"
                );
                gaps.push((gap.after, gap.to));
                false
            }
            Step::Idle(position) => {
                missing(&self.all, filter, *seen, position.seq(), gaps);
                *seen = position.seq();
                *live = true;
                assert!(selected.is_empty(), "{selected:?} did not come");
                true
            }
            Step::Stored => panic!("there is no storage"),
            Step::Unreadable { reason } => panic!("{reason}"),
            Step::Lagged => {
                assert_eq!((*on_lag, *live), (OnLag::Disconnect, true));
                // As a client that returns.
                let after = Start::After(EventId::new(EPOCH, *seen));
                *reader = self.log.reader_with(filter, after, *on_lag).unwrap();
                *live = false;
                false
            }
            Step::Batches => {
                *live |= !reader.is_lagging();
                assert!(!batches.is_empty());
                false
            }
            Step::Looking => false,
        }
    }
}

/// Checks that no matching event in (after, to] was skipped without a gap.
fn missing(
    all: &BTreeMap<u64, (&'static str, Vec<u8>)>,
    filter: &Filter,
    after: u64,
    to: u64,
    gaps: &[(u64, u64)],
) {
    for (seq, (topic, _)) in all.range(after + 1..).take_while(|(seq, _)| **seq <= to) {
        let matches = filter.matches(TopicRef::new(topic).unwrap());
        assert!(
            !matches || gaps.iter().any(|(after, to)| after < seq && seq <= to),
            "event {seq} on {topic} was lost"
        );
    }
}

fn run(config: Config, ops: Vec<Op>) {
    let keeps_all = config.history_bytes == Config::default().history_bytes
        && config.history_events == u64::MAX
        && config.retention.is_empty();
    let log = Log::new(EPOCH, config);
    let mut world = World {
        keeps_all,
        times: BTreeMap::new(),
        log,
        now: Now::default(),
        all: BTreeMap::new(),
        readers: Vec::new(),
    };
    for op in ops {
        world.apply(op);
        let stats = world.log.stats();
        assert!(stats.history_bytes <= world.log.config().history_bytes);
    }
    for reader in 0..world.readers.len() {
        world.drain(reader);
    }
    world.readers.clear();
    world.now.monotonic += Duration::from_secs(3_600);
    world.log.sweep(world.now);
    world.now.monotonic += Duration::from_secs(3_600);
    world.log.sweep(world.now);
    let stats = world.log.stats();
    assert_eq!(
        (stats.feeds, stats.feed_bytes),
        (0, 0),
        "nothing is left behind"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(ops in prop::collection::vec(op(), 1..200)) {
        run(Config::default(), ops);
    }

    #[test]
    fn nothing_is_lost_silently_with_little_room(ops in prop::collection::vec(op(), 1..200)) {
        run(Config::default().history_bytes(70_000).feed_bytes(9_000), ops);
    }

    #[test]
    fn nothing_is_lost_silently_with_rules_for_topics(ops in prop::collection::vec(op(), 1..200)) {
        let rule = |pattern: &str| TopicRetention::of(pattern.parse().unwrap());
        let config = Config::default()
            .retain(rule("a.b").max_events(2))
            .retain(rule("a.*").max_bytes(300))
            .retain(rule("b").max_age(Duration::from_secs(10)));
        run(config.feed_bytes(9_000), ops);
    }

    #[test]
    fn nothing_is_lost_silently_where_all_is_kept_and_feeds_are_short(ops in prop::collection::vec(op(), 1..200)) {
        run(Config::default().feed_bytes(5_000), ops);
    }

    #[test]
    fn nothing_is_lost_silently_without_history(ops in prop::collection::vec(op(), 1..200)) {
        run(Config::default().history_bytes(0).feed_bytes(9_000), ops);
    }

    #[test]
    fn nothing_is_lost_silently_with_few_events_kept(ops in prop::collection::vec(op(), 1..200)) {
        let config = Config::default().history_events(10).history_age(Duration::from_secs(15));
        run(config.feeds_bytes(20_000), ops);
    }
}
