//! What the tests of the codec share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use bytes::Bytes;
use proptest::prelude::*;
use qsse_proto::batch::{Batch, Builder};
use qsse_proto::stream::{Decoder, Gap, GapReason, Heartbeat, Item, Outcome, StreamHeader};
use qsse_proto::{DecodeError, Epoch, Event, EventId, Kind, Timestamp, limits};
use qsse_topic::Topic;

pub(crate) const EPOCH: Epoch = Epoch::new(1000);

pub(crate) fn event(
    seq: u64,
    micros: u64,
    topic: &str,
    kind: &str,
    data: impl Into<Bytes>,
) -> Event {
    Event::new(
        EventId::new(EPOCH, seq),
        Topic::new(topic).unwrap(),
        Kind::new(kind).unwrap(),
        Timestamp::from_micros(micros),
        data.into(),
    )
}

/// Events in order: few and many topics, kinds, steps and lengths of every size.
pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    let topic = prop_oneof![
        4 => (0..3u32).prop_map(|n| format!("ride.{n}")),
        2 => (0..400u32).prop_map(|n| format!("people.{n}.seen")),
        1 => "[a-zé]{1,40}",
    ];
    let kind = prop_oneof![4 => Just("message".to_owned()), 2 => "[ab]", 1 => "[a-z]{1,64}"];
    let step = prop_oneof![4 => Just(1u64), 2 => 1..1_000u64, 1 => 1..1u64 << 50];
    let data = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (0..3_000usize).prop_map(|len| vec![b'x'; len]),
    ];
    let one = (step, 0..1u64 << 40, topic, kind, data);
    proptest::collection::vec(one, 1..60).prop_map(|list| {
        let (mut seq, mut micros) = (0, 0);
        let mut made = Vec::new();
        for (step, time, topic, kind, data) in list {
            seq += step;
            micros += time;
            made.push(event(seq, micros, &topic, &kind, data));
        }
        made
    })
}

pub(crate) fn push(builder: &mut Builder, event: &Event) {
    let (seq, time) = (event.id().seq(), event.time());
    let (topic, kind) = (event.topic().as_str(), event.kind().as_str());
    builder.push(seq, time, topic, kind, event.data());
}

/// All events in batches of at most `most` events.
pub(crate) fn batches(events: &[Event], most: usize) -> Vec<Batch> {
    let (mut builder, mut batches) = (Builder::new(), Vec::new());
    for event in events {
        let (topic, kind) = (event.topic().as_str(), event.kind().as_str());
        if builder.count() as usize == most || !builder.would_fit(topic, kind, event.data().len()) {
            batches.push(builder.finish());
        }
        push(&mut builder, event);
    }
    batches.push(builder.finish());
    batches
}

pub(crate) fn header(position: u64) -> StreamHeader {
    StreamHeader {
        id: 1,
        epoch: EPOCH,
        position,
        outcome: Outcome::Resumed,
    }
}

/// A whole stream: header, gap, the events in batches, a heartbeat. And what it means.
pub(crate) fn stream(events: &[Event], most: usize) -> (Vec<u8>, Vec<Item>) {
    let header = header(0);
    let gap = Gap {
        after: 0,
        to: 5,
        at_most: 5,
        reason: GapReason::Lag,
    };
    let position = u64::MAX;
    let mut bytes = [header.encode(), gap.encode()].concat();
    for batch in batches(events, most) {
        bytes.extend_from_slice(batch.bytes());
    }
    bytes.extend_from_slice(&Heartbeat { position }.encode());
    let mut items = vec![Item::Header(header), Item::Gap(gap)];
    items.extend(events.iter().cloned().map(Item::Event));
    items.push(Item::Heartbeat(EventId::new(EPOCH, position)));
    (bytes, items)
}

/// What a stream gives, fed in these pieces; the error if there is one, else whether it ends well.
pub(crate) fn decode(
    pieces: impl IntoIterator<Item = Bytes>,
) -> (Vec<Item>, Result<bool, DecodeError>) {
    let mut decoder = Decoder::new(limits::EVENT_BYTES);
    let mut items = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Err(error)),
            }
        }
    }
    let ended = decoder.is_empty();
    (items, Ok(ended))
}

/// `bytes` cut into pieces of these sizes, over and over.
pub(crate) fn cut(bytes: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let mut sizes = sizes.iter().cycle();
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let size = *sizes.next().unwrap();
        let (piece, more) = rest.split_at(size.clamp(1, rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = more;
    }
    pieces
}

/// A small stream with one of everything.
pub(crate) fn sample() -> Vec<u8> {
    let events = [
        event(6, 1_767_323_045_000_006, "ride.7", "message", "Ada"),
        event(7, 1_767_323_045_000_016, "ride.7", "created", ""),
        event(300, 1_767_323_045_900_016, "people", "created", "\0\u{1}"),
        event(301, 1_767_323_045_900_016, "ride.7", "message", "Bob"),
    ];
    stream(&events, 3).0
}
