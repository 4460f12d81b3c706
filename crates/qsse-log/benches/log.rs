//! The cost of an event in the log: appended, read live, and read from the history.
#![expect(clippy::unwrap_used, reason = "a benchmark that fails says where")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use qsse_log::{Config, Log, NewEvent, Now, Reader, Start, Step};
use qsse_proto::Epoch;
use qsse_topic::{Filter, TopicRef};

const EVENTS: u64 = 512;
const DATA: [u8; 128] = [7; 128];

fn log() -> Log {
    Log::new(Epoch::new(1), Config::default().history_bytes(64 << 20))
}

fn reader(log: &Log, filter: &str, start: Start) -> Reader {
    let filter: Filter = filter.parse().unwrap();
    log.reader(&filter, start).unwrap()
}

fn append(log: &Log, events: u64) {
    let topic = TopicRef::new("ride.7.start").unwrap();
    for _ in 0..events {
        log.append(Now::default(), NewEvent::new(topic, &DATA))
            .unwrap();
    }
}

/// Reads to the end. Returns the bytes of all batches.
fn drain(reader: &mut Reader) -> usize {
    let (mut bytes, mut batches) = (0, Vec::new());
    while !matches!(reader.step(32 << 10, &mut batches), Step::Idle(_)) {
        bytes += batches
            .drain(..)
            .map(|batch| batch.bytes().len())
            .sum::<usize>();
    }
    bytes
}

fn live(c: &mut Criterion) {
    let mut group = c.benchmark_group("live");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("append, no feed", |b| {
        let log = log();
        b.iter(|| append(&log, EVENTS));
    });
    for filters in [1, 10] {
        let log = log();
        let mut readers: Vec<_> = (0..filters)
            .map(|n| {
                let wide = ["*", "ride.*", "ride.7.*", "ride.*.start", "*.7.start"];
                let filter = wide
                    .get(n)
                    .map_or_else(|| format!("x.{n}"), |f| (*f).to_owned());
                reader(&log, &filter, Start::Live)
            })
            .collect();
        group.bench_function(format!("append and read, {filters} filters"), |b| {
            b.iter(|| {
                append(&log, EVENTS);
                readers.iter_mut().map(drain).sum::<usize>()
            });
        });
    }
    let all = log();
    let mut held = all.appender(Now::default());
    group.bench_function("append in one turn, no feed", |b| {
        let topic = TopicRef::new("ride.7.start").unwrap();
        b.iter(|| {
            for _ in 0..EVENTS {
                black_box(held.push(NewEvent::new(topic, &DATA)).unwrap());
            }
        });
    });
    group.finish();
}

fn past(c: &mut Criterion) {
    let log = log();
    let events = 100_000;
    append(&log, events);
    let mut group = c.benchmark_group("history");
    group.throughput(Throughput::Elements(events));
    group.bench_function("replay", |b| {
        b.iter_batched(
            || reader(&log, "ride.*", Start::Earliest),
            |mut reader| drain(&mut reader),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, live, past);
criterion_main!(benches);
