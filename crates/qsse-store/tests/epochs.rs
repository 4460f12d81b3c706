//! The epochs of a store: one for each open, and no id for two events.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;

use qsse_proto::Epoch;
use qsse_store::io::mem::MemIo;
use qsse_store::{OpenError, Store};
use support::*;

#[test]
fn each_open_begins_an_epoch_behind_all_that_was_given_out() {
    let io = MemIo::new();
    let open = |epoch| {
        let options = options().epoch(Epoch::new(epoch));
        Store::open(Arc::new(io.clone()), options).unwrap()
    };
    let (mut store, _) = open(7);
    fill(&mut store, 1, 10, 3, 2);
    store.close(12).unwrap();
    // A seq that was used and never written belongs to the epoch in which it was used.
    let (store, recovered) = open(8);
    let epoch = Epoch::new;
    assert_eq!(recovered.epochs, [(epoch(7), 1), (epoch(8), 13)]);
    drop(store);
    let (mut store, recovered) = open(9);
    let known = [(epoch(7), 1), (epoch(8), 13), (epoch(9), 13)];
    assert_eq!(recovered.epochs, known);
    assert_eq!(store.reader().epochs(), known);
    fill(&mut store, 13, 20, 3, 2);
    let copy = io.snapshot();
    fill(&mut store, 21, 30, 3, 2);
    store.close(30).unwrap();

    // A restored copy does not know later events, and continues in an epoch of its own.
    let options = options().epoch(epoch(10));
    let (store, recovered) = Store::open(Arc::new(copy), options).unwrap();
    let (first, _) = (recovered.next_seq, drop(store));
    assert_eq!(recovered.epochs.last(), Some(&(epoch(10), first)));
    assert_eq!(recovered.epochs.len(), 4);
}

#[test]
fn no_epoch_begins_below_the_one_before_whatever_is_lost() {
    let io = MemIo::new();
    let options = |epoch| options().epoch(Epoch::new(epoch)).lease(0);
    let open = |epoch| Store::open(Arc::new(io.clone()), options(epoch)).unwrap();
    let (mut store, _) = open(7);
    fill(&mut store, 1, 10, 3, 2);
    drop(store);
    let (store, recovered) = open(8);
    assert_eq!(recovered.epochs.last(), Some(&(Epoch::new(8), 11)));
    drop(store);
    // The whole end of the file is gone, with its mark.
    let name = "00000000000000000001.seg";
    let bytes = io.read(name).unwrap();
    io.write(name, bytes[..bytes.len() / 2].to_vec());
    let (_, recovered) = open(9);
    assert_eq!(recovered.epochs.last(), Some(&(Epoch::new(9), 11)));
    assert!(recovered.tail < 10 && recovered.lost == [(recovered.tail, 10)]);
}

#[test]
fn a_full_disk_keeps_no_store_from_being_opened() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    fill(&mut store, 1, 10, 3, 2);
    store.close(10).unwrap();
    io.set_capacity(Some(io.used()));
    let (store, recovered) = open(&io);
    assert_eq!(recovered.epochs.len(), 2);
    assert_eq!(read(&store.reader(), "*").events.len(), 10);
}

#[test]
fn a_store_of_an_older_format_says_what_to_do() {
    let io = MemIo::new();
    drop(open(&io));
    for name in ["meta.0", "meta.1"] {
        let mut bytes = io.read(name).unwrap();
        bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        io.write(name, bytes);
    }
    let error = Store::open(Arc::new(io), options()).err().unwrap();
    assert!(
        matches!(error, OpenError::Older { found: 1, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("begin with a new directory"));
}
