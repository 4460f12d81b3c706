//! What a store knows of its publishers when it is opened again.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::time::Duration;

use qsse_store::io::mem::MemIo;
use qsse_store::{Age, PublisherRun, Recovered, Retention, Store};
use support::*;

const ADA: [u8; 16] = [1; 16];
const BOB: [u8; 16] = [2; 16];

fn run(publisher: [u8; 16], number: u64, first: u64, count: u32) -> PublisherRun {
    PublisherRun {
        publisher,
        number,
        count,
        first,
        events: count,
    }
}

/// Appends the events first ..= last as one run that begins with `number`.
fn publish(store: &mut Store, who: [u8; 16], number: u64, first: u64, last: u64) {
    let events: Vec<_> = (first..=last).map(|seq| event(seq, 3)).collect();
    let mut entry = entry(&events);
    entry.runs = vec![run(who, number, first, (last - first + 1) as u32)];
    store.append(&[entry]).unwrap();
    store.sync().unwrap();
}

/// Returns each publisher's last number, and whether it is certain that there is none above.
fn known(recovered: &Recovered) -> Vec<([u8; 16], u64, bool)> {
    let publishers = recovered.publishers.iter();
    publishers
        .map(|publisher| (publisher.id, publisher.last, publisher.certain))
        .collect()
}

const WINDOW: Duration = Duration::from_secs(600);

#[test]
fn the_last_numbers_are_known_again() {
    let io = MemIo::new();
    let (mut store, recovered) = open(&io);
    assert_eq!(
        (known(&recovered), recovered.publishers_age),
        (vec![], WINDOW)
    );
    publish(&mut store, ADA, 1, 1, 3);
    publish(&mut store, BOB, 7, 4, 4);
    publish(&mut store, ADA, 4, 5, 6);
    drop(store);
    let (_, recovered) = open(&io);
    assert_eq!(known(&recovered), [(BOB, 7, true), (ADA, 5, true)]);
    assert_eq!(recovered.publishers_age, WINDOW);
    let runs = &recovered.publishers[1].runs;
    assert_eq!(runs, &[run(ADA, 1, 1, 3), run(ADA, 4, 5, 2)]);
    assert_eq!(recovered.keys, [], "no run is taken for a key");
}

#[test]
fn numbers_of_publishers_outlast_their_segments() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    publish(&mut store, ADA, 1, 1, 3);
    for seq in 4..=400 {
        publish(&mut store, BOB, seq, seq, seq);
    }
    let few = Retention::default().max_events(5);
    store.retain(&few, Age::default()).unwrap();
    assert!(store.reader().oldest() > 3, "the first segment is gone");
    drop(store);
    let (_, recovered) = open(&io);
    assert_eq!(known(&recovered), [(ADA, 3, true), (BOB, 400, true)]);
    assert_eq!(recovered.publishers_age, WINDOW);
}

#[test]
fn without_their_file_they_are_not_all_known_and_nothing_is_certain() {
    let io = MemIo::new();
    let (mut store, _) = open(&io);
    publish(&mut store, ADA, 1, 1, 3);
    for seq in 4..=400 {
        publish(&mut store, BOB, seq, seq, seq);
    }
    let few = Retention::default().max_events(5);
    store.retain(&few, Age::default()).unwrap();
    drop(store);
    qsse_store::Io::remove(&io, "publishers").unwrap();
    let (_, recovered) = open(&io);
    assert_eq!(recovered.publishers_age, Duration::ZERO);
    assert_eq!(known(&recovered), [(BOB, 400, false)]);
}
