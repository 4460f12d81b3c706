//! Random operations, compared with a plain list of events.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use qsse_proto::Timestamp;
use qsse_store::io::mem::MemIo;
use qsse_store::{Age, Options, Recovered, Retention, Store, TopicRetention};
use support::*;

#[derive(Clone, Debug)]
enum Op {
    /// Append this many events on random topics, in one entry.
    Append(Vec<(u8, u8)>),
    /// Leave out this many seqs.
    Skip(u8),
    Sync,
    Restart,
    Kill,
    Retain(Keep),
    /// Let time pass.
    Wait(u8),
    Read {
        pattern: u8,
        after: u16,
        upto: u16,
        budget: u16,
    },
    Tail {
        pattern: u8,
        n: u8,
        upto: u16,
    },
    SeqAt(u16),
}

#[derive(Clone, Debug)]
enum Keep {
    Events(u16),
    Age(u8),
    Bytes(u16),
    TopicEvents(u8, u8),
    TopicBytes(u8, u16),
    TopicAge(u8, u8),
}

const PATTERNS: [&str; 7] = ["*", "a.*", "a.0", "a.1", "*.2", "b.*", "a.*.x"];
const TOPICS: [&str; 8] = ["a.0", "a.1", "a.2", "b.0", "b.2", "a.3.x", "$sys.2", "b.7"];

fn op() -> impl Strategy<Value = Op> {
    let keep = prop_oneof![
        (1..200u16).prop_map(Keep::Events),
        (0..20u8).prop_map(Keep::Age),
        (4_000..60_000u16).prop_map(Keep::Bytes),
        (0..7u8, 0..20u8).prop_map(|(pattern, n)| Keep::TopicEvents(pattern, n)),
        (0..7u8, 0..2_000u16).prop_map(|(pattern, n)| Keep::TopicBytes(pattern, n)),
        (0..7u8, 0..20u8).prop_map(|(pattern, n)| Keep::TopicAge(pattern, n)),
    ];
    let event = || prop_oneof![3 => (0..2u8, any::<u8>()), 1 => (0..8u8, any::<u8>())];
    prop_oneof![
        8 => proptest::collection::vec(event(), 1..40).prop_map(Op::Append),
        1 => (1..9u8).prop_map(Op::Skip),
        1 => Just(Op::Sync),
        1 => Just(Op::Restart),
        1 => Just(Op::Kill),
        2 => keep.prop_map(Op::Retain),
        2 => (0..9u8).prop_map(Op::Wait),
        4 => (0..7u8, any::<u16>(), any::<u16>(), any::<u16>()).prop_map(
            |(pattern, after, upto, budget)| Op::Read { pattern, after, upto, budget }),
        1 => (0..7u8, 0..9u8, any::<u16>()).prop_map(|(pattern, n, upto)| Op::Tail { pattern, n, upto }),
        1 => any::<u16>().prop_map(Op::SeqAt),
    ]
}

/// What must hold.
struct Model {
    io: MemIo,
    store: Option<Store>,
    /// All events ever written.
    events: Vec<Event>,
    /// The newest removed event of each topic.
    floors: BTreeMap<String, u64>,
    /// A kill may lower floors that are only in memory.
    lost: Vec<(u64, u64)>,
    next: u64,
    now: u64,
    opened: u64,
    /// The last seq and time at the open.
    before: (u64, u64),
    /// Times of `retain`, with the head at each.
    seen: Vec<(u64, u64)>,
}

fn config() -> Options {
    options().max_cached_indexes(2).keys(1_000, Duration::ZERO)
}

impl Model {
    fn new() -> Self {
        let io = MemIo::new();
        let mut model = Self {
            io,
            store: None,
            events: Vec::new(),
            floors: BTreeMap::new(),
            lost: Vec::new(),
            next: 1,
            now: 1_000,
            opened: 0,
            before: (0, 0),
            seen: Vec::new(),
        };
        model.open();
        model
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn open(&mut self) -> Recovered {
        let (store, recovered) = Store::open(Arc::new(self.io.clone()), config()).unwrap();
        self.store = Some(store);
        let tail = self.events.last().map_or(0, |event| event.time);
        assert_eq!(
            recovered.last_time.as_micros(),
            tail * u64::from(!self.events.is_empty())
        );
        self.opened = self.now;
        self.before = (recovered.next_seq - 1, recovered.last_time.as_micros());
        self.seen.clear();
        recovered
    }

    fn lose(&mut self, after: u64, to: u64) {
        if after < to {
            match self.lost.last_mut() {
                Some(last) if last.1 == after => last.1 = to,
                _ => self.lost.push((after, to)),
            }
        }
    }

    fn kept(&self, event: &Event) -> bool {
        self.floors
            .get(&event.topic)
            .is_none_or(|floor| event.seq > *floor)
    }

    fn kept_of(&self, pattern: &str) -> Vec<Event> {
        let filter = filter(pattern);
        let matches = |event: &&Event| {
            self.kept(event) && filter.matches(&qsse_topic::Topic::new(&event.topic).unwrap())
        };
        self.events.iter().filter(matches).cloned().collect()
    }

    fn remove(&mut self, gone: impl Fn(&Event) -> bool) {
        for event in self.events.iter().filter(|event| gone(event)) {
            let floor = self.floors.entry(event.topic.clone()).or_default();
            *floor = event.seq.max(*floor);
        }
    }

    /// Returns the seq up to which events are at least this old.
    fn expired(&self, age: u64) -> u64 {
        let mut newest = self.seen.iter().rev();
        if let Some((_, head)) = newest.find(|(then, _)| self.now - then >= age) {
            return *head;
        }
        let since = self.now - self.opened;
        let old = |event: &&Event| {
            event.seq <= self.before.0 && since + (self.before.1 - event.time) >= age
        };
        self.events
            .iter()
            .filter(old)
            .map(|event| event.seq)
            .max()
            .unwrap_or(0)
    }

    fn retain(&mut self, keep: &Keep) {
        let rules = Retention::default();
        let rule =
            |pattern: u8| TopicRetention::new(PATTERNS[usize::from(pattern)].parse().unwrap());
        let rules = match *keep {
            Keep::Events(n) => rules.max_events(n.into()),
            Keep::Age(n) => rules.max_age(Duration::from_micros(u64::from(n) * 50)),
            Keep::Bytes(n) => rules.max_bytes(n.into()),
            Keep::TopicEvents(p, n) => rules.topic(rule(p).max_events(n.into())),
            Keep::TopicBytes(p, n) => rules.topic(rule(p).max_bytes(n.into())),
            Keep::TopicAge(p, n) => {
                rules.topic(rule(p).max_age(Duration::from_micros(u64::from(n) * 50)))
            }
        };
        let age = Age {
            since_open: Duration::from_micros(self.now - self.opened),
            closed: Duration::ZERO,
        };
        let head = self.store().head();
        if head > self.seen.last().map_or(self.before.0, |(_, head)| *head) {
            self.seen.push((self.now, head));
        }
        self.store().retain(&rules, age).unwrap();
        match *keep {
            Keep::Events(n) => {
                let live: Vec<u64> = self
                    .events
                    .iter()
                    .filter(|e| self.kept(e))
                    .map(|e| e.seq)
                    .collect();
                let excess = live.len().saturating_sub(usize::from(n));
                if excess > 0 {
                    let end = live[excess - 1];
                    self.remove(|event| event.seq <= end);
                }
            }
            Keep::Age(n) => {
                let end = self.expired(u64::from(n) * 50);
                self.remove(|event| event.seq <= end);
            }
            // Whole segments. Their bounds are the store's, but only the oldest may be removed.
            Keep::Bytes(_) => {
                let floor = self.store.as_ref().unwrap().reader().floor(&filter("*"));
                let sys = self
                    .store
                    .as_ref()
                    .unwrap()
                    .reader()
                    .floor(&filter("$sys.*"));
                let first = read(&self.store.as_ref().unwrap().reader(), "*").events;
                let end = first.first().map_or(floor.max(sys), |event| event.seq - 1);
                let kept = self.kept_of("$sys.*");
                let there = read(&self.store.as_ref().unwrap().reader(), "$sys.*").events;
                let gone = kept.len() - there.len();
                assert_eq!(there, kept[gone..]);
                let sys = kept[..gone].last().map_or(0, |event| event.seq);
                self.remove(|event| {
                    event.seq
                        <= if event.topic.starts_with('$') {
                            sys
                        } else {
                            end
                        }
                });
            }
            Keep::TopicEvents(p, n) => self.retain_topics(p, |rank, _, _| rank >= usize::from(n)),
            Keep::TopicBytes(p, n) => self.retain_topics(p, |_, bytes, _| bytes > u64::from(n)),
            Keep::TopicAge(p, n) => {
                let end = self.expired(u64::from(n) * 50);
                self.retain_topics(p, |_, _, seq| seq <= end);
            }
        }
    }

    /// `goes` gets the number of newer retained events of the topic, the bytes of these and the
    /// event, and the seq.
    fn retain_topics(&mut self, pattern: u8, goes: impl Fn(usize, u64, u64) -> bool) {
        for topic in TOPICS {
            let events = self.kept_of(PATTERNS[usize::from(pattern)]);
            let events: Vec<_> = events.iter().filter(|event| event.topic == topic).collect();
            let mut bytes = 0;
            for (rank, event) in events.iter().rev().enumerate() {
                bytes += (event.topic.len() + "message".len() + event.data.len()) as u64;
                if goes(rank, bytes, event.seq) {
                    self.floors.insert(topic.to_owned(), event.seq);
                    break;
                }
            }
        }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Append(list) => {
                let events: Vec<Event> = list
                    .iter()
                    .zip(self.next..)
                    .map(|(&(topic, size), seq)| Event {
                        seq,
                        time: self.now,
                        topic: TOPICS[usize::from(topic)].to_owned(),
                        data: vec![seq as u8; usize::from(size)],
                    })
                    .collect();
                let before = self.store().head();
                self.lose(before, self.next - 1);
                self.store().append(&[entry(&events)]).unwrap();
                self.next += events.len() as u64;
                self.events.extend(events);
            }
            Op::Skip(n) => self.next += u64::from(*n),
            Op::Sync => self.store().sync().unwrap(),
            Op::Restart => {
                self.next = self.store().head() + 1;
                let store = self.store.take().unwrap();
                store.close(0).unwrap();
                let recovered = self.open();
                assert!(recovered.clean);
                assert_eq!(recovered.next_seq, self.next);
            }
            Op::Kill => {
                // A kill may lower floors that are only in memory, so the model lowers them first.
                let store = self.store.take().unwrap();
                let (head, mark) = (store.head(), store.reserved());
                let used = mark > head;
                store.close(0).unwrap();
                let (mut store, _) = Store::open(Arc::new(self.io.clone()), config()).unwrap();
                store.reserve(head + 1).unwrap();
                let mark = store.reserved();
                drop(store);
                assert!(used || mark > head);
                self.lose(head, mark);
                let recovered = self.open();
                self.next = mark + 1;
                assert_eq!(recovered.next_seq, self.next);
            }
            Op::Retain(keep) => self.retain(keep),
            Op::Wait(n) => self.now += u64::from(*n) * 10,
            Op::Read {
                pattern,
                after,
                upto,
                budget,
            } => {
                self.check_read(PATTERNS[usize::from(*pattern)], *after, *upto, *budget);
            }
            Op::Tail { pattern, n, upto } => {
                self.check_tail(PATTERNS[usize::from(*pattern)], *n, *upto)
            }
            Op::SeqAt(at) => self.check_seq_at(*at),
        }
        self.check_floors();
    }

    fn at(&self, part: u16) -> u64 {
        u64::from(part) % (self.next + 3)
    }

    fn check_read(&mut self, pattern: &str, after: u16, upto: u16, budget: u16) {
        let (after, upto) = (self.at(after), self.at(upto));
        let reader = self.store().reader();
        let found = read_with(&reader, &filter(pattern), after, upto, budget.into());
        let mut wanted = self.kept_of(pattern);
        wanted.retain(|event| event.seq > after && event.seq <= upto);
        assert_eq!(found.events, wanted, "{pattern} of ({after}, {upto}]");
        // Floors report losses before the first retained event.
        let first = wanted.first().map_or(u64::MAX, |event| event.seq);
        for seq in after + 1..=upto.min(reader.head()) {
            let told = is_lost(&found.lost, seq);
            let lost = is_lost(&self.lost, seq);
            assert!(lost || !told, "{seq} is not lost: {found:?}");
            assert!(told || !lost || seq < first, "{seq} is not told: {found:?}");
        }
    }

    fn check_tail(&mut self, pattern: &str, n: u8, upto: u16) {
        let upto = self.at(upto);
        let mut events = self.kept_of(pattern);
        events.retain(|event| event.seq <= upto);
        let wanted: Vec<(String, u64)> = per_topic(&events)
            .into_iter()
            .filter(|_| n > 0)
            .map(|(topic, seqs)| (topic, seqs[seqs.len().saturating_sub(n.into())]))
            .collect();
        let found = self.store().reader().tail(&filter(pattern), n.into(), upto);
        let found: Vec<(String, u64)> = found
            .into_iter()
            .map(|(topic, seq)| (topic.as_str().to_owned(), seq))
            .collect();
        assert_eq!(found, wanted, "{pattern}, the last {n} through {upto}");
        let last: Vec<u64> = per_topic(&self.kept_of(pattern))
            .values()
            .map(|seqs| *seqs.last().unwrap())
            .collect();
        let found = self.store().reader().last_seqs(&filter(pattern));
        assert_eq!(
            found.into_iter().map(|(_, seq)| seq).collect::<Vec<_>>(),
            last
        );
    }

    fn check_seq_at(&mut self, at: u16) {
        let time = 1_000 + u64::from(at) % (self.now - 990);
        let found = self.store().reader().seq_at(
            Timestamp::from_micros(time),
            Timestamp::from_micros(u64::MAX),
        );
        // No retained event of that time comes before it, and none of an earlier time after it.
        for event in self.kept_of("*") {
            assert_eq!(
                event.time >= time,
                event.seq >= found,
                "{event:?} and {time}: {found}"
            );
        }
    }

    fn check_floors(&mut self) {
        let reader = self.store().reader();
        assert_eq!(
            reader.events(),
            self.events.iter().filter(|event| self.kept(event)).count() as u64
        );
        // A loss that was removed from the disk is covered by the floor of every topic.
        let lost: Vec<u64> = self.lost.iter().map(|(_, to)| *to).collect();
        for pattern in PATTERNS {
            let filter = filter(pattern);
            let of = self
                .floors
                .iter()
                .filter(|(topic, _)| filter.matches(&qsse_topic::Topic::new(topic).unwrap()));
            let wanted = of.map(|(_, floor)| *floor).max().unwrap_or(0);
            let floor = reader.floor(&filter);
            assert!(
                floor == wanted || floor > wanted && lost.contains(&floor),
                "{pattern}: floor {floor}, not {wanted}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_list_of_events(ops in proptest::collection::vec(op(), 1..80)) {
        let mut model = Model::new();
        for op in &ops {
            model.run(op);
        }
    }
}
