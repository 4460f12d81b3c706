//! Events, entries and reads for the tests of the store.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qsse_proto::batch::{Batch, Builder};
use qsse_proto::{Epoch, Timestamp};
use qsse_store::io::mem::MemIo;
use qsse_store::{Entry, Options, PublishKey, Reader, Recovered, Store};
use qsse_topic::Filter;

pub(crate) const EPOCH: Epoch = Epoch::new(5);

pub(crate) fn options() -> Options {
    Options::new(EPOCH)
        .salt_if_new(7)
        .segment_bytes(4096)
        .lease(50)
}

pub(crate) fn open(io: &MemIo) -> (Store, Recovered) {
    Store::open(Arc::new(io.clone()), options()).unwrap()
}

pub(crate) fn filter(pattern: &str) -> Filter {
    pattern.parse().unwrap()
}

/// An event in the form in which tests compare it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) seq: u64,
    pub(crate) time: u64,
    pub(crate) topic: String,
    pub(crate) data: Vec<u8>,
}

/// Short, because a message may have thousands.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.seq, self.topic)
    }
}

/// Returns the event with this seq: data and topic follow from it.
pub(crate) fn event(seq: u64, topics: u64) -> Event {
    let mut data = format!("event {seq} ").into_bytes();
    data.resize(16 + (seq * 7 % 90) as usize, b'.');
    let topic = format!("t.{}", seq * 31 % topics);
    let time = seq * 1_000;
    Event {
        seq,
        time,
        topic,
        data,
    }
}

pub(crate) fn batch(events: &[Event]) -> Batch {
    let mut builder = Builder::new();
    for event in events {
        let time = Timestamp::from_micros(event.time);
        builder.push(event.seq, time, &event.topic, "message", &event.data);
    }
    builder.finish()
}

pub(crate) fn entry(events: &[Event]) -> Entry {
    batch(events).into()
}

pub(crate) fn key(name: &str) -> PublishKey {
    PublishKey {
        scope: [3; 16],
        key: Bytes::copy_from_slice(name.as_bytes()),
    }
}

/// Appends the events first ..= last in entries of `size`, and syncs.
pub(crate) fn fill(
    store: &mut Store,
    first: u64,
    last: u64,
    size: usize,
    topics: u64,
) -> Vec<Event> {
    let events: Vec<Event> = (first..=last).map(|seq| event(seq, topics)).collect();
    for events in events.chunks(size) {
        store.append(&[entry(events)]).unwrap();
    }
    store.sync().unwrap();
    events
}

/// The result of reading to the end.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) events: Vec<Event>,
    pub(crate) lost: Vec<(u64, u64)>,
    pub(crate) calls: usize,
}

pub(crate) fn events_of(batch: &Batch) -> impl Iterator<Item = Event> {
    batch.iter().map(|event| Event {
        seq: event.seq(),
        time: event.time().as_micros(),
        topic: event.topic().to_owned(),
        data: event.data().to_vec(),
    })
}

/// Reads (after, upto] in pieces of `budget`, and checks what holds for every read.
pub(crate) fn read_with(
    reader: &Reader,
    filter: &Filter,
    after: u64,
    upto: u64,
    budget: usize,
) -> Found {
    let (mut found, mut position) = (Found::default(), after);
    let end = upto.min(reader.head());
    while position < end {
        let read = reader.read(filter, position, upto, budget);
        assert!(
            read.through > position,
            "a read that does not move: {read:?}"
        );
        let mut last = position;
        for batch in &read.batches {
            assert!(batch.first_seq() > last && batch.last_seq() <= read.through);
            assert!(batch.count() == 1 || batch.bytes().len() <= 64 << 10);
            for &(from, to) in &read.lost {
                let outside = to < batch.first_seq() || from >= batch.last_seq();
                assert!(
                    outside,
                    "{batch:?} holds some of what is lost: {:?}",
                    read.lost
                );
            }
            last = batch.last_seq();
            found.events.extend(events_of(batch));
        }
        for &(from, to) in &read.lost {
            assert!(position <= from && from < to && to <= read.through);
            match found.lost.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => found.lost.push((from, to)),
            }
        }
        position = read.through;
        found.calls += 1;
        assert!(found.calls < 1_000_000);
    }
    found
}

pub(crate) fn read(reader: &Reader, pattern: &str) -> Found {
    read_with(reader, &filter(pattern), 0, u64::MAX, 10_000)
}

/// Returns the newest `n` events of each topic.
pub(crate) fn per_topic(events: &[Event]) -> BTreeMap<String, Vec<u64>> {
    let mut topics: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in events {
        topics
            .entry(event.topic.clone())
            .or_default()
            .push(event.seq);
    }
    topics
}

pub(crate) fn is_lost(lost: &[(u64, u64)], seq: u64) -> bool {
    lost.iter().any(|&(after, to)| after < seq && seq <= to)
}

/// Small random numbers, which depend only on the seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
