//! The longest steps of a log with a million topics: `cargo bench --package qsse-log --bench steps`.
//!
//! A step is what is done while all others wait: an append, or a part of a search or of the upkeep.
//! Everything is done several times, and of each step the shortest time counts: any single one may
//! be long because the machine had other things to do.
#![expect(clippy::unwrap_used, reason = "a bench that fails says where")]

use std::cell::RefCell;
use std::future::{Ready, ready};
use std::time::{Duration, Instant};

use qsse_log::{Config, Log, NewEvent, Now, OnLag, Reader, Start, Step};
use qsse_proto::{Epoch, Timestamp};
use qsse_topic::{Filter, Pattern, TopicRef};

/// How often everything is done.
const ROUNDS: usize = 3;

/// How long events are retained.
const AGE: Duration = Duration::from_secs(60);

/// The times of the steps of one operation.
type Times = Vec<Duration>;

fn main() {
    // `cargo test --benches` only shows that it works.
    let full = std::env::args().any(|arg| arg == "--bench");
    let topics = if full { 1_000_000 } else { 20_000 };
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| runtime.block_on(round(topics)))
        .collect();
    println!("{topics} topics; the longest step of each operation:");
    for (at, (name, _)) in rounds[0].iter().enumerate() {
        let mut times = shortest(rounds.iter().map(|round| &round[at].1));
        times.sort_unstable();
        let longest = times.last().copied().unwrap_or_default();
        println!("{longest:>12.2?}  {name} ({} steps)", times.len());
    }
}

/// Returns the shortest time of each step.
fn shortest<'r>(mut rounds: impl Iterator<Item = &'r Times>) -> Times {
    let first = rounds.next().cloned().unwrap_or_default();
    rounds.fold(first, |least, round| {
        let both = least.iter().zip(round);
        both.map(|(a, b)| *a.min(b)).collect()
    })
}

/// Fills a log, searches it and empties it again.
async fn round(topics: u64) -> Vec<(&'static str, Times)> {
    let config = Config::default()
        .topics(2 * topics as usize, topics as usize)
        .history_age(AGE)
        .history_bytes(4 << 30);
    let log = Log::new(Epoch::new(1), config);
    let now = at(1);
    let grow = (0..topics).map(|n| time(|| append(&log, now, &name(n))));
    let mut times = vec![("append to a new topic", grow.collect())];
    let again = (0..topics).map(|n| time(|| append(&log, now, &name(n * 7_919 % topics))));
    times.push(("append to a known topic", again.collect()));

    let nothing = Pattern::new("*.*.none").unwrap();
    let parts = Parts::begin();
    let found = log.topics_matching_in_turns(&nothing, 9, || parts.turn());
    assert!(found.await.unwrap().is_empty());
    times.push(("search for the topics of a pattern", parts.end()));

    let filter = Filter::from(Pattern::new("*").unwrap());
    let (start, parts) = (Start::Last(1), Parts::begin());
    let open = log.open_in_turns(&filter, start, OnLag::CatchUp, || parts.turn());
    let mut last = open.await.unwrap();
    times.push(("search for the last event of each topic", parts.end()));
    times.push(("read of these events", read(&mut last)));
    let nothing = Filter::from(nothing);
    let mut none = log.reader(&nothing, Start::Earliest).unwrap();
    times.push(("read of events that match nothing", read(&mut none)));
    drop((last, none));

    // Everything has expired.
    for _ in 0..2 {
        let parts = Parts::begin();
        log.sweep_in_turns(at(100), || parts.turn()).await;
        times.push(("upkeep, which removes everything", parts.end()));
    }
    drop(log);

    // Each event is of a new topic, and removes an old one.
    let config = Config::default().topics(2 * topics as usize, topics as usize);
    let log = Log::new(Epoch::new(1), config);
    let full = (0..topics).map(|n| time(|| append(&log, now, &name(n))));
    times.push(("append while the history is full", full.collect()));
    times
}

/// Measures the parts of a search.
struct Parts(RefCell<(Instant, Times)>);

impl Parts {
    fn begin() -> Self {
        Self(RefCell::new((Instant::now(), Vec::new())))
    }

    fn turn(&self) -> Ready<()> {
        let (since, times) = &mut *self.0.borrow_mut();
        times.push(since.elapsed());
        *since = Instant::now();
        ready(())
    }

    fn end(self) -> Times {
        drop(self.turn());
        self.0.into_inner().1
    }
}

fn read(reader: &mut Reader) -> Times {
    let mut times = Vec::new();
    loop {
        let mut batches = Vec::new();
        let begun = Instant::now();
        let step = reader.step(1 << 16, &mut batches);
        times.push(begun.elapsed());
        if matches!(step, Step::Idle(_)) {
            return times;
        }
    }
}

fn time(step: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    step();
    begun.elapsed()
}

fn append(log: &Log, now: Now, name: &str) {
    let event = NewEvent::new(TopicRef::new(name).unwrap(), b"x");
    log.append(now, event).unwrap();
}

fn name(n: u64) -> String {
    format!("device.{n:07}.position")
}

fn at(second: u64) -> Now {
    Now {
        monotonic: Duration::from_secs(second),
        wall: Timestamp::from_micros(second * 1_000_000),
    }
}
