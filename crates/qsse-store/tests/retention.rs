//! What is removed, how it is reported, and what is left.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use qsse_store::io::mem::MemIo;
use qsse_store::{Age, Options, PublisherRun, Retention, Store, StoreError, TopicRetention};
use support::*;

fn rule(pattern: &str) -> TopicRetention {
    TopicRetention::new(pattern.parse().unwrap())
}

fn named(topic: &str, seq: u64) -> Event {
    Event {
        topic: topic.to_owned(),
        ..event(seq, 1)
    }
}

fn open_without_keys(io: &MemIo) -> Store {
    let options = options().keys(0, seconds(0));
    Store::open(Arc::new(io.clone()), options).unwrap().0
}

#[test]
fn a_quiet_topic_has_no_gap_and_a_busy_one_tells_its_own() {
    let io = MemIo::new();
    let mut store = open_without_keys(&io);
    let rules = Retention::default().topic(rule("t.*").max_events(10));
    store.append(&[entry(&[named("quiet", 1)])]).unwrap();
    for round in 0..200 {
        let first = 2 + round * 20;
        fill(&mut store, first, first + 19, 7, 1);
        store.retain(&rules, Age::default()).unwrap();
    }
    let head = store.head();
    let check = |store: &Store| {
        let reader = store.reader();
        assert_eq!(reader.floor(&filter("quiet")), 0);
        assert_eq!(reader.floor(&filter("other.*")), 0);
        assert_eq!(reader.floor(&filter("t.0")), head - 10);
        assert_eq!(reader.floor(&filter("*")), head - 10);
        assert_eq!(read(&reader, "quiet").events, [named("quiet", 1)]);
        let busy = read(&reader, "t.*");
        assert_eq!(busy.events.len(), 10);
        assert!(busy.lost.is_empty());
        let found = reader.read(&filter("t.0"), 5, head, 1_000);
        assert_eq!(found.floor, head - 10);
        assert!(reader.read(&filter("t.0"), head - 10, head, 1_000).floor <= head - 10);
        assert_eq!(reader.events(), 11);
    };
    check(&store);
    // The dead segments in between are removed from the disk, although the oldest one is alive.
    assert!(
        store.reader().bytes() < 20_000,
        "{} bytes",
        store.reader().bytes()
    );
    let files = qsse_store::Io::list(&io).unwrap().len();
    assert!(files < 20, "{files} files");
    store.close(head).unwrap();
    let (store, recovered) = open(&io);
    assert!(recovered.lost.is_empty(), "{recovered:?}");
    assert_eq!(recovered.floor, head - 10);
    check(&store);
}

#[test]
fn raised_floors_are_taken_once() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    fill(&mut store, 1, 20, 7, 2);
    let rules = Retention::default().max_events(5);
    store.retain(&rules, Age::default()).unwrap();
    let raised: Vec<(String, u64)> = store
        .take_raised()
        .into_iter()
        .map(|(topic, floor)| (topic.to_string(), floor))
        .collect();
    // Event 15 is the last one that was removed.
    assert!(raised.contains(&(event(15, 2).topic, 15)), "{raised:?}");
    assert!(raised.contains(&(event(14, 2).topic, 14)), "{raised:?}");
    assert_eq!(store.take_raised(), []);
    fill(&mut store, 21, 22, 7, 2);
    store.retain(&rules, Age::default()).unwrap();
    store.retain(&rules, Age::default()).unwrap();
    assert_eq!(store.take_raised(), [], "those before the last call");
}

#[test]
fn a_full_disk_can_be_trimmed() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let mut events = fill(&mut store, 1, 500, 7, 10);
    io.set_capacity(Some(io.used()));
    let more: Vec<Event> = (501..560).map(|seq| event(seq, 10)).collect();
    let error = store.append(&[entry(&more)]).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let trimmed = store
        .retain(&Retention::default().max_bytes(20_000), Age::default())
        .unwrap();
    assert!(
        trimmed.segments > 3 && trimmed.bytes > 10_000,
        "{trimmed:?}"
    );
    store.append(&[entry(&more)]).unwrap();
    store.sync().unwrap();
    events.extend(more);
    drop(store);
    let (store, _) = open(&io);
    let found = read(&store.reader(), "*");
    assert!(events.ends_with(&found.events) && found.events.len() > 100);
    let first = found.events[0].seq;
    assert!(
        store.reader().floor(&filter("t.3")) >= first - 10,
        "no silent gap"
    );
}

#[test]
fn a_gap_for_want_of_room_ends_when_the_floors_can_be_saved() {
    let io = MemIo::new();
    let mut store = open_without_keys(&io);
    fill(&mut store, 1, 500, 7, 10);
    let floor_after = |io: &MemIo| {
        let store = open_without_keys(&io.snapshot());
        store.reader().floor(&filter("never.seen"))
    };
    let retain = |store: &mut Store, most| {
        let rules = Retention::default().max_events(most);
        store.retain(&rules, Age::default()).unwrap()
    };
    // Of the first segment alone, because its removal makes room.
    io.set_capacity(Some(io.used()));
    let second = segments(&io)[1];
    assert_eq!(retain(&mut store, 501 - second).segments, 1);
    assert_eq!(floor_after(&io), second - 1);
    io.set_capacity(None);
    assert!(retain(&mut store, 100).segments > 0);
    assert_eq!(floor_after(&io), 0);
}

/// Returns the first seqs of all segments.
fn segments(io: &MemIo) -> Vec<u64> {
    let names = qsse_store::Io::list(io).unwrap();
    let firsts = names.iter().filter_map(|name| name.strip_suffix(".seg"));
    firsts.map(|first| first.parse().unwrap()).collect()
}

#[test]
fn a_segment_is_rewritten_when_a_quarter_of_it_is_left() {
    let io = MemIo::new();
    let mut store = open_without_keys(&io);
    // Events of one size, in segments of one topic each. The first segment never dies.
    let event = |topic: &str, seq| Event {
        data: vec![7; 50],
        ..named(topic, seq)
    };
    for seq in 1..=400 {
        let topic = if seq <= 200 { "kept" } else { "t.0" };
        store.append(&[entry(&[event(topic, seq)])]).unwrap();
    }
    let firsts = segments(&io);
    // The first segment that has only events of `t.0`.
    let at = firsts.partition_point(|first| *first <= 200);
    let (begin, end) = (firsts[at], firsts[at + 1]);
    let mut is_rewritten = |removed: u64| {
        let left = 400 - begin + 1 - removed;
        let rules = Retention::default().topic(rule("t.*").max_events(left));
        store.retain(&rules, Age::default()).unwrap().rewritten > 0
    };
    while is_rewritten(0) {}
    let removed = (1..).find(|removed| is_rewritten(*removed)).unwrap();
    let share = removed as f64 / (end - begin) as f64;
    assert!((0.7..0.8).contains(&share), "{removed}: {share}");
}

/// Returns how many removed files below `path` are still open. They take room until they are closed.
#[cfg(target_os = "linux")]
fn removed_and_open(path: &std::path::Path) -> usize {
    let path = path.canonicalize().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let files = open.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    let removed = |file: &std::path::PathBuf| file.to_string_lossy().ends_with(" (deleted)");
    files
        .filter(|file| file.starts_with(&path) && removed(file))
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn the_room_of_removed_and_rewritten_segments_is_given_back() {
    let by_topic = rule("t.*").max_events(3);
    for rules in [
        Retention::default().max_bytes(10_000),
        Retention::default().topic(by_topic),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let without_keys = options().keys(0, seconds(0));
        let (mut store, _) = Store::open_dir(dir.path(), without_keys).unwrap();
        store.append(&[entry(&[named("quiet", 1)])]).unwrap();
        fill(&mut store, 2, 400, 7, 2);
        // Their indexes are in memory.
        read(&store.reader(), "t.1");
        let trimmed = store.retain(&rules, Age::default()).unwrap();
        assert!(trimmed.segments + trimmed.rewritten > 3, "{trimmed:?}");
        assert_eq!(removed_and_open(dir.path()), 0, "{trimmed:?}");
    }
}

#[test]
fn what_was_lost_is_told_after_its_segment_is_gone_too() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    fill(&mut store, 1, 20, 7, 2);
    let mark = store.reserved();
    drop(store);
    let (mut store, _) = open(&io);
    let last = mark + 400;
    fill(&mut store, mark + 1, last, 7, 2);
    store
        .retain(&Retention::default().max_bytes(10_000), Age::default())
        .unwrap();
    assert!(read(&store.reader(), "*").events[0].seq > mark);
    // It is unknown what was in the gap, so it is a gap for every topic.
    assert_eq!(store.reader().floor(&filter("never.seen")), mark);
    drop(store);
    let (store, _) = open(&io);
    assert_eq!(store.reader().floor(&filter("never.seen")), mark);
}

#[test]
fn rewriting_keeps_what_is_lost_lost() {
    let io = MemIo::new();
    let mut store = open_without_keys(&io);
    store.append(&[entry(&[named("quiet", 1)])]).unwrap();
    fill(&mut store, 2, 11, 5, 2);
    fill(&mut store, 15, 300, 5, 2);
    let rules = Retention::default().topic(rule("t.*").max_events(3));
    let trimmed = store.retain(&rules, Age::default()).unwrap();
    assert!(trimmed.rewritten > 1, "{trimmed:?}");
    for pattern in ["*", "quiet"] {
        assert_eq!(read(&store.reader(), pattern).lost, [(11, 14)]);
    }
    drop(store);
    let (store, recovered) = open(&io);
    assert_eq!(recovered.lost[0], (11, 14));
    assert_eq!(read(&store.reader(), "quiet").lost[0], (11, 14));
}

#[test]
fn as_many_events_are_left_as_the_rule_says() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let events = fill(&mut store, 1, 200, 1, 1);
    for most in (0..200).rev() {
        let rules = Retention::default().max_events(most as u64);
        let trimmed = store.retain(&rules, Age::default()).unwrap();
        assert_eq!(trimmed.events, 1);
        let left = read(&store.reader(), "*").events;
        assert_eq!(left, events[200 - most..]);
    }
    assert!(store.reader().bytes() <= 4_096, "one segment is left");
}

#[test]
fn a_long_segment_is_rewritten_in_several_writes() {
    let io = MemIo::new();
    let options = options().keys(0, seconds(0)).segment_bytes(8 << 20);
    let (mut store, _) = Store::open(Arc::new(io.clone()), options.clone()).unwrap();
    let mut kept = Vec::new();
    for seq in 1..=100 {
        let topic = if seq % 5 == 0 { "kept" } else { "t.0" };
        let large = Event {
            data: vec![seq as u8; 100 << 10],
            ..named(topic, seq)
        };
        store
            .append(&[entry(std::slice::from_ref(&large))])
            .unwrap();
        if topic == "kept" {
            kept.push(large);
        }
    }
    let rules = Retention::default().topic(rule("t.*").max_events(1));
    assert_eq!(store.retain(&rules, Age::default()).unwrap().rewritten, 1);
    assert_eq!(read(&store.reader(), "kept").events, kept);
    drop(store);
    let (store, _) = Store::open(Arc::new(io), options).unwrap();
    assert_eq!(read(&store.reader(), "kept").events, kept);
}

#[test]
fn what_is_neither_small_nor_mostly_dead_is_not_rewritten() {
    let io = MemIo::new();
    let mut store = open_without_keys(&io);
    // Half of the first segment is retained, nothing of the next ones, and all of those behind.
    for first in (1..=40).step_by(2) {
        let events = [named("kept", first), named("t.0", first + 1)];
        store.append(&[entry(&events)]).unwrap();
    }
    fill(&mut store, 41, 140, 2, 1);
    for seq in 141..300 {
        store.append(&[entry(&[named("kept", seq)])]).unwrap();
    }
    const FIRST: &str = "00000000000000000001.seg";
    let before = io.read(FIRST).unwrap();
    let rules = Retention::default().topic(rule("t.*").max_events(1));
    let mut rewritten = 0;
    for _ in 0..10 {
        rewritten += store.retain(&rules, Age::default()).unwrap().rewritten;
    }
    assert!(rewritten > 1, "{rewritten}");
    assert_eq!(io.read(FIRST).unwrap(), before);
    let found = read(&store.reader(), "kept").events;
    assert_eq!(found.len(), 20 + 159);
}

#[test]
fn events_without_keys_are_rewritten_even_within_the_window_of_keys() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    store.append(&[entry(&[named("quiet", 1)])]).unwrap();
    fill(&mut store, 2, 300, 5, 2);
    let rules = Retention::default().topic(rule("t.*").max_events(3));
    let trimmed = store.retain(&rules, Age::default()).unwrap();
    assert!(trimmed.rewritten > 1, "{trimmed:?}");
}

/// A store with 400 keyed events in many segments.
fn keyed(io: &MemIo) -> Store {
    let (mut store, _) = open(io);
    for seq in 1..=400 {
        let mut entry = entry(&[event(seq, 1)]);
        entry.keys = vec![(seq, key(&seq.to_string()))];
        store.append(&[entry]).unwrap();
    }
    store.sync().unwrap();
    store
}

#[test]
fn keys_that_may_be_asked_for_outlive_their_events() {
    let io = MemIo::new();
    let mut store = keyed(&io);
    let rules = Retention::default().max_events(3);
    assert!(store.retain(&rules, Age::default()).unwrap().segments > 3);
    drop(store);
    let (mut store, recovered) = open(&io);
    let next = recovered.next_seq;
    let seqs: Vec<_> = recovered.keys.iter().map(|(_, seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=400).collect::<Vec<_>>());
    assert_eq!(recovered.keys_age, options().keys_age);

    // Their keys are removed once they are outside the window.
    let mut late = event(next, 1);
    late.time += 1_000 * 1_000_000;
    store.append(&[entry(&[late])]).unwrap();
    store.sync().unwrap();
    drop(store);
    assert_eq!(open(&io).1.keys, []);
}

#[test]
fn without_a_window_no_keys_are_saved() {
    let io = MemIo::new();
    drop(keyed(&io));
    let options = options().keys(0, seconds(120));
    let (mut store, _) = Store::open(Arc::new(io.clone()), options).unwrap();
    let rules = Retention::default().max_events(3);
    assert!(store.retain(&rules, Age::default()).unwrap().segments > 3);
    assert_eq!(io.read("keys"), None);
}

#[test]
fn keys_that_could_not_be_kept_are_not_relied_on() {
    let io = MemIo::new();
    let mut store = keyed(&io);
    io.set_capacity(Some(io.used()));
    let rules = Retention::default().max_events(3);
    assert!(store.retain(&rules, Age::default()).unwrap().segments > 3);
    drop(store);
    io.set_capacity(None);
    let (mut store, recovered) = open(&io);
    let oldest = recovered.keys[0].2.as_micros();
    let known = recovered.last_time.as_micros() - recovered.keys_age.as_micros() as u64;
    assert!(recovered.keys.len() < 400, "{} keys", recovered.keys.len());
    assert!(known <= oldest, "{known} and {oldest}");
    assert!(known > event(recovered.keys[0].1 - 1, 1).time);

    // The same for a damaged file.
    let rules = Retention::default().max_events(0);
    let next = recovered.next_seq;
    fill(&mut store, next, next + 100, 1, 1);
    store.retain(&rules, Age::default()).unwrap();
    drop(store);
    assert!(io.flip("keys", 300));
    assert_eq!(open(&io).1.keys_age, seconds(0));
}

#[test]
fn keys_that_may_be_asked_for_outlive_rewriting() {
    let io = MemIo::new();
    let mut store = keyed(&io);
    let rules = Retention::default().topic(rule("*").max_events(3));
    store.retain(&rules, Age::default()).unwrap();
    let oldest = store.reader().bytes();
    drop(store);
    let (store, recovered) = open(&io);
    assert!(recovered.keys.len() > 3, "{} keys", recovered.keys.len());
    assert!(oldest > 0 && store.reader().events() >= 3);
}

#[test]
fn a_clock_that_jumps_wipes_nothing() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    fill(&mut store, 1, 50, 7, 2);
    let rules = Retention::default().max_age(seconds(60));
    let at = |since_open, closed| Age {
        since_open: seconds(since_open),
        closed: seconds(closed),
    };
    // Times of events that are years apart do not count while the store is open.
    let late = Event {
        time: 1 << 50,
        ..event(51, 2)
    };
    store.retain(&rules, at(1, 0)).unwrap();
    store.append(&[entry(&[late])]).unwrap();
    store.retain(&rules, at(2, 0)).unwrap();
    assert_eq!(store.reader().events(), 51);
    store.retain(&rules, at(61, 0)).unwrap();
    assert_eq!(store.reader().events(), 1, "50 were seen 60 s ago");
    fill(&mut store, 52, 60, 7, 2);
    store.close(60).unwrap();

    // After a restart the caller says how long it was closed, and how much of that it believes.
    let (mut store, _) = open(&io);
    store.retain(&rules, at(0, 0)).unwrap();
    assert!(store.reader().events() > 0);
    store.retain(&rules, at(1, 60)).unwrap();
    assert_eq!(store.reader().events(), 0);
    assert_eq!(store.reader().head(), 60);
}

#[test]
fn the_first_rule_that_matches_counts() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    fill(&mut store, 1, 100, 7, 2);
    let rules = Retention::default()
        .topic(rule("t.1"))
        .topic(rule("t.*").max_bytes(500));
    store.retain(&rules, Age::default()).unwrap();
    assert_eq!(read(&store.reader(), "t.1").events.len(), 50);
    let kept = read(&store.reader(), "t.0").events;
    let bytes = |event: &Event| event.topic.len() + "message".len() + event.data.len();
    let sum: usize = kept.iter().map(bytes).sum();
    assert!(sum <= 500 && !kept.is_empty());
}

#[test]
fn floors_of_topics_that_are_gone_are_bounded() {
    let io = MemIo::new();
    let options = options().max_idle_floors(100);
    let (mut store, _) = Store::open(Arc::new(io.clone()), options).unwrap();
    for seq in 1..=3_000 {
        store
            .append(&[entry(&[named(&format!("once.{seq}"), seq)])])
            .unwrap();
        if seq % 100 == 0 {
            let rules = Retention::default().max_events(20);
            store.retain(&rules, Age::default()).unwrap();
        }
    }
    store.close(3_000).unwrap();
    let floors = io.read("floors").unwrap().len();
    assert!(floors < 8_000, "{floors} bytes");
    let (store, _) = open(&io);
    // Each is still reported, if only together with others.
    for seq in [1, 500, 2_900] {
        let floor = store.reader().floor(&filter(&format!("once.{seq}")));
        assert!(floor >= seq, "{floor}");
    }
    assert!(store.reader().floor(&filter("never")) < 2_950);
}

/// Returns the only publish of a publisher: the event with this seq.
fn run_of_its_own(seq: u64) -> PublisherRun {
    let mut publisher = [0; 16];
    publisher[..8].copy_from_slice(&seq.to_le_bytes());
    PublisherRun {
        publisher,
        number: 1,
        count: 1,
        first: seq,
        events: 1,
    }
}

#[test]
fn all_files_together_stay_within_the_limit() {
    const LIMIT: u64 = 60_000;
    let io = MemIo::new();
    let options = options()
        .keys(100, seconds(120))
        .publishers(200, seconds(600))
        .max_idle_floors(100);
    let (mut store, _) = Store::open(Arc::new(io.clone()), options).unwrap();
    let rules = Retention::default().max_bytes(LIMIT);
    for first in (1..4_000).step_by(20) {
        // Each event has its own topic, a key and a publisher: floors, keys, publishers and indexes
        // are a large part of the files.
        let events = first..first + 20;
        let events: Vec<Event> = events
            .map(|seq| named(&format!("once.{seq}"), seq))
            .collect();
        let mut entry = entry(&events);
        entry.keys = vec![(first, key(&format!("key {first}")))];
        entry.runs = (first..first + 20).map(run_of_its_own).collect();
        store.append(&[entry]).unwrap();
        store.sync().unwrap();
        store.retain(&rules, Age::default()).unwrap();
        // It is freed by whole segments.
        let meta = ["meta.0", "meta.1"].map(|name| io.read(name).unwrap().len() as u64);
        let used = io.used() - meta.iter().sum::<u64>();
        assert!(used <= LIMIT + 4_096, "{used} bytes at {first}");
    }
    let events = store.reader().events();
    assert!(events > 150, "{events} events in {} bytes", io.used());
}

#[test]
fn what_is_gone_is_told_wherever_the_machine_stops() {
    let whole = MemIo::new();
    let mut store = open_without_keys(&whole);
    let events = fill(&mut store, 1, 200, 7, 5);
    drop(store);
    let rules = Retention::default().max_bytes(8_000);
    let mut stops = 0;
    loop {
        let mut is_done = false;
        for seed in 0..4 {
            let io = whole.snapshot();
            let mut store = open_without_keys(&io);
            io.power_off_at(io.operations() + stops);
            is_done = store.retain(&rules, Age::default()).is_ok();
            drop(store);
            io.crash(seed);
            let store = open_without_keys(&io);
            let found = read(&store.reader(), "*").events;
            assert!(!is_done || found.len() < 100, "{} events", found.len());
            for event in &events {
                let floor = store.reader().floor(&filter(&event.topic));
                let told = found.contains(event) || floor >= event.seq;
                assert!(told, "{event:?} after {stops} operations, seed {seed}");
            }
        }
        if is_done {
            break;
        }
        stops += 1;
    }
    assert!(stops > 5, "{stops}");
}

#[test]
fn readers_never_wait_and_never_see_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new(EPOCH)
        .segment_bytes(1 << 16)
        .max_cached_indexes(2);
    let (mut store, _) = Store::open_dir(dir.path(), options.keys(0, seconds(0))).unwrap();
    let done = AtomicBool::new(false);
    let last = 30_000;
    std::thread::scope(|scope| {
        for pattern in ["*", "t.3", "t.*", "t.7"] {
            let (reader, done) = (store.reader(), &done);
            scope.spawn(move || {
                let filter = filter(pattern);
                let (mut position, mut seen) = (0, 0u64);
                while !done.load(Ordering::Acquire) || position < last {
                    let head = reader.head();
                    let read = reader.read(&filter, position, head, 20_000);
                    assert!(read.lost.is_empty(), "{read:?}");
                    // The writer may have advanced far since the head was read.
                    assert!(read.floor <= position || read.floor < reader.head());
                    for event in read.batches.iter().flat_map(|batch| batch.iter()) {
                        assert_eq!(event.data(), support::event(event.seq(), 10).data);
                        seen += 1;
                    }
                    position = read.through;
                    let _ = reader.tail(&filter, 2, head);
                    std::thread::yield_now();
                }
                assert!(seen > 0);
            });
        }
        for first in (1..=last).step_by(50) {
            fill(&mut store, first, first + 49, 10, 10);
            if first % 1_000 == 1 {
                let rules = Retention::default()
                    .max_events(20_000)
                    .topic(rule("t.3").max_events(100));
                store.retain(&rules, Age::default()).unwrap();
            }
        }
        done.store(true, Ordering::Release);
    });
    store.close(last).unwrap();
}
