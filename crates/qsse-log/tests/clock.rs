//! A wall clock that jumps: the times of events, and where a start at a time begins, with and
//! without a store.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use qsse_log::disk::{self, Disk, DiskRetention};
use qsse_log::{Acknowledge, Config, Log, MAX_AHEAD, NewEvent, Now, OnLag, Start, Step};
use qsse_proto::stream::Outcome;
use qsse_proto::{Epoch, EventId, Timestamp};
use qsse_store::Store;
use qsse_store::io::mem::MemIo;
use qsse_topic::{Filter, TopicRef};

const SECOND: u64 = 1_000_000;
const DAY: u64 = 24 * 60 * 60 * SECOND;
/// The time at which a test begins.
const BEGIN: u64 = 20_000 * DAY;
const AHEAD: u64 = MAX_AHEAD.as_micros() as u64;

fn micros(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// A log and its clocks. It can be opened again on the same files.
struct Machine {
    log: Log,
    files: Option<(MemIo, DiskRetention)>,
    keeper: Option<tokio::task::JoinHandle<()>>,
    wall: u64,
    monotonic: u64,
}

impl Machine {
    fn in_memory(config: Config) -> Self {
        Self {
            log: Log::new(Epoch::new(1), config),
            files: None,
            keeper: None,
            wall: BEGIN,
            monotonic: 0,
        }
    }

    fn stored(kept: DiskRetention) -> Self {
        let mut machine = Self::in_memory(Config::default());
        machine.files = Some((MemIo::new(), kept));
        machine.open();
        machine
    }

    fn now(&self) -> Now {
        Now {
            wall: micros(self.wall),
            monotonic: Duration::from_micros(self.monotonic),
        }
    }

    fn open(&mut self) {
        let (io, kept) = self.files.as_ref().unwrap();
        let options = disk::options(Epoch::new(1), Acknowledge::Synced)
            .now(micros(self.wall))
            .segment_bytes(4 << 10);
        let (store, recovered) = Store::open(Arc::new(io.clone()), options).unwrap();
        let disk = Disk::inline(store, recovered, kept.clone());
        let now = self.now();
        self.log = Log::stored(Arc::new(disk), Config::default(), now);
        let log = self.log.clone();
        self.keeper = Some(tokio::spawn(
            async move { log.run_group_commit(|| now).await },
        ));
    }

    /// Ends the process and begins another one, with its own monotonic clock.
    async fn restart(&mut self) {
        self.log.close().await.unwrap();
        self.keeper.take().unwrap().abort();
        self.monotonic = 0;
        self.open();
    }

    fn pass(&mut self, micros: u64) {
        self.wall += micros;
        self.monotonic += micros;
    }

    /// Lets time pass, with the upkeep that belongs to it.
    async fn sweep(&mut self, micros: u64) {
        self.pass(micros);
        self.log.sweep(self.now());
        self.log.retain(self.now()).await;
    }

    async fn publish(&self) -> EventId {
        let (id, receipt) = {
            let mut appender = self.log.appender(self.now());
            let event = NewEvent::new(TopicRef::new("t").unwrap(), &[7; 50]);
            (appender.push(event).unwrap(), appender.receipt())
        };
        receipt.stored().await.unwrap();
        id
    }

    /// Returns the events after a start: seqs and times.
    async fn read(&self, start: Start) -> (Outcome, Vec<(u64, u64)>) {
        let all: Filter = "*".parse().unwrap();
        let mut reader = self.log.open(&all, start, OnLag::CatchUp).await.unwrap();
        let (mut events, mut batches) = (Vec::new(), Vec::new());
        loop {
            match reader.step(4_000, &mut batches) {
                Step::Idle(_) => break,
                Step::Stored => reader.fetch(4_000).await,
                Step::Batches | Step::Looking | Step::Gap(_) => {}
                other => panic!("{other:?}"),
            }
            for batch in batches.drain(..) {
                events.extend(
                    batch
                        .iter()
                        .map(|event| (event.seq(), event.time().as_micros())),
                );
            }
        }
        (reader.outcome(), events)
    }

    async fn since(&self, time: u64) -> Vec<u64> {
        let (_, events) = self.read(Start::Since(micros(time))).await;
        events.into_iter().map(|(seq, _)| seq).collect()
    }

    async fn times(&self) -> Vec<u64> {
        let (_, events) = self.read(Start::Earliest).await;
        events.into_iter().map(|(_, time)| time).collect()
    }
}

// QP-2.7: after a small step back times stand still, after a larger one they go back too.
#[tokio::test]
async fn times_follow_a_clock_that_is_set_back_further_than_it_may_be_ahead() {
    let mut machine = Machine::in_memory(Config::default());
    let live = machine.log.reader(&"*".parse().unwrap(), Start::Live);
    let mut live = live.unwrap();
    machine.publish().await;
    machine.wall = BEGIN - AHEAD;
    machine.publish().await;
    machine.wall -= 1;
    machine.publish().await;
    machine.pass(5);
    machine.publish().await;
    let wanted = [BEGIN, BEGIN, BEGIN - AHEAD - 1, BEGIN - AHEAD + 4];
    assert_eq!(machine.times().await, wanted);

    // QP-6.3: not within a batch, so that live readers get the same.
    let mut batches = Vec::new();
    live.step(1 << 20, &mut batches);
    let events = batches.iter().flat_map(|batch| batch.iter());
    let times: Vec<_> = events.map(|event| event.time().as_micros()).collect();
    assert_eq!(times, wanted);
    assert_eq!(batches.len(), 2);
}

#[tokio::test]
async fn a_clock_that_was_ahead_once_spoils_no_start_at_a_time_also_after_restarts() {
    let mut machine = Machine::stored(DiskRetention::default());
    machine.publish().await;
    machine.pass(60 * SECOND);
    // A year ahead, across a restart.
    machine.wall += 365 * DAY;
    machine.publish().await;
    machine.restart().await;
    machine.publish().await;
    machine.restart().await;
    machine.wall -= 365 * DAY;
    for _ in 0..3 {
        machine.pass(3_600 * SECOND);
        machine.publish().await;
        machine.restart().await;
    }
    let times = machine.times().await;
    assert_eq!(
        times[3..],
        [1, 2, 3].map(|hour| BEGIN + (60 + hour * 3_600) * SECOND)
    );

    machine.pass(30 * SECOND);
    let ago = |seconds: u64| machine.wall - seconds * SECOND;
    assert_eq!(machine.since(ago(60)).await, [6]);
    assert!(machine.since(ago(20)).await.is_empty());
    assert_eq!(machine.since(ago(3_700)).await, [5, 6]);
    // Events of the wrong clock may be of this time.
    assert_eq!(machine.since(ago(3 * 3_600)).await, [2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_clock_that_was_behind_hides_nothing_from_a_start_at_a_time() {
    for restarted in [false, true] {
        let mut machine = Machine::stored(DiskRetention::default());
        machine.publish().await;
        machine.pass(10 * SECOND);
        machine.publish().await;
        // A machine without a battery for its clock begins in 1970.
        machine.restart().await;
        machine.wall = 5 * SECOND;
        machine.publish().await;
        machine.wall = BEGIN + 60 * SECOND;
        machine.publish().await;
        if restarted {
            machine.restart().await;
        }
        assert_eq!(machine.since(BEGIN + SECOND).await, [2, 3, 4]);
        assert_eq!(machine.since(BEGIN + 30 * SECOND).await, [4]);
        // While the clock is behind, this is a time in the future.
        machine.wall = 20 * SECOND;
        machine.log.sweep(machine.now());
        assert_eq!(machine.since(BEGIN + SECOND).await, [2, 3, 4]);
    }
}

#[tokio::test]
async fn what_the_history_has_dropped_of_a_clock_that_was_ahead_spoils_no_start_at_a_time() {
    let mut machine = Machine::in_memory(Config::default().history_events(3));
    machine.publish().await;
    machine.wall += DAY;
    machine.publish().await;
    machine.wall -= DAY;
    for _ in 0..4 {
        machine.pass(SECOND);
        machine.publish().await;
    }
    let since = |time| machine.read(Start::Since(micros(time)));
    let (outcome, events) = since(BEGIN + 4 * SECOND).await;
    assert_eq!(
        (outcome, events),
        (Outcome::Resumed, vec![(6, BEGIN + 4 * SECOND)])
    );
    // Removed events of that time are reported.
    let (outcome, events) = since(BEGIN + SECOND).await;
    assert_eq!((outcome, events.len()), (Outcome::Gap, 3));
    // It counts once the clock has reached its time.
    machine.wall += DAY;
    machine.log.sweep(machine.now());
    let (outcome, events) = machine.read(Start::Since(micros(BEGIN + DAY))).await;
    assert_eq!((outcome, events.len()), (Outcome::Gap, 3));
}

fn kept_for(seconds: u64) -> DiskRetention {
    let mut kept = DiskRetention::default();
    kept.max_age = Some(Duration::from_secs(seconds));
    kept
}

#[tokio::test]
async fn one_wrong_reading_of_the_clock_makes_no_event_old() {
    // Either it is the last event before the restart, or others follow it.
    for follow in [false, true] {
        let mut machine = Machine::stored(kept_for(3_600));
        for _ in 0..3 {
            machine.publish().await;
            machine.sweep(SECOND).await;
        }
        machine.wall += 4 * 365 * DAY;
        machine.publish().await;
        machine.sweep(SECOND).await;
        machine.wall -= 4 * 365 * DAY;
        if follow {
            machine.publish().await;
        }
        machine.restart().await;
        machine.sweep(SECOND).await;
        assert_eq!(machine.times().await.len(), 4 + usize::from(follow));

        // Nor does it retain any: all are removed in their time.
        machine.publish().await;
        machine.restart().await;
        machine.sweep(3_590 * SECOND).await;
        assert_eq!(machine.times().await.len(), 5 + usize::from(follow));
        machine.sweep(20 * SECOND).await;
        assert!(machine.times().await.is_empty());
    }
}

#[tokio::test]
async fn events_of_a_clock_that_was_ahead_go_with_what_follows_them() {
    let mut machine = Machine::stored(kept_for(3_600));
    machine.publish().await;
    machine.wall += 365 * DAY;
    machine.publish().await;
    machine.wall -= 365 * DAY;
    for _ in 0..2 {
        machine.pass(1_000 * SECOND);
        machine.publish().await;
    }
    machine.restart().await;
    machine.sweep(1_700 * SECOND).await;
    assert_eq!(machine.times().await.len(), 3, "the first is old");
    machine.sweep(1_000 * SECOND).await;
    assert_eq!(machine.times().await.len(), 1);
}

#[derive(Clone, Debug)]
enum Op {
    Publish,
    /// This many seconds pass.
    Pass(u64),
    /// The clock is set forward or back by this many seconds.
    Set(i64),
    Restart,
    /// A start this many seconds before or after the clock's time.
    Since(i64),
}

fn op() -> impl Strategy<Value = Op> {
    let set = prop_oneof![-15i64..15, -500i64..500, -100_000i64..100_000];
    let since = prop_oneof![-30i64..5, -600i64..100, -100_000i64..100_000];
    prop_oneof![
        6 => Just(Op::Publish),
        3 => (0u64..40).prop_map(Op::Pass),
        2 => set.prop_map(Op::Set),
        1 => Just(Op::Restart),
        4 => since.prop_map(Op::Since),
    ]
}

/// What must hold: all times, and where a start at a time begins, by the times of an event and of
/// those after it.
#[derive(Default)]
struct Model {
    times: Vec<u64>,
    /// The latest time of the clock or an event since the clock was set back.
    time: u64,
}

impl Model {
    fn read_clock(&mut self, wall: u64) {
        self.time = match self.time > wall + AHEAD {
            true => wall,
            false => self.time.max(wall),
        };
    }

    fn since(&self, time: u64, wall: u64) -> Vec<u64> {
        let until = if time > wall + AHEAD {
            u64::MAX
        } else {
            wall + AHEAD
        };
        let counts_as = |at: usize| {
            let believed = self.times[at..].iter().find(|time| **time <= until);
            believed.copied().unwrap_or(u64::MAX)
        };
        let mut all = 0..self.times.len();
        let begin = all.find(|at| counts_as(*at) >= time);
        (begin.unwrap_or(self.times.len())..self.times.len())
            .map(|at| at as u64 + 1)
            .collect()
    }
}

async fn run(mut machine: Machine, ops: Vec<Op>) {
    let mut model = Model::default();
    if machine.files.is_some() {
        model.read_clock(machine.wall);
    }
    for op in ops {
        let moved = |by: i64| by * SECOND as i64;
        match op {
            Op::Publish => {
                machine.publish().await;
                model.read_clock(machine.wall);
                model.times.push(model.time);
            }
            Op::Pass(seconds) => machine.pass(seconds * SECOND),
            Op::Set(by) => machine.wall = machine.wall.saturating_add_signed(moved(by)),
            Op::Restart if machine.files.is_some() => {
                machine.restart().await;
                model.time = model.times.last().copied().unwrap_or_default();
                model.read_clock(machine.wall);
            }
            Op::Restart => {}
            Op::Since(by) => {
                machine.log.sweep(machine.now());
                model.read_clock(machine.wall);
                let time = machine.wall.saturating_add_signed(moved(by));
                let found = machine.since(time).await;
                let wanted = model.since(time, machine.wall);
                assert_eq!(found, wanted, "since {time} at {}", machine.wall);
            }
        }
    }
    assert_eq!(machine.times().await, model.times);
}

fn tokio_run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_start_at_a_time_is_right_in_memory(ops in prop::collection::vec(op(), 1..120)) {
        tokio_run(async { run(Machine::in_memory(Config::default()), ops).await });
    }

    #[test]
    fn a_start_at_a_time_is_right_in_a_store(ops in prop::collection::vec(op(), 1..120)) {
        tokio_run(async { run(Machine::stored(DiskRetention::default()), ops).await });
    }
}
