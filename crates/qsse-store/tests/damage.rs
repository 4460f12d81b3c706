//! Flipped bits and cut files: no read returns wrong data, and all damage is reported.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use qsse_store::io::mem::MemIo;
use qsse_store::{Age, Io, OpenError, Retention, Store, TopicRetention};
use support::*;

const EVENTS: u64 = 400;
const SIZE: usize = 5;

/// A closed store with several segments.
fn whole() -> (MemIo, Vec<Event>) {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let events = fill(&mut store, 1, EVENTS, SIZE, 5);
    store.close(EVENTS).unwrap();
    (io, events)
}

/// Checks that everything read was written, and everything else is reported.
fn check(store: &Store, events: &[Event], most_lost: usize, what: &str) {
    let reader = store.reader();
    let by_seq: BTreeMap<u64, &Event> = events.iter().map(|event| (event.seq, event)).collect();
    for pattern in ["*", "t.1", "t.*"] {
        let found = read(&reader, pattern);
        for event in &found.events {
            assert_eq!(
                Some(&event),
                by_seq.get(&event.seq),
                "{what}: a wrong payload"
            );
        }
        let wanted = filter(pattern);
        let there: Vec<u64> = found.events.iter().map(|event| event.seq).collect();
        for event in events {
            let topic = qsse_topic::Topic::new(&event.topic).unwrap();
            let removed = event.seq <= reader.floor(&filter(&event.topic));
            if wanted.matches(&topic) && !removed && there.binary_search(&event.seq).is_err() {
                assert!(
                    is_lost(&found.lost, event.seq),
                    "{what}: {event:?} is gone silently"
                );
            }
        }
        let lost: u64 = found.lost.iter().map(|(after, to)| to - after).sum();
        assert!(
            lost <= most_lost as u64,
            "{what}: {:?} are lost",
            found.lost
        );
    }
}

/// Returns how many events one damage may take: those of its record, of the two that it spans, or
/// more if a file is cut.
fn most_lost(cut: bool) -> usize {
    if cut { EVENTS as usize } else { 2 * SIZE }
}

#[test]
fn no_damage_gives_a_wrong_payload() {
    let (whole, events) = whole();
    let names: Vec<String> = whole.list().unwrap();
    assert!(names.len() > 15, "{names:?}");
    let mut dice = Dice(1);
    for round in 0..10_000u64 {
        let io = whole.snapshot();
        let name = &names[dice.roll(names.len() as u64) as usize];
        let mut bytes = io.read(name).unwrap();
        let at = dice.roll(bytes.len() as u64) as usize;
        let cut = round % 4 == 0;
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << dice.roll(8);
        }
        let what = format!("round {round}: byte {at} of {name}, cut {cut}");
        // Before the open, or while it is open.
        let (store, recovered);
        if round % 3 == 0 {
            (store, recovered) = open(&io);
            io.write(name, bytes);
        } else {
            io.write(name, bytes);
            (store, recovered) = open(&io);
        }
        assert_eq!(recovered.next_seq, EVENTS + 1, "{what}");
        check(&store, &events, most_lost(cut), &what);
    }
}

#[test]
fn a_damaged_store_goes_on() {
    let (whole, events) = whole();
    let names: Vec<String> = whole.list().unwrap();
    let mut dice = Dice(2);
    for round in 0..300u64 {
        let io = whole.snapshot();
        for _ in 0..5 {
            let name = &names[dice.roll(names.len() as u64) as usize];
            if !name.starts_with("meta") {
                io.flip(
                    name,
                    dice.roll(io.read(name).unwrap().len() as u64 * 8) as usize,
                );
            }
        }
        let (mut store, recovered) = open(&io);
        let next = recovered.next_seq;
        let mut events = events.clone();
        events.extend(fill(&mut store, next, next + 50, 3, 5));
        drop(store);
        let (store, _) = open(&io);
        check(&store, &events, 10 * SIZE + 200, &format!("round {round}"));
    }
}

#[test]
fn damage_to_what_retention_left_is_told_too() {
    let whole = MemIo::new();
    let options = || options().keys(0, seconds(0));
    let (mut store, _) = Store::open(Arc::new(whole.clone()), options()).unwrap();
    let mut events = Vec::new();
    for round in 0..20 {
        events.extend(fill(&mut store, round * 50 + 1, round * 50 + 50, SIZE, 5));
        let rule = |pattern: &str| TopicRetention::new(pattern.parse().unwrap());
        let rules = Retention::default()
            .topic(rule("t.0").max_events(2))
            .topic(rule("t.1").max_events(100))
            .topic(rule("t.2").max_events(5))
            .topic(rule("*").max_events(40));
        store.retain(&rules, Age::default()).unwrap();
    }
    let kept = read(&store.reader(), "*").events;
    assert_eq!(kept.len(), 2 + 100 + 5 + 40 + 40);
    store.close(1_000).unwrap();
    let names: Vec<String> = whole.list().unwrap();
    let mut dice = Dice(4);
    for round in 0..3_000u64 {
        let io = whole.snapshot();
        let name = &names[dice.roll(names.len() as u64) as usize];
        let mut bytes = io.read(name).unwrap();
        let at = dice.roll(bytes.len().max(1) as u64) as usize;
        if round % 4 == 0 {
            bytes.truncate(at);
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << dice.roll(8);
        }
        io.write(name, bytes);
        let (store, _) = Store::open(Arc::new(io), options()).unwrap();
        let what = format!("round {round}: byte {at} of {name}");
        check(&store, &events, 1_000, &what);
        if name != "floors" {
            // Damage elsewhere does not restore removed events.
            let found = read(&store.reader(), "*").events;
            assert!(found.iter().all(|event| kept.contains(event)), "{what}");
        }
    }
}

#[test]
fn without_the_floors_anything_may_have_been_removed_unless_nothing_ever_was() {
    let by_topic = TopicRetention::new("t.*".parse().unwrap()).max_events(1);
    let removed = Retention::default().max_bytes(20_000);
    let rewritten = Retention::default().topic(by_topic);
    let nothing = Retention::default();
    for (rules, floor) in [(removed, EVENTS), (rewritten, EVENTS), (nothing, 0)] {
        let io = MemIo::new();
        let options = || options().keys(0, seconds(0));
        let (mut store, _) = Store::open(Arc::new(io.clone()), options()).unwrap();
        let quiet = Event {
            topic: "quiet".to_owned(),
            ..event(1, 1)
        };
        store.append(&[entry(&[quiet])]).unwrap();
        fill(&mut store, 2, EVENTS, SIZE, 5);
        store.retain(&rules, Age::default()).unwrap();
        store.close(EVENTS).unwrap();
        assert!(io.flip("floors", 300) || io.flip("floors", 100));
        let (store, recovered) = Store::open(Arc::new(io), options()).unwrap();
        assert_eq!(recovered.floor, floor, "{rules:?}");
        let told = store.reader().floor(&filter("never.seen"));
        assert_eq!(told, floor, "{rules:?}");
    }
}

#[test]
fn retention_makes_a_damaged_index_anew() {
    let (io, events) = whole();
    let (mut store, _) = open(&io);
    // They are in memory, but not the places of events.
    read(&store.reader(), "t.1");
    for name in io.list().unwrap() {
        if name.ends_with(".idx") {
            let last = io.read(&name).unwrap().len() - 1;
            assert!(io.flip(&name, last * 8) && io.flip(&name, (last - 8) * 8));
        }
    }
    let rules = Retention::default().max_events(33);
    store.retain(&rules, Age::default()).unwrap();
    let left = read(&store.reader(), "*");
    assert_eq!(left.events, events[events.len() - 33..]);
    assert!(left.lost.is_empty());
}

#[test]
fn without_both_meta_files_nothing_is_guessed() {
    let (io, _) = whole();
    io.flip("meta.0", 300);
    io.write("meta.1", Vec::new());
    let error = Store::open(Arc::new(io.clone()), options()).err().unwrap();
    assert!(matches!(error, OpenError::Meta), "{error}");
}

#[test]
fn a_damaged_meta_file_is_written_before_the_good_one() {
    let (whole, _) = whole();
    for name in ["meta.0", "meta.1"] {
        let damaged = whole.snapshot();
        damaged.flip(name, 300);
        let mut stops = 0;
        loop {
            let mut is_done = false;
            for seed in 0..3 {
                let io = damaged.snapshot();
                io.power_off_at(stops);
                is_done = Store::open(Arc::new(io.clone()), options()).is_ok();
                io.crash(seed);
                let (_, recovered) = open(&io);
                assert_eq!(recovered.tail, EVENTS, "{name}, {stops}, {seed}");
            }
            if is_done {
                break;
            }
            stops += 1;
        }
        assert!(stops > 10, "{stops}");
    }
}

/// Publishes the bytes of a segment with salt 7 in a store with another salt, at each offset within
/// 16 bytes, and damages the records around them. Returns how many of those bytes pass for records.
fn taken_for_records(salt: u64) -> usize {
    let (io, _) = whole();
    let stolen = io.read("00000000000000000001.seg").unwrap()[48..2_000].to_vec();
    let io = MemIo::new();
    let options = options().salt_if_new(salt).segment_bytes(1 << 20);
    let (mut store, _) = Store::open(Arc::new(io.clone()), options.clone()).unwrap();
    for shift in 0..16u64 {
        let mut hostile = event(shift + 1, 5);
        hostile.data = vec![b'x'; shift as usize];
        hostile.data.extend(&stolen);
        store.append(&[entry(&[hostile])]).unwrap();
    }
    store.close(16).unwrap();
    let name = "00000000000000000001.seg";
    let mut bytes = io.read(name).unwrap();
    let mut at = 48;
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap());
        bytes[at + 20] ^= 1;
        // And the mark after it.
        at += (72 + length as usize).next_multiple_of(16) + 16;
    }
    io.write(name, bytes);
    let (store, _) = Store::open(Arc::new(io), options).unwrap();
    read(&store.reader(), "*").events.len()
}

#[test]
fn data_that_looks_like_a_record_is_never_one() {
    assert_eq!(taken_for_records(8), 0);
    // The salt is what distinguishes them.
    assert!(taken_for_records(7) > 0);
}

#[test]
fn damage_in_real_files_is_found_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let (mut store, _) = Store::open_dir(path, options()).unwrap();
    let events = fill(&mut store, 1, EVENTS, SIZE, 5);
    store.close(EVENTS).unwrap();
    let mut names: Vec<_> = path
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    names.sort();
    let originals: Vec<Vec<u8>> = names
        .iter()
        .map(|name| std::fs::read(name).unwrap())
        .collect();
    let mut dice = Dice(3);
    for round in 0..300 {
        restore(path, &names, &originals);
        let victim = dice.roll(names.len() as u64) as usize;
        let mut bytes = originals[victim].clone();
        if bytes.is_empty() {
            continue;
        }
        let at = dice.roll(bytes.len() as u64) as usize;
        let cut = round % 4 == 0;
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << dice.roll(8);
        }
        std::fs::write(&names[victim], bytes).unwrap();
        let (store, _) = Store::open_dir(path, options()).unwrap();
        let what = format!("byte {at} of {:?}, cut {cut}", names[victim]);
        check(&store, &events, most_lost(cut), &what);
    }
}

fn restore(path: &Path, names: &[std::path::PathBuf], originals: &[Vec<u8>]) {
    for file in path.read_dir().unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    for (name, bytes) in names.iter().zip(originals) {
        std::fs::write(name, bytes).unwrap();
    }
}

/// A store that has acknowledged 10 events, each by itself, and was killed; and its file.
fn killed() -> (MemIo, &'static str) {
    let io = MemIo::new();
    let (mut store, _) = Store::open(Arc::new(io.clone()), options().lease(0)).unwrap();
    fill(&mut store, 1, 10, 1, 2);
    drop(store);
    (io, "00000000000000000001.seg")
}

// QP-2.11
#[test]
fn a_damaged_last_record_keeps_its_seq_and_is_lost_for_good() {
    let (io, name) = killed();
    let mut bytes = io.read(name).unwrap();
    let at = bytes.len() - 16 - 20;
    bytes[at] ^= 1;
    io.write(name, bytes);
    for _ in 0..2 {
        let (store, recovered) = Store::open(Arc::new(io.clone()), options().lease(0)).unwrap();
        assert_eq!((recovered.tail, recovered.next_seq), (9, 11));
        assert_eq!(recovered.lost, [(9, 10)]);
        assert_eq!(read(&store.reader(), "*").lost, [(9, 10)]);
    }
    let (mut store, _) = Store::open(Arc::new(io.clone()), options().lease(0)).unwrap();
    fill(&mut store, 11, 12, 1, 2);
    store.close(12).unwrap();
    let (store, recovered) = Store::open(Arc::new(io), options().lease(0)).unwrap();
    assert_eq!(recovered.lost, [(9, 10)]);
    let found = read(&store.reader(), "*");
    let seqs: Vec<u64> = found.events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12]);
    assert_eq!(found.lost, [(9, 10)]);
}

#[test]
fn a_damaged_mark_costs_nothing() {
    let (io, name) = killed();
    let mut bytes = io.read(name).unwrap();
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    io.write(name, bytes);
    let (store, recovered) = Store::open(Arc::new(io), options().lease(0)).unwrap();
    assert_eq!((recovered.tail, recovered.next_seq), (10, 11));
    assert!(recovered.lost.is_empty());
    assert_eq!(read(&store.reader(), "*").events.len(), 10);
}

// Events below the floors stay removed, so no newer event may have such a seq.
#[test]
fn a_cut_segment_gives_no_seq_again_that_retention_has_removed() {
    let io = MemIo::new();
    let small = || options().lease(0).segment_bytes(4_096);
    let (mut store, _) = Store::open(Arc::new(io.clone()), small()).unwrap();
    fill(&mut store, 1, 400, 1, 2);
    let trimmed = store.retain(&Retention::default().max_events(3), Age::default());
    assert!(trimmed.unwrap().segments > 1, "the floors are on the disk");
    drop(store);
    let names = io.list().unwrap().into_iter();
    let newest = names.filter(|name| name.ends_with(".seg")).max().unwrap();
    let mut bytes = io.read(&newest).unwrap();
    bytes.truncate(48);
    io.write(&newest, bytes);
    let (mut store, recovered) = Store::open(Arc::new(io), small()).unwrap();
    let next = recovered.next_seq;
    assert!(
        next > recovered.floor,
        "{next} is below {}",
        recovered.floor
    );
    fill(&mut store, next, next + 1, 1, 2);
    assert_eq!(read(&store.reader(), "*").events.len(), 2);
}
