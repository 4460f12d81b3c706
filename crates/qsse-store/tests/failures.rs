//! Each operation on a file fails once, and the machine crashes at each of them: nothing
//! acknowledged is lost, and no seq names two events.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use qsse_store::io::mem::{Failure, MemIo, Op};
use qsse_store::io::{Lock, LockError};
use qsse_store::{
    Age, Health, Io, IoFile, OpenError, Recovered, Retention, Store, StoreError, TopicRetention,
};
use support::*;

/// What callers know.
#[derive(Default)]
struct World {
    /// Each seq that was shown to anyone, with its event.
    given: BTreeMap<u64, Event>,
    /// Events of which it is unknown whether they were written.
    doubtful: Vec<Event>,
    /// Appended events that may not be synced.
    written: Vec<u64>,
    /// Events for which a sync succeeded.
    acknowledged: Vec<u64>,
    /// Distinguishes events that use refused seqs again.
    edition: u64,
    errors: usize,
    /// Segments that were rewritten or removed.
    rewritten: usize,
    removed: usize,
    /// The operation from which on the machine is off.
    off: Option<usize>,
}

/// When callers learn the seqs of their events.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    /// Before they are written: events that are refused afterwards are lost.
    AtOnce,
    /// After the sync: refused seqs are not shown and are used again.
    Synced,
}

fn rules() -> Retention {
    let rule = |pattern: &str| TopicRetention::new(pattern.parse().unwrap());
    // Most of a segment is removed early, so that it is rewritten, and all of it in the end.
    Retention::default()
        .topic(rule("t.0").max_events(30))
        .topic(rule("t.*").max_events(4))
        .max_bytes(16 << 10)
}

/// The number of topics.
const TOPICS: u64 = 6;

impl World {
    fn events(&mut self, first: u64, count: u64) -> Vec<Event> {
        self.edition += 1;
        let edition = self.edition;
        let mut events: Vec<Event> = (first..first + count)
            .map(|seq| event(seq, TOPICS))
            .collect();
        for event in &mut events {
            event.data.extend(format!(" edition {edition}").bytes());
        }
        events
    }

    fn give(&mut self, events: &[Event]) {
        for event in events {
            let old = self.given.insert(event.seq, event.clone());
            assert!(old.is_none(), "seq {} was given out twice", event.seq);
        }
    }

    /// Runs the store once: opens it, appends, trims, and closes it if nothing is wrong.
    fn live(&mut self, io: &MemIo, told: Told, rounds: usize) {
        let Ok((mut store, recovered)) = Store::open(Arc::new(io.clone()), options()) else {
            self.errors += 1;
            return;
        };
        self.check_open(io, &store, &recovered);
        let mut next = recovered.next_seq;
        for round in 0..rounds {
            let count = 1 + (round as u64 * 5) % 13;
            let events = self.events(next, count);
            let (one, two) = events.split_at(events.len() / 2);
            let entries: Vec<_> = [one, two]
                .into_iter()
                .filter(|events| !events.is_empty())
                .map(entry)
                .collect();
            if told == Told::AtOnce {
                let reserved = store.reserve(next + count - 1);
                if !self.noted(&store, reserved) {
                    break;
                }
                if store.reserved() < next + count - 1 {
                    continue;
                }
                self.give(&events);
                next += count;
            }
            let appended = store.append(&entries);
            if appended.is_ok() {
                self.written.extend(events.iter().map(|event| event.seq));
                if told == Told::Synced {
                    // Readers may see it from now on, so it keeps its seqs.
                    self.give(&events);
                    next += count;
                }
            }
            if !self.noted(&store, appended) {
                self.doubtful.extend(events);
                break;
            }
            if round % 3 == 2 {
                let synced = store.sync();
                if synced.is_ok() {
                    self.acknowledged.append(&mut self.written);
                }
                if !self.noted(&store, synced) {
                    break;
                }
            }
            if round % 5 == 4 {
                let age = Age::default();
                let trimmed = store.retain(&rules(), age).map(|trimmed| {
                    self.rewritten += trimmed.rewritten;
                    self.removed += trimmed.segments;
                });
                if !self.noted(&store, trimmed) {
                    break;
                }
            }
        }
        self.check(io, &store);
        if store.health() == Health::Good || store.health() == Health::Full {
            let closed = store.close(next - 1);
            if closed.is_ok() {
                self.acknowledged.append(&mut self.written);
            } else {
                self.errors += 1;
            }
        }
        self.written.clear();
    }

    /// Records an error. Returns whether the store can continue.
    fn noted(&mut self, store: &Store, result: Result<(), StoreError>) -> bool {
        let Err(error) = result else {
            return true;
        };
        self.errors += 1;
        let failed = matches!(error, StoreError::Failed { .. });
        assert_eq!(
            failed,
            matches!(store.health(), Health::Failed { .. }),
            "{error:?}"
        );
        !failed
    }

    fn check_open(&mut self, io: &MemIo, store: &Store, recovered: &Recovered) {
        if let Some((last, _)) = self.given.last_key_value() {
            assert!(
                recovered.next_seq > *last,
                "{last} is given out again: {recovered:?}"
            );
        }
        for seq in &self.acknowledged {
            assert!(
                !is_lost(&recovered.lost, *seq),
                "{seq} is lost: {recovered:?}"
            );
        }
        self.check(io, store);
        // Readers see it now, so it must stay.
        let found = read(&store.reader(), "*").events;
        self.acknowledged
            .extend(found.iter().map(|event| event.seq));
    }

    fn topic(&self, seq: u64) -> String {
        event(seq, TOPICS).topic
    }

    fn check(&self, io: &MemIo, store: &Store) {
        // What cannot be read once is reported as lost, and is there the next time.
        let result = self.checked(store).or_else(|_| self.checked(store));
        let off = self.off.is_some_and(|off| io.operations() > off);
        assert!(off || result.is_ok(), "{result:?}");
    }

    /// Checks that everything acknowledged is there or reported as removed, and that there is
    /// nothing else.
    fn checked(&self, store: &Store) -> Result<(), String> {
        let reader = store.reader();
        let mut by_topic = Vec::new();
        for topic in 0..TOPICS {
            let topic = format!("t.{topic}");
            let found = read(&reader, &topic);
            by_topic.extend(found.events.clone());
            let there: BTreeMap<u64, Event> = found
                .events
                .into_iter()
                .map(|event| (event.seq, event))
                .collect();
            let floor = reader.floor(&filter(&topic));
            for (seq, event) in &there {
                let given = self.given.get(seq);
                let doubtful = given.is_none() && self.doubtful.contains(event);
                assert!(doubtful || given == Some(event), "another event at {seq}");
            }
            for seq in &self.acknowledged {
                if self.topic(*seq) == topic && !there.contains_key(seq) && *seq > floor {
                    return Err(format!("{seq} of {topic} is gone, floor {floor}"));
                }
            }
        }
        by_topic.sort_by_key(|event| event.seq);
        let all = read(&reader, "*").events;
        match all == by_topic {
            true => Ok(()),
            false => Err(format!("{all:?} are not {by_topic:?}")),
        }
    }
}

const ROUNDS: usize = 30;

/// Returns the operations of a run without failures.
fn operations(told: Told) -> Vec<Op> {
    let io = MemIo::new();
    let mut world = World::default();
    world.live(&io, told, ROUNDS);
    world.live(&io, told, ROUNDS);
    assert_eq!(world.errors, 0);
    assert!(world.acknowledged.len() > 300);
    assert!(world.rewritten > 3 && world.removed > 3);
    io.history()
}

#[test]
fn each_operation_may_fail_once() {
    for told in [Told::AtOnce, Told::Synced] {
        let operations = operations(told);
        let mut errors = 0;
        for (at, op) in operations.iter().enumerate() {
            for failure in [Failure::Io, Failure::Full, Failure::Short] {
                // Room and short writes do not concern reading.
                if matches!(op, Op::Read | Op::Len | Op::Open) && failure != Failure::Io {
                    continue;
                }
                let io = MemIo::new();
                let mut world = World::default();
                println!("{failure:?} at {at}");
                io.fail_at(at, failure);
                world.live(&io, told, ROUNDS);
                io.recover();
                // A short run after a failed sync, so that events in doubt are not removed
                // meanwhile.
                world.live(&io, told, if *op == Op::Sync { 2 } else { ROUNDS });
                io.recover();
                // Acknowledged events survive a crash of the machine too.
                io.crash(at as u64);
                world.live(&io, told, 5);
                errors += world.errors;
            }
        }
        assert!(
            errors > 300,
            "{errors} errors of {} operations",
            operations.len()
        );
    }
}

#[test]
fn the_machine_may_stop_at_each_operation() {
    for told in [Told::AtOnce, Told::Synced] {
        let operations = operations(told);
        let mut runs = 0;
        for at in 0..operations.len() {
            for seed in 0..2 {
                let io = MemIo::new();
                let mut world = World::default();
                println!("power off at {at}, seed {seed}");
                io.power_off_at(at);
                world.off = Some(at);
                world.live(&io, told, ROUNDS);
                if io.operations() < at {
                    world.live(&io, told, ROUNDS);
                }
                io.crash((at * 10 + seed) as u64);
                world.off = None;
                world.live(&io, told, 9);
                // A second crash may interrupt the repair after the first.
                world.off = Some(io.operations() + at % 50);
                io.power_off_at(io.operations() + at % 50);
                world.live(&io, told, 9);
                io.crash(seed as u64);
                world.off = None;
                world.live(&io, told, 9);
                runs += 1;
            }
        }
        assert!(runs >= 1_000, "{runs}");
    }
}

#[test]
fn what_was_refused_never_comes_back() {
    let operations = operations(Told::Synced);
    let writes = operations.iter().enumerate();
    let mut runs = 0;
    for (at, _) in writes.filter(|(_, op)| **op == Op::Write) {
        for seed in 0..20 {
            let io = MemIo::new();
            let mut world = World::default();
            io.fail_at(at, Failure::Short);
            let off = at + 3 + seed % 12;
            world.off = Some(off);
            io.power_off_at(off);
            world.live(&io, Told::Synced, ROUNDS);
            if io.operations() < off {
                world.live(&io, Told::Synced, ROUNDS);
            }
            io.crash((at * 100 + seed) as u64);
            world.off = None;
            world.live(&io, Told::Synced, 3);
            runs += 1;
        }
    }
    assert!(runs > 1_000, "{runs}");
}

#[test]
fn a_meta_file_that_cannot_be_opened_now_stays_as_it_is() {
    let whole = MemIo::new();
    let (mut store, _) = open(&whole);
    fill(&mut store, 1, 10, 3, 2);
    store.close(10).unwrap();
    let metas = |io: &MemIo| ["meta.0", "meta.1"].map(|name| io.read(name).unwrap());
    let io = whole.snapshot();
    drop(open(&io));
    let opens = io.history().into_iter().enumerate();
    let opens = opens.filter(|(_, op)| *op == Op::Open).map(|(at, _)| at);
    // Each is opened to read it, and again to write it.
    for at in opens.take(4) {
        let io = whole.snapshot();
        io.fail_at(at, Failure::Io);
        let error = Store::open(Arc::new(io.clone()), options()).err().unwrap();
        assert!(matches!(error, OpenError::Io { .. }), "{at}: {error}");
        assert_eq!(metas(&io), metas(&whole), "{at}");
    }
}

/// Files of which each operation is interrupted at first, and then handles a few bytes.
#[derive(Clone)]
struct Hasty(MemIo);

struct HastyFile {
    file: Arc<dyn IoFile>,
    interrupted: AtomicBool,
}

impl HastyFile {
    fn make(file: Arc<dyn IoFile>) -> Arc<dyn IoFile> {
        let interrupted = AtomicBool::new(false);
        Arc::new(Self { file, interrupted })
    }

    fn interrupt(&self) -> io::Result<()> {
        match self.interrupted.fetch_xor(true, Ordering::Relaxed) {
            true => Ok(()),
            false => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

const FEW: usize = 100;

impl IoFile for HastyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.interrupt()?;
        let len = buf.len().min(FEW);
        self.file.read_at(&mut buf[..len], offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.interrupt()?;
        self.file.write_at(&buf[..buf.len().min(FEW)], offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl Io for Hasty {
    fn create(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        self.0.create(name).map(HastyFile::make)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        self.0.open(name).map(HastyFile::make)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn Lock>, LockError> {
        self.0.lock(purpose)
    }
}

#[test]
fn interrupted_and_short_reads_and_writes_go_on() {
    let io = Hasty(MemIo::new());
    let (mut store, _) = Store::open(Arc::new(io.clone()), options()).unwrap();
    let events = fill(&mut store, 1, 200, 7, 3);
    store.close(200).unwrap();
    let (store, recovered) = Store::open(Arc::new(io.clone()), options()).unwrap();
    assert!(recovered.clean && recovered.lost.is_empty());
    assert_eq!(read(&store.reader(), "*").events, events);
    let file = io.create("new").unwrap();
    assert!(file.is_empty().unwrap());
    let file = io.open("meta.0").unwrap();
    assert!(!file.is_empty().unwrap());
}
