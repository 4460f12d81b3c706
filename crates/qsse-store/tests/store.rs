//! The guarantees of a store, one in each test.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;

use qsse_proto::{Epoch, Timestamp};
use qsse_store::io::mem::{Failure, MemIo, Op};
use qsse_store::{Age, Health, OpenError, Options, Retention, Store, StoreError, TopicRetention};
use support::*;

#[test]
fn what_was_appended_is_read_again_also_after_a_restart() {
    let io = MemIo::new();
    let (mut store, recovered) = open(&io);
    assert_eq!((recovered.next_seq, recovered.tail), (1, 0));
    assert!(recovered.clean && recovered.lost.is_empty());
    let events = fill(&mut store, 1, 1_000, 7, 10);
    assert_eq!(read(&store.reader(), "*").events, events);
    store.close(1_000).unwrap();

    let other = Options::new(Epoch::new(99));
    let (store, recovered) = Store::open(Arc::new(io.clone()), other).unwrap();
    assert_eq!(recovered.epochs, [(EPOCH, 1), (Epoch::new(99), 1_001)]);
    assert_eq!((recovered.next_seq, recovered.tail), (1_001, 1_000));
    assert_eq!(recovered.last_time, Timestamp::from_micros(1_000_000));
    assert!(recovered.clean && recovered.lost.is_empty());
    let found = read(&store.reader(), "*");
    assert_eq!(found.events, events);
    assert!(found.lost.is_empty());
    for topic in ["t.0", "t.7"] {
        let mut wanted = events.clone();
        wanted.retain(|event| event.topic == topic);
        assert_eq!(read(&store.reader(), topic).events, wanted);
    }
}

#[test]
fn after_an_unclean_end_seqs_go_on_above_the_lease_and_the_gap_stays() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    fill(&mut store, 1, 10, 3, 2);
    let mark = store.reserved();
    assert!(mark >= 10);
    drop(store);
    let (store, recovered) = open(&io);
    assert!(!recovered.clean);
    assert_eq!((recovered.tail, recovered.next_seq), (10, mark + 1));
    assert_eq!(recovered.lost, [(10, mark)]);
    drop(store);
    // Closing without using seqs does not increase it.
    let (mut store, recovered) = open(&io);
    assert_eq!(recovered.next_seq, mark + 1);
    fill(&mut store, mark + 1, mark + 5, 3, 2);
    store.close(mark + 5).unwrap();
    let (store, recovered) = open(&io);
    assert!(recovered.clean);
    assert_eq!(recovered.next_seq, mark + 6);
    assert_eq!(recovered.lost, [(10, mark)]);
    let found = read(&store.reader(), "t.1");
    assert_eq!(found.lost, [(10, mark)]);
}

#[test]
fn a_seq_that_was_given_out_and_never_written_is_not_given_again() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    store.reserve(30).unwrap();
    let mark = store.reserved();
    drop(store);
    let (mut store, recovered) = open(&io);
    assert_eq!(recovered.next_seq, mark + 1);
    store.reserve(mark + 7).unwrap();
    store.close(mark + 7).unwrap();
    let (_, recovered) = open(&io);
    assert_eq!(recovered.next_seq, mark + 8);
    assert_eq!(recovered.lost, [(0, mark + 7)]);
}

#[test]
fn a_second_open_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let options = || options().purpose("the first one");
    let (store, _) = Store::open_dir(&path, options()).unwrap();
    let error = Store::open_dir(&path, options()).err().unwrap();
    assert!(matches!(&error, OpenError::Locked { holder } if holder == "the first one"));
    assert!(error.to_string().contains("the first one"), "{error}");
    drop(store);
    Store::open_dir(&path, options()).unwrap();

    let io = MemIo::new();
    let (_store, _) = open(&io);
    let error = Store::open(Arc::new(io.clone()), options()).err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_look_into_the_directory() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/store");
    let (mut store, _) = Store::open_dir(&path, options()).unwrap();
    fill(&mut store, 1, 200, 7, 10);
    store.close(200).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let mut files = 0;
    for file in path.read_dir().unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
        files += 1;
    }
    assert!(files > 4, "{files}");
}

#[test]
fn foreign_files_in_the_folder_are_no_segments() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let events = fill(&mut store, 1, 10, 3, 2);
    store.close(10).unwrap();
    let foreign = [
        "7.seg",
        "+0000000000000000007.seg",
        "000000000000000000007.seg",
        "00000000000000000000.seg",
        "99999999999999999999.seg",
        "0000000000000000000x.seg",
        "00000000000000000007.seg.old",
        "note",
    ];
    for name in foreign {
        io.write(name, b"not of a store".to_vec());
    }
    io.write("left.tmp", b"over".to_vec());
    let (store, recovered) = open(&io);
    assert!(recovered.lost.is_empty(), "{:?}", recovered.lost);
    assert_eq!(recovered.next_seq, 11);
    assert_eq!(read(&store.reader(), "*").events, events);
    for name in foreign {
        assert_eq!(io.read(name).unwrap(), b"not of a store");
    }
    assert_eq!(io.read("left.tmp"), None);
}

#[test]
fn what_was_torn_is_cut_off_real_files_too() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open_dir(dir.path(), options()).unwrap();
    let events = fill(&mut store, 1, 10, 3, 2);
    store.close(10).unwrap();
    let path = dir.path().join("00000000000000000001.seg");
    let whole = std::fs::read(&path).unwrap();
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    file.write_all(&[7; 1_000]).unwrap();
    let (store, _) = Store::open_dir(dir.path(), options()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    assert_eq!(read(&store.reader(), "*").events, events);
}

#[test]
fn a_file_of_a_later_version_is_refused_and_both_versions_are_named() {
    for name in ["meta.0", "00000000000000000001.seg", "floors"] {
        let io = MemIo::new();
        let (mut store, _) = open(&io);
        fill(&mut store, 1, 10, 3, 2);
        store.close(10).unwrap();
        let mut bytes = io
            .read(name)
            .unwrap_or_else(|| b"qsse.flo0000ssss".to_vec());
        bytes[8] = 9;
        bytes[9..12].fill(0);
        let sum = crc32c::crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        io.write(name, bytes.clone());
        let error = Store::open(Arc::new(io.clone()), options()).err().unwrap();
        let text = error.to_string();
        assert!(
            matches!(
                error,
                OpenError::Newer {
                    found: 9,
                    known: 2,
                    ..
                }
            ),
            "{text}"
        );
        assert!(
            text.contains(name) && text.contains('9') && text.contains('2'),
            "{text}"
        );
        assert_eq!(io.read(name).unwrap(), bytes, "nothing was changed");
    }
}

#[test]
fn a_full_disk_refuses_events_reads_on_and_recovers() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let mut events = fill(&mut store, 1, 300, 7, 10);
    for room in [0, 1, 60, 100, 4_000] {
        io.set_capacity(Some(io.used() + room));
        let mut next = store.head() + 1;
        // Refused in the end, after seqs were leased again.
        let error = loop {
            let more: Vec<Event> = (next..next + 7).map(|seq| event(seq, 10)).collect();
            match store.append(&[entry(&more[..3]), entry(&more[3..])]) {
                Ok(()) => events.extend(more),
                Err(error) => break error,
            }
            next += 7;
        };
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert_eq!(store.health(), Health::Full);
        let found = read(&store.reader(), "*");
        assert_eq!(found.events, events);
        assert!(found.lost.is_empty());
        store.sync().unwrap();
        // Nothing of the refused entries comes back.
        let (copy, _) = open(&io.snapshot());
        assert_eq!(read(&copy.reader(), "*").events, events);

        io.set_capacity(None);
        events.extend(fill(&mut store, next, next + 20, 7, 10));
        assert_eq!(store.health(), Health::Good);
    }
    store.close(0).unwrap();
    let (store, recovered) = open(&io);
    assert!(recovered.lost.is_empty());
    assert_eq!(read(&store.reader(), "*").events, events);
}

#[test]
fn a_device_error_is_no_full_disk_and_the_append_may_be_repeated() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let mut events = fill(&mut store, 1, 10, 3, 2);
    for failure in [Failure::Io, Failure::Short] {
        let seq = store.head() + 1;
        let next = event(seq, 2);
        // The next operation is the write.
        io.fail_at(io.operations(), failure);
        let append = |store: &mut Store| store.append(&[entry(std::slice::from_ref(&next))]);
        let error = append(&mut store).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
        assert_eq!((store.health(), store.head()), (Health::Good, seq - 1));
        append(&mut store).unwrap();
        events.push(next);
    }
    drop(store);
    let (store, _) = open(&io);
    assert_eq!(read(&store.reader(), "*").events, events);
}

#[test]
fn a_segment_that_cannot_be_begun_for_want_of_room_is_begun_later() {
    let whole = MemIo::new();
    let (mut store, _) = open(&whole);
    fill(&mut store, 1, 60, 3, 2);
    store.close(60).unwrap();
    let mut refused = 0;
    for number in 0..30 {
        let io = whole.snapshot();
        let (mut store, _) = open(&io);
        store.reserve(200).unwrap();
        let large = Event {
            data: vec![7; 4_000],
            ..event(61, 2)
        };
        let append = |store: &mut Store| store.append(&[entry(std::slice::from_ref(&large))]);
        let at = io.operations() + number;
        io.fail_at(at, Failure::Full);
        let appended = append(&mut store);
        let failed = io.history().get(at).copied();
        if !matches!(failed, Some(Op::Create | Op::Write | Op::Rename)) {
            continue;
        }
        if let Err(error) = appended {
            assert!(
                matches!(error, StoreError::Full { .. }),
                "{failed:?}: {error}"
            );
            assert_eq!((store.health(), store.head()), (Health::Full, 60));
            append(&mut store).unwrap();
            refused += 1;
        }
        assert_eq!(read(&store.reader(), "*").events.len(), 61);
    }
    assert!(refused > 2, "{refused}");
}

#[test]
fn a_segment_is_filled_to_its_last_byte() {
    let fill_up = |data: usize, one_append: bool| {
        let io = MemIo::new();
        let (mut store, _) = open(&io);
        let last = Event {
            data: vec![7; data],
            ..event(11, 2)
        };
        let entries = [entry(&[event(10, 2)]), entry(&[last])];
        match one_append {
            true => store.append(&entries).unwrap(),
            false => entries
                .iter()
                .for_each(|entry| store.append(std::slice::from_ref(entry)).unwrap()),
        }
        let names = qsse_store::Io::list(&io).unwrap();
        let segments = names.iter().filter(|name| name.ends_with(".seg")).count();
        // Without the mark after the last record.
        (segments, store.reader().bytes() - 16)
    };
    for one_append in [false, true] {
        let mut lengths = (3_000..4_000).map(|data| fill_up(data, one_append));
        let last = lengths.by_ref().take_while(|(segments, _)| *segments == 1);
        assert_eq!(last.last(), Some((1, 4_096)), "one append: {one_append}");
        assert!(lengths.all(|(segments, _)| segments == 2));
    }
}

#[test]
fn small_batches_are_read_as_one() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let events = fill(&mut store, 1, 20, 1, 2);
    let read = store.reader().read(&filter("*"), 0, u64::MAX, 10_000);
    assert_eq!(read.batches, [batch(&events)]);
}

#[test]
fn the_tail_of_a_topic_begins_at_its_nth_newest_event() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let mut events = fill(&mut store, 1, 300, 7, 3);
    for most in [u64::MAX, 130, 20] {
        let rule = TopicRetention::new("t.1".parse().unwrap()).max_events(most / 10);
        let rules = Retention::default().max_events(most).topic(rule);
        store.retain(&rules, Age::default()).unwrap();
        let reader = store.reader();
        events.retain(|event| event.seq > reader.floor(&filter(&event.topic)));
        for upto in [0, 1, 2, 150, 171, 280, 299, 300, u64::MAX] {
            for n in [0, 1, 2, 3, 12, 99, u64::MAX] {
                let mut wanted = Vec::new();
                for (topic, seqs) in per_topic(&events) {
                    let newest = seqs.iter().rev().filter(|seq| **seq <= upto);
                    let first = newest.take(usize::try_from(n).unwrap()).last();
                    wanted.extend(first.map(|first| (topic, *first)));
                }
                let found = reader.tail(&filter("t.*"), n, upto);
                let found = found.iter().map(|(topic, seq)| (topic.to_string(), *seq));
                assert_eq!(found.collect::<Vec<_>>(), wanted, "{n} up to {upto}");
            }
        }
    }
}

#[test]
fn a_read_of_one_topic_is_told_of_the_loss_between_its_events() {
    let io = MemIo::new();
    let options = options().segment_bytes(1 << 20);
    let (mut store, _) = Store::open(Arc::new(io), options).unwrap();
    let rare = |seq| Event {
        topic: "rare".to_owned(),
        ..event(seq, 1)
    };
    fill(&mut store, 1, 50, 5, 4);
    store.append(&[entry(&[rare(51)])]).unwrap();
    fill(&mut store, 60, 100, 5, 4);
    store.append(&[entry(&[rare(111)])]).unwrap();
    fill(&mut store, 120, 200, 5, 4);
    let found = read(&store.reader(), "rare");
    assert_eq!(found.events, [rare(51), rare(111)]);
    assert_eq!(found.lost, [(51, 59), (100, 110), (111, 119)]);
}

#[test]
fn seqs_of_one_append_are_at_most_two_billion_apart() {
    let most = u64::from(u32::MAX) / 2;
    for (more, taken) in [(0, true), (1, false)] {
        let last = 1 + most + more;
        let io = MemIo::new();
        let (mut store, _) = open(&io);
        let batches = [entry(&[event(1, 2), event(last, 2)])];
        assert_eq!(store.append(&batches).is_ok(), taken);
        let (mut store, _) = open(&MemIo::new());
        let entries = [entry(&[event(1, 2)]), entry(&[event(last, 2)])];
        assert_eq!(store.append(&entries).is_ok(), taken);
        if taken {
            let found = read_with(&store.reader(), &filter("*"), 0, u64::MAX, 10_000);
            assert_eq!(found.events.len(), 2);
            assert_eq!(found.lost, [(1, last - 1)]);
        }
    }
}

#[test]
fn a_segment_is_closed_at_four_kibibytes_at_the_earliest() {
    let io = MemIo::new();
    let options = options().segment_bytes(1);
    let (mut store, _) = Store::open(Arc::new(io.clone()), options).unwrap();
    fill(&mut store, 1, 300, 7, 10);
    let segments = index_names(&io).into_iter().map(|name| {
        let name = name.replace(".idx", ".seg");
        io.read(&name).unwrap().len()
    });
    let lengths: Vec<usize> = segments.collect();
    assert!(lengths.len() > 3, "{lengths:?}");
    assert!(
        lengths.iter().all(|len| (3_000..=4_096).contains(len)),
        "{lengths:?}"
    );
}

#[test]
fn one_append_is_laid_into_as_many_segments_as_it_needs() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let before = fill(&mut store, 1, 20, 7, 3);
    let events: Vec<Event> = (21..=400).map(|seq| event(seq, 3)).collect();
    let entries: Vec<_> = events.chunks(9).map(entry).collect();
    // Without room it leaves nothing, wherever it fails.
    let (used, head) = (io.used(), store.head());
    for room in (0..28_000).step_by(512) {
        io.set_capacity(Some(used + room));
        let error = store.append(&entries).unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert_eq!((store.head(), io.used()), (head, used), "with {room} bytes");
        assert_eq!(read(&store.reader(), "*").events, before);
    }
    io.set_capacity(None);
    store.append(&entries).unwrap();
    store.sync().unwrap();
    let all = [before, events].concat();
    assert_eq!(read(&store.reader(), "*").events, all);
    let names = qsse_store::Io::list(&io).unwrap();
    let segments = names.iter().filter(|name| name.ends_with(".seg"));
    let lengths: Vec<usize> = segments.map(|name| io.read(name).unwrap().len()).collect();
    assert!(lengths.len() > 5, "{lengths:?}");
    assert!(lengths.iter().all(|len| *len <= 4_096), "{lengths:?}");
    drop(store);
    let (store, _) = open(&io);
    assert_eq!(read(&store.reader(), "*").events, all);
}

#[test]
fn keys_are_told_again_within_their_window() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    for seq in 1..=500u64 {
        let mut entry = entry(&[event(seq, 10)]);
        entry.keys = vec![(seq, key(&format!("key {}", seq % 400)))];
        store.append(&[entry]).unwrap();
    }
    store.sync().unwrap();
    drop(store);
    let (_store, recovered) = open(&io);
    assert_eq!(recovered.keys.len(), 400);
    for (at, (found, seq, time)) in recovered.keys.iter().enumerate() {
        assert_eq!(*seq, 101 + at as u64);
        assert_eq!(time.as_micros(), seq * 1_000);
        assert_eq!(*found, key(&format!("key {}", seq % 400)));
    }
    drop(_store);
    let few = options().keys(30, seconds(100));
    let (_store, recovered) = Store::open(Arc::new(io.clone()), few).unwrap();
    assert_eq!(recovered.keys.len(), 30);
    assert_eq!(recovered.keys[0].1, 471);
    drop(_store);
    let young = options().keys(1_000, std::time::Duration::from_millis(20));
    let (_store, recovered) = Store::open(Arc::new(io.clone()), young).unwrap();
    assert_eq!(recovered.keys[0].1, 480);
}

#[test]
fn a_wrong_entry_is_refused_and_changes_nothing() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let events = fill(&mut store, 1, 10, 3, 2);
    let refused = |store: &mut Store, entries: &[qsse_store::Entry]| {
        let error = store.append(entries).unwrap_err();
        assert!(matches!(error, StoreError::Entry { .. }), "{error:?}");
    };
    refused(&mut store, &[entry(&[event(10, 2)])]);
    refused(
        &mut store,
        &[entry(&[event(12, 2)]), entry(&[event(11, 2)])],
    );
    let keyed = |keys: &[(u64, &str)]| {
        let mut entry = entry(&[event(11, 2), event(12, 2), event(13, 2)]);
        entry.keys = keys.iter().map(|(seq, name)| (*seq, key(name))).collect();
        entry
    };
    let (longest, longer) = ("k".repeat(64), "k".repeat(65));
    for wrong in [
        &[(10, "a")][..],
        &[(14, "a")],
        &[(11, &longer)],
        &[(11, "")],
        &[(12, "a"), (11, "b")],
        &[(12, "a"), (12, "b")],
    ] {
        refused(&mut store, &[keyed(wrong)]);
    }
    assert_eq!(read(&store.reader(), "*").events, events);
    assert_eq!(store.head(), 10);
    let right = keyed(&[(11, "a"), (12, &longest), (13, "c")]);
    store.append_synced(&[right]).unwrap();
    drop(store);
    let (_, recovered) = open(&io);
    let seqs: Vec<_> = recovered.keys.iter().map(|(_, seq, _)| *seq).collect();
    assert_eq!(seqs, [11, 12, 13]);
}

#[test]
fn an_index_that_is_lost_or_damaged_is_made_anew() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let events = fill(&mut store, 1, 1_000, 7, 50);
    store.close(1_000).unwrap();
    let names = index_names(&io);
    assert!(names.len() > 5);
    for way in 0..3 {
        for name in &names {
            let mut bytes = io.read(name).unwrap();
            match way {
                0 => bytes.clear(),
                1 => bytes.truncate(bytes.len() / 2),
                _ => bytes.iter_mut().step_by(50).for_each(|byte| *byte ^= 4),
            }
            io.write(name, bytes);
        }
        let (store, recovered) = open(&io);
        assert!(recovered.lost.is_empty());
        let found = read(&store.reader(), "t.7");
        assert!(
            events
                .iter()
                .filter(|event| event.topic == "t.7")
                .eq(&found.events)
        );
        drop(store);
    }
    // Damage that comes while it is open.
    let (store, _) = open(&io);
    for name in &names {
        let mut bytes = io.read(name).unwrap();
        bytes.iter_mut().step_by(3).for_each(|byte| *byte ^= 1);
        io.write(name, bytes);
    }
    for topic in 0..50 {
        let topic = format!("t.{topic}");
        let found = read(&store.reader(), &topic);
        assert!(
            events
                .iter()
                .filter(|event| event.topic == topic)
                .eq(&found.events)
        );
    }
}

#[test]
fn a_good_index_is_used_as_it_is() {
    let io = MemIo::new();
    let options = || options().keys(0, seconds(0));
    let (mut store, _) = Store::open(Arc::new(io.clone()), options()).unwrap();
    // Records of one event and of several, a large event, a hole, and a segment that was rewritten.
    let rare = Event {
        topic: "rare".to_owned(),
        data: vec![7; 300],
        ..event(1, 1)
    };
    store.append(&[entry(&[rare])]).unwrap();
    fill(&mut store, 2, 100, 3, 5);
    let rule = TopicRetention::new("t.*".parse().unwrap()).max_events(1);
    let rules = Retention::default().topic(rule);
    let trimmed = store.retain(&rules, Age::default()).unwrap();
    assert!(trimmed.rewritten > 0, "{trimmed:?}");
    fill(&mut store, 101, 300, 1, 5);
    fill(&mut store, 310, 600, 7, 5);
    store.close(600).unwrap();
    let begin = io.history().len();
    let (store, recovered) = Store::open(Arc::new(io.clone()), options()).unwrap();
    assert_eq!(recovered.lost, [(300, 309)]);
    for pattern in ["*", "rare", "t.1", "t.2"] {
        assert_eq!(read(&store.reader(), pattern).lost, [(300, 309)]);
    }
    let history = io.history();
    let made = history[begin..].iter().filter(|op| **op == Op::Create);
    assert_eq!(made.count(), 0, "indexes were made anew");
}

fn index_names(io: &MemIo) -> Vec<String> {
    let mut names = qsse_store::Io::list(io).unwrap();
    names.retain(|name| name.ends_with(".idx"));
    names
}

#[test]
fn one_topic_of_many_does_not_read_the_rest() {
    let io = MemIo::new();
    let options = options().segment_bytes(1 << 20);
    let (mut store, _) = Store::open(Arc::new(io.clone()), options).unwrap();
    let rare = Event {
        topic: "rare".to_owned(),
        ..event(5_000, 1)
    };
    fill(&mut store, 1, 4_999, 50, 1_000);
    store.append(&[entry(std::slice::from_ref(&rare))]).unwrap();
    fill(&mut store, 5_001, 50_000, 50, 1_000);
    let before = io.operations();
    let found = read(&store.reader(), "rare");
    assert_eq!(found.events, [rare]);
    let reads = io.operations() - before;
    assert!(reads < 60, "{reads} operations for one event");
}

#[test]
fn a_stored_batch_goes_out_as_it_is() {
    let io = MemIo::new();
    let (mut store, _) = Store::open(Arc::new(io), Options::new(EPOCH)).unwrap();
    let mut batches = Vec::new();
    for n in 0..20u64 {
        let events: Vec<Event> = (n * 500 + 1..=n * 500 + 500)
            .map(|seq| event(seq, 9))
            .collect();
        let batch = batch(&events);
        store.append(&[batch.clone().into()]).unwrap();
        batches.push(batch);
    }
    let read = store.reader().read(&filter("*"), 0, u64::MAX, usize::MAX);
    assert_eq!(read.batches, batches);
    // From the middle of a batch, only that batch is encoded again.
    let read = store.reader().read(&filter("*"), 700, 1_900, usize::MAX);
    assert_eq!(read.batches.len(), 3);
    assert_eq!(read.batches[1], batches[2]);
    assert_eq!(read.batches[0].first_seq(), 701);
    assert_eq!((read.batches[2].last_seq(), read.through), (1_900, 1_900));
}

#[test]
fn an_append_that_was_torn_anywhere_is_cut_off_and_the_next_one_stands_in_its_place() {
    const SEGMENT: &str = "00000000000000000001.seg";
    // Nothing is leased, so only the files say which seqs were used.
    let open = |io: &MemIo| Store::open(Arc::new(io.clone()), options().lease(0)).unwrap();
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    let mut events = fill(&mut store, 1, 5, 5, 2);
    let before = io.read(SEGMENT).unwrap().len();
    events.extend(fill(&mut store, 6, 8, 3, 2));
    drop(store);
    let whole = io.read(SEGMENT).unwrap();
    // The last event that is found and the bytes that are left, for each length.
    let mut kept = Vec::new();
    for torn in before..=whole.len() {
        let io = io.snapshot();
        io.write(SEGMENT, whole[..torn].to_vec());
        let (mut store, recovered) = open(&io);
        let tail = recovered.tail;
        assert!(recovered.lost.is_empty(), "{torn}: {:?}", recovered.lost);
        assert!([5, 8].contains(&tail), "{torn}: {tail}");
        assert_eq!(recovered.next_seq, tail + 1, "{torn}");
        let left = io.read(SEGMENT).unwrap().len();
        if tail == 5 {
            assert_eq!(left, before, "{torn}: what is torn is off the disk");
        }
        kept.push((tail, left));

        // The next record is shorter than the torn one.
        let next = event(tail + 1, 2);
        store.append(&[entry(std::slice::from_ref(&next))]).unwrap();
        store.sync().unwrap();
        drop(store);
        let (store, recovered) = open(&io);
        assert!(recovered.lost.is_empty(), "{torn}: {:?}", recovered.lost);
        assert_eq!(recovered.next_seq, tail + 2, "{torn}");
        let mut wanted = events[..tail as usize].to_vec();
        wanted.push(next);
        assert_eq!(read(&store.reader(), "*").events, wanted, "{torn}");
    }
    assert!(kept.is_sorted(), "{kept:?}");
    assert_eq!(kept[0], (5, before));
    assert_eq!(kept[kept.len() - 1], (8, whole.len()));
}
