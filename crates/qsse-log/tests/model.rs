//! Random operations on a log, against a model that keeps every event.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use qsse_log::{Config, Log, NewEvent, Now, Reader, Start, Step};
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
    Subscribe(usize, From),
    /// One step of a reader.
    Step(usize),
    /// Read a reader to its end.
    Drain(usize),
    /// A reader leaves and comes back where it was.
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
}

fn op() -> impl Strategy<Value = Op> {
    let size = prop_oneof![Just(0), Just(1), 2usize..200, 1_000usize..6_000];
    let from = prop_oneof![
        Just(From::Live),
        Just(From::Earliest),
        (0u64..200).prop_map(From::After),
        Just(From::OtherEpoch)
    ];
    prop_oneof![
        8 => (0..TOPICS.len(), size).prop_map(|(topic, size)| Op::Publish(topic, size)),
        2 => (0..FILTERS.len(), from).prop_map(|(filter, from)| Op::Subscribe(filter, from)),
        4 => (0usize..8).prop_map(Op::Step),
        2 => (0usize..8).prop_map(Op::Drain),
        1 => (0usize..8).prop_map(Op::Reconnect),
        1 => (0u64..20).prop_map(Op::Advance),
    ]
}

/// A reader and what it has a right to.
struct Checked {
    reader: Reader,
    filter: Filter,
    /// Everything matching up to here was seen, or told to be missing.
    seen: u64,
    /// Events up to here may be missing, as a gap said.
    gap_to: u64,
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
    /// Every event ever: seq, topic, data.
    all: BTreeMap<u64, (&'static str, Vec<u8>)>,
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
                // QP-2.11: seqs count from 1, each given once.
                let id = self.log.append(self.now, event).unwrap();
                assert_eq!(id, EventId::new(EPOCH, seq));
                assert_eq!(self.log.visible(), id);
                self.all.insert(seq, (topic, data));
            }
            Op::Subscribe(index, from) if self.readers.len() < 8 => {
                self.subscribe(filter(index), from)
            }
            Op::Subscribe(..) => {}
            Op::Step(reader) if reader < self.readers.len() => drop(self.step(reader)),
            Op::Drain(reader) if reader < self.readers.len() => self.drain(reader),
            Op::Reconnect(reader) if reader < self.readers.len() => {
                let Checked { filter, seen, .. } = self.readers.swap_remove(reader);
                self.subscribe(filter, From::After(seen));
            }
            Op::Step(_) | Op::Drain(_) | Op::Reconnect(_) => {}
            Op::Advance(seconds) => {
                self.now.monotonic += Duration::from_secs(seconds);
                self.now.wall = Timestamp::from_micros(self.now.monotonic.as_micros() as u64);
                self.log.sweep(self.now);
            }
        }
    }

    fn subscribe(&mut self, filter: Filter, from: From) {
        let head = self.all.len() as u64;
        let start = match from {
            From::Live => Start::Live,
            From::Earliest => Start::Earliest,
            From::After(seq) => Start::After(EventId::new(EPOCH, seq)),
            From::OtherEpoch => Start::After(EventId::new(Epoch::new(78), 0)),
        };
        let reader = self.log.reader(&filter, start).unwrap();
        let seen = reader.started().seq();
        match from {
            From::Live => assert_eq!(seen, head),
            From::After(seq) if seq <= head => assert_eq!(seen, seq),
            // The oldest kept: what the history holds follows.
            _ => assert_eq!(seen, head - self.log.stats().history_events),
        }
        self.readers.push(Checked {
            reader,
            filter,
            seen,
            gap_to: 0,
        });
    }

    fn drain(&mut self, reader: usize) {
        while !self.step(reader) {}
        let head = self.all.len() as u64;
        assert_eq!(
            self.readers[reader].seen, head,
            "idle only at the newest event"
        );
    }

    /// True when the reader is idle.
    fn step(&mut self, index: usize) -> bool {
        let Checked {
            reader,
            filter,
            seen,
            gap_to,
        } = &mut self.readers[index];
        let mut batches = Vec::new();
        let step = reader.step(2_000, &mut batches);
        for event in batches.iter().flat_map(|batch| batch.events(EPOCH)) {
            let event = event.unwrap();
            let seq = event.id().seq();
            assert!(seq > *seen, "in order and once: {seq} after {seen}");
            missing(&self.all, filter, *seen, seq - 1, *gap_to);
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
                missing(&self.all, filter, *seen, gap.after, *gap_to);
                (*seen, *gap_to) = (gap.after, gap.to);
                false
            }
            Step::Idle(position) => {
                missing(&self.all, filter, *seen, position.seq(), *gap_to);
                *seen = position.seq();
                true
            }
            Step::Batches => {
                assert!(!batches.is_empty());
                false
            }
            Step::Looking => false,
        }
    }
}

/// No event in (after, to] that the filter matches was skipped, unless a gap said so.
fn missing(
    all: &BTreeMap<u64, (&'static str, Vec<u8>)>,
    filter: &Filter,
    after: u64,
    to: u64,
    gap_to: u64,
) {
    for (seq, (topic, _)) in all.range(after + 1..).take_while(|(seq, _)| **seq <= to) {
        let matches = filter.matches(TopicRef::new(topic).unwrap());
        assert!(
            !matches || *seq <= gap_to,
            "event {seq} on {topic} was lost"
        );
    }
}

fn run(config: Config, ops: Vec<Op>) {
    let log = Log::new(EPOCH, config);
    let mut world = World {
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
    fn nothing_is_lost_silently_without_history(ops in prop::collection::vec(op(), 1..200)) {
        run(Config::default().history_bytes(0).feed_bytes(9_000), ops);
    }

    #[test]
    fn nothing_is_lost_silently_with_few_events_kept(ops in prop::collection::vec(op(), 1..200)) {
        let config = Config::default().history_events(10).history_age(Duration::from_secs(15));
        run(config.feeds_bytes(20_000), ops);
    }
}
