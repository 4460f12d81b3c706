//! A store whose folder, lock or files are removed while it is open acknowledges nothing more, and
//! is never open twice.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use qsse_store::{Age, Health, OpenError, Retention, Store, StoreError};
use support::*;

/// Returns where the folder of [`Case::Renamed`] goes.
fn aside(path: &Path) -> PathBuf {
    path.with_extension("aside")
}

fn first_segment(path: &Path) -> PathBuf {
    path.join("00000000000000000001.seg")
}

/// What happens to the folder of an open store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    Removed,
    Renamed,
    ParentRenamed,
    ReplacedByACopy,
    ReplacedByALink,
    LockRemoved,
    LockReplaced,
    SegmentRemoved,
    SegmentReplaced,
    MetaRemoved,
}

impl Case {
    const ALL: [Self; 10] = [
        Self::Removed,
        Self::Renamed,
        Self::ParentRenamed,
        Self::ReplacedByACopy,
        Self::ReplacedByALink,
        Self::LockRemoved,
        Self::LockReplaced,
        Self::SegmentRemoved,
        Self::SegmentReplaced,
        Self::MetaRemoved,
    ];

    fn happen(self, path: &Path) {
        let replace = |file: &Path| {
            let copy = file.with_extension("copy");
            fs::copy(file, &copy).unwrap();
            fs::rename(copy, file).unwrap();
        };
        match self {
            Self::Removed => fs::remove_dir_all(path).unwrap(),
            Self::Renamed => fs::rename(path, aside(path)).unwrap(),
            Self::ParentRenamed => {
                let parent = path.parent().unwrap();
                fs::rename(parent, aside(parent)).unwrap();
            }
            Self::ReplacedByACopy => {
                fs::rename(path, aside(path)).unwrap();
                fs::create_dir(path).unwrap();
                for file in aside(path).read_dir().unwrap() {
                    let file = file.unwrap();
                    fs::copy(file.path(), path.join(file.file_name())).unwrap();
                }
            }
            Self::ReplacedByALink => {
                fs::create_dir(aside(path)).unwrap();
                fs::remove_dir_all(path).unwrap();
                std::os::unix::fs::symlink(aside(path), path).unwrap();
            }
            Self::LockRemoved => fs::remove_file(path.join("LOCK")).unwrap(),
            Self::LockReplaced => replace(&path.join("LOCK")),
            Self::SegmentRemoved => fs::remove_file(first_segment(path)).unwrap(),
            Self::SegmentReplaced => replace(&first_segment(path)),
            Self::MetaRemoved => {
                for name in ["meta.0", "meta.1"] {
                    fs::remove_file(path.join(name)).unwrap();
                }
            }
        }
    }

    /// Returns what the error must name.
    fn named(self) -> &'static str {
        match self {
            Self::LockRemoved | Self::LockReplaced => "LOCK in its folder was removed or replaced",
            Self::SegmentRemoved | Self::SegmentReplaced => {
                "00000000000000000001.seg in its folder was removed or replaced"
            }
            Self::MetaRemoved => "meta.0 in its folder was removed or replaced",
            _ => "its folder was removed, renamed or replaced",
        }
    }
}

/// A store with ten events in a folder within a folder.
fn whole() -> (tempfile::TempDir, PathBuf, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("parent/store");
    let options = options().segment_bytes(1 << 20).purpose("the first one");
    let (mut store, _) = Store::open_dir(&path, options).unwrap();
    fill(&mut store, 1, 10, 3, 2);
    (dir, path, store)
}

/// Returns the error for this case, which `health` and every later call repeat.
#[track_caller]
fn ended(store: &mut Store, error: &StoreError, case: Case) {
    let StoreError::Failed { reason } = error else {
        panic!("{case:?}: {error}");
    };
    assert!(reason.contains(case.named()), "{case:?}: {error}");
    let Health::Failed { reason: told } = store.health() else {
        panic!("{case:?}: {:?}", store.health());
    };
    assert_eq!(&told, reason);
    let failed = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Failed { .. }));
    let entries = [entry(&[event(100, 2)])];
    assert!(failed(store.append(&entries)) && failed(store.sync()));
    assert!(failed(
        store
            .retain(&Retention::default(), Age::default())
            .map(drop)
    ));
}

#[test]
fn an_append_to_a_folder_that_is_not_there_any_more_is_refused() {
    for case in Case::ALL {
        for append in [Store::append, Store::append_synced] {
            let (_dir, path, mut store) = whole();
            case.happen(&path);
            let error = append(&mut store, &[entry(&[event(11, 2)])]).unwrap_err();
            ended(&mut store, &error, case);
            // It was not acknowledged, and open readers can still read what was there.
            let found = read(&store.reader(), "*");
            assert_eq!(found.events.len(), 10, "{case:?}");
        }
    }
}

#[test]
fn a_sync_is_refused_of_what_was_written_before() {
    for case in Case::ALL {
        let (_dir, path, mut store) = whole();
        store.append(&[entry(&[event(11, 2)])]).unwrap();
        case.happen(&path);
        let error = store.sync().unwrap_err();
        ended(&mut store, &error, case);
    }
}

#[test]
fn retention_notices_it_in_a_store_in_which_nothing_happens() {
    for case in Case::ALL {
        let (_dir, path, mut store) = whole();
        case.happen(&path);
        let error = store.retain(&Retention::default(), Age::default());
        ended(&mut store, &error.unwrap_err(), case);
    }
}

#[test]
fn a_close_is_no_clean_one_then() {
    for case in Case::ALL {
        let (_dir, path, store) = whole();
        case.happen(&path);
        let error = store.close(10).unwrap_err();
        assert!(
            error.to_string().contains(case.named()),
            "{case:?}: {error}"
        );
    }
}

#[test]
fn a_segment_is_begun_in_no_folder_but_ones_own() {
    let (_dir, path, mut store) = whole();
    let large = Event {
        data: vec![7; 1 << 20],
        ..event(11, 2)
    };
    fs::rename(&path, aside(&path)).unwrap();
    fs::create_dir(&path).unwrap();
    let next = path.join("00000000000000000011.seg");
    fs::write(&next, "of another store").unwrap();
    let error = store.append(&[entry(&[large])]).unwrap_err();
    ended(&mut store, &error, Case::Renamed);
    assert_eq!(fs::read(&next).unwrap(), b"of another store");
    assert_eq!(path.read_dir().unwrap().count(), 1);
}

#[test]
fn each_segment_of_a_long_append_is_looked_for() {
    let (_dir, path, mut store) = whole();
    let large = |seq| {
        let data = vec![7; 600 << 10];
        let large = Event {
            data,
            ..event(seq, 2)
        };
        entry(&[large])
    };
    // Into the first segment, and into a new one.
    fs::remove_file(first_segment(&path)).unwrap();
    let error = store.append(&[large(11), large(12)]).unwrap_err();
    ended(&mut store, &error, Case::SegmentRemoved);
}

#[test]
fn a_store_without_its_lock_file_is_still_not_opened_twice() {
    let (_dir, path, store) = whole();
    let second = || Store::open_dir(&path, options()).err();
    let Some(OpenError::Locked { holder }) = second() else {
        panic!("it is open");
    };
    assert_eq!(holder, "the first one");
    fs::remove_file(path.join("LOCK")).unwrap();
    assert!(matches!(second(), Some(OpenError::Locked { .. })));
    assert!(!path.join("LOCK").exists(), "it was left alone");
    drop(store);
    assert!(second().is_none());
}

#[test]
fn a_reader_that_is_left_does_not_keep_the_folder_locked() {
    let (_dir, path, store) = whole();
    let reader = store.reader();
    drop(store);
    let (store, recovered) = Store::open_dir(&path, options()).unwrap();
    assert_eq!(recovered.tail, 10);
    drop((store, reader));
}

#[test]
fn what_was_acknowledged_is_found_whenever_the_folder_goes() {
    // A copy replaces the folder between a write and its sync.
    let (_dir, path, mut store) = whole();
    let mut acknowledged = 10;
    for seq in 11..20 {
        let appended = store.append(&[entry(&[event(seq, 2)])]);
        if seq == 15 {
            Case::ReplacedByACopy.happen(&path);
        }
        if appended.and_then(|()| store.sync()).is_ok() {
            acknowledged = seq;
        }
    }
    assert_eq!(acknowledged, 14);
    drop(store);
    let (store, _) = Store::open_dir(&path, options()).unwrap();
    let found = read(&store.reader(), "*").events;
    assert!(found.last().unwrap().seq >= acknowledged, "{found:?}");
}

#[test]
fn what_only_moves_around_the_store_is_no_loss() {
    let (_dir, path, mut store) = whole();
    // A foreign file, other permissions, one meta file of two, and a name that is restored in time.
    fs::write(path.join("note"), "mine").unwrap();
    fs::remove_file(path.join("meta.1")).unwrap();
    fs::rename(&path, aside(&path)).unwrap();
    fs::rename(aside(&path), &path).unwrap();
    fill(&mut store, 11, 20, 3, 2);
    store.retain(&Retention::default(), Age::default()).unwrap();
    store.close(20).unwrap();
    let (store, recovered) = Store::open_dir(&path, options()).unwrap();
    assert!(recovered.clean);
    assert_eq!(read(&store.reader(), "*").events.len(), 20);
}
