//! The cost of the store compared with bare files: appending with a sync for each group, and
//! replaying.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qsse_proto::batch::{Batch, Builder};
use qsse_proto::{Epoch, Timestamp};
use qsse_store::{Entry, Options, Store};
use qsse_topic::Filter;

const DATA: [u8; 128] = [b'x'; 128];
/// Entries of one append, and events of one entry.
const GROUP: u64 = 4;
const EVENTS: u64 = 25;
/// The number of events that are replayed.
const REPLAYED: u64 = 400_000;

/// Returns batches of `events` events on many topics, from `first` on.
fn batches(first: u64, count: u64, events: u64, topics: u64) -> Vec<Batch> {
    let names: Vec<String> = (0..topics).map(|n| format!("ride.{n}.start")).collect();
    let mut builder = Builder::new();
    let mut seqs = first..;
    let mut batch = || {
        for seq in seqs.by_ref().take(events as usize) {
            let topic = &names[(seq % topics) as usize];
            builder.push(seq, Timestamp::from_micros(seq), topic, "message", &DATA);
        }
        builder.finish()
    };
    (0..count).map(|_| batch()).collect()
}

fn open(path: &Path) -> Store {
    let (mut store, _) = Store::open_dir(path, Options::new(Epoch::new(5))).expect("it opens");
    store.reserve(store.head() + 1).expect("it is leased");
    store
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(GROUP * EVENTS));
    for sync in [false, true] {
        let name = if sync { ", synced" } else { ", written" };
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = open(dir.path());
        group.bench_function(format!("store{name}"), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let batches = batches(store.head() + 1, GROUP, EVENTS, 100);
                    let entries: Vec<Entry> = batches.into_iter().map(Entry::from).collect();
                    let begin = Instant::now();
                    store.append(&entries).expect("there is room");
                    if sync {
                        store.sync().expect("it lasts");
                    }
                    spent += begin.elapsed();
                }
                spent
            });
        });
        let mut file = File::create(dir.path().join("bare")).expect("a file");
        group.bench_function(format!("bare file{name}"), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let batches = batches(1, GROUP, EVENTS, 100);
                    let begin = Instant::now();
                    let all: Vec<u8> = batches
                        .iter()
                        .flat_map(|batch| batch.bytes())
                        .copied()
                        .collect();
                    file.write_all(&all).expect("there is room");
                    if sync {
                        file.sync_data().expect("it lasts");
                    }
                    spent += begin.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

fn replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("replay");
    group.sample_size(10);
    for (name, events, topics) in [
        ("full batches", 400, 10_000),
        ("small batches", EVENTS, 10_000),
        ("100 topics", 400, 100),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = open(dir.path());
        let mut bare = File::create(dir.path().join("bare")).expect("a file");
        let mut bytes = 0;
        for batch in batches(store.head() + 1, REPLAYED / events, events, topics) {
            bytes += batch.bytes().len() as u64;
            bare.write_all(batch.bytes()).expect("there is room");
            store.append(&[batch.into()]).expect("there is room");
        }
        store.sync().expect("it lasts");
        let reader = store.reader();
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(format!("{name}, store"), |b| {
            let all: Filter = "*".parse().expect("a filter");
            b.iter(|| read(&reader, &all));
        });
        group.bench_function(format!("{name}, bare file"), |b| {
            let mut buf = vec![0; 256 << 10];
            b.iter(|| {
                let mut file = File::open(dir.path().join("bare")).expect("a file");
                while file.read(&mut buf).expect("it is there") > 0 {
                    black_box(&buf);
                }
            });
        });
        group.throughput(Throughput::Elements(REPLAYED / topics));
        group.bench_function(format!("{name}, one topic of {topics}"), |b| {
            let one: Filter = "ride.77.start".parse().expect("a filter");
            b.iter(|| read(&reader, &one));
        });
    }
    group.finish();
}

fn read(reader: &qsse_store::Reader, filter: &Filter) {
    let (mut position, head) = (0, reader.head());
    while position < head {
        let read = reader.read(filter, position, head, 256 << 10);
        position = read.through;
        black_box(read);
    }
}

fn reopen(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = open(dir.path());
    for batch in batches(store.head() + 1, 4_000, 100, 1_000) {
        store.append(&[batch.into()]).expect("there is room");
    }
    drop(store);
    let mut group = c.benchmark_group("open");
    group.sample_size(10);
    group.bench_function("400,000 events, unclean", |b| {
        b.iter(|| Store::open_dir(dir.path(), Options::new(Epoch::new(5))).expect("it opens"));
    });
    group.finish();
}

criterion_group!(benches, append, replay, reopen);
criterion_main!(benches);
