//! What an event costs: laid into a batch, and read out of a stream.

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use qsse_proto::batch::Builder;
use qsse_proto::publish;
use qsse_proto::stream::{Decoder, Item, Outcome, StreamHeader};
use qsse_proto::{Epoch, Frame, Timestamp, frame, limits};
use std::hint::black_box;

/// Events of one run.
const EVENTS: usize = 10_000;
const DATA: [u8; 128] = [b'x'; 128];
const START: u64 = 1_767_323_045_000_006;

fn topics(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("ride.{n}.start")).collect()
}

/// All events, in full batches or in batches of `most`.
fn chunks(topics: &[String], most: u32) -> Vec<Bytes> {
    let (mut builder, mut chunks) = (Builder::new(), Vec::new());
    for (seq, topic) in (1..=EVENTS as u64).zip(topics.iter().cycle()) {
        if builder.count() == most || !builder.would_fit(topic, "message", DATA.len()) {
            chunks.push(builder.finish().bytes().clone());
        }
        let time = Timestamp::from_micros(START + seq);
        builder.push(seq, time, topic, "message", &DATA);
    }
    chunks.push(builder.finish().bytes().clone());
    chunks
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, count, most) in [
        ("one topic", 1, u32::MAX),
        ("100 topics", 100, u32::MAX),
        ("10,000 topics", 10_000, u32::MAX),
        ("batches of one", 1, 1),
    ] {
        let topics = topics(count);
        group.bench_function(name, |b| b.iter(|| chunks(black_box(&topics), most)));
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, count, most, piece) in [
        ("one topic", 1, u32::MAX, usize::MAX),
        ("100 topics", 100, u32::MAX, usize::MAX),
        ("10,000 topics", 10_000, u32::MAX, usize::MAX),
        ("batches of one", 1, 1, usize::MAX),
        ("pieces of 1,400 bytes", 1, u32::MAX, 1_400),
    ] {
        let mut bytes = BytesMut::new();
        for chunk in chunks(&topics(count), most) {
            bytes.extend_from_slice(&chunk);
        }
        let bytes = bytes.freeze();
        let pieces: Vec<Bytes> = bytes
            .chunks(piece.min(65_536))
            .map(|piece| bytes.slice_ref(piece))
            .collect();
        group.bench_function(name, |b| b.iter(|| drain(black_box(&pieces), false)));
        let lent = format!("{name}, lent");
        group.bench_function(lent, |b| b.iter(|| drain(black_box(&pieces), true)));
    }
    group.finish();
}

/// Reads all events, as a subscriber that is lent them where that can be, or as one that gets them
/// for its own.
fn drain(pieces: &[Bytes], lent: bool) -> usize {
    let header = StreamHeader {
        id: 1,
        epoch: Epoch::new(7),
        position: 0,
        outcome: Outcome::Live,
    };
    let mut decoder = Decoder::new(limits::EVENT_BYTES);
    decoder.push(header.encode());
    let mut bytes = 0;
    for piece in pieces {
        decoder.push(piece.clone());
        loop {
            while lent && decoder.lend_next() {
                bytes += black_box(decoder.lent()).expect("lent").data().len();
            }
            match decoder.next().expect("a good stream") {
                Some(Item::Event(event)) => bytes += black_box(event).data().len(),
                Some(_) => {}
                None => break,
            }
        }
    }
    assert_eq!(bytes, EVENTS * DATA.len());
    bytes
}

fn publishing(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("write", |b| {
        b.iter_batched_ref(
            || BytesMut::with_capacity(EVENTS * 200),
            |out| {
                for _ in 0..EVENTS {
                    publish::write(out, false, black_box("ride.7.start"), "message", &DATA);
                }
            },
            BatchSize::LargeInput,
        );
    });
    let mut out = BytesMut::new();
    for _ in 0..EVENTS {
        publish::write(&mut out, false, "ride.7.start", "message", &DATA);
    }
    let bytes = out.freeze();
    group.bench_function("read", |b| {
        b.iter(|| {
            let mut decoder = frame::Decoder::new(limits::event_frame_bytes(limits::EVENT_BYTES));
            decoder.push(black_box(bytes.clone()));
            let next = |decoder: &mut frame::Decoder| -> Option<Frame> {
                decoder.next().expect("a good stream")
            };
            let mut count = 0;
            while let Some(frame) = next(&mut decoder) {
                black_box(publish::PublisherFrame::decode(frame)).expect("a good publish");
                count += 1;
            }
            assert_eq!(count, EVENTS);
        });
    });
    group.finish();
}

criterion_group!(benches, encode, decode, publishing);
criterion_main!(benches);
