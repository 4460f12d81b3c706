//! The builder of batches: what it says of what has gathered, and how much memory it sets aside.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use qsse_proto::batch::{Batch, Builder};
use qsse_proto::stream::Item;
use qsse_proto::{DecodeError, Timestamp, limits};
use support::{EPOCH, decode, header};

/// What is set aside for an event beside topic, kind and data; the first one has the frame's head
/// before it.
const HEAD: usize = 52;
const FIRST_HEAD: usize = 77;
/// The first allocation of a builder that knows nothing.
const FIRST_CAPACITY: usize = 256;

fn push(builder: &mut Builder, seq: u64, topic: &str, kind: &str, data_len: usize) {
    let time = Timestamp::from_micros(10 * seq);
    builder.push(seq, time, topic, kind, &vec![b'x'; data_len]);
}

fn batch(events: &[(u64, &str, &str, usize)]) -> Batch {
    let mut builder = Builder::new();
    for (seq, topic, kind, data_len) in events {
        push(&mut builder, *seq, topic, kind, *data_len);
    }
    builder.finish()
}

#[test]
fn a_builder_says_what_has_gathered() {
    let mut builder = Builder::new();
    let said = |b: &Builder| (b.is_empty(), b.count(), b.first_seq(), b.last_seq());
    for _ in 0..2 {
        assert_eq!(said(&builder), (true, 0, None, None));
        assert_eq!(builder.len(), 0);
        assert!(builder.keeps_time(Timestamp::default()), "any is the first");
        push(&mut builder, 5, "a", "message", 3);
        assert_eq!(said(&builder), (false, 1, Some(5), Some(5)));
        push(&mut builder, 9, "a", "message", 3);
        assert_eq!(said(&builder), (false, 2, Some(5), Some(9)));
        let keeps = [89, 90, 91].map(|micros| builder.keeps_time(Timestamp::from_micros(micros)));
        assert_eq!(keeps, [false, true, true]);
        let len = builder.len();
        assert_eq!(builder.finish().bytes().len(), len);
    }
}

#[test]
fn a_batch_says_what_is_in_it() {
    let batch = batch(&[(5, "a", "message", 1), (9, "b", "k", 2)]);
    assert_eq!((batch.first_seq(), batch.last_seq()), (5, 9));
    let (first, last) = (batch.first_time(), batch.last_time());
    assert_eq!((first.as_micros(), last.as_micros()), (50, 90));
    assert_eq!(batch.count(), 2);
    let told = format!("{batch:?}");
    assert!(
        told.contains("5..=9") && told.contains("count: 2"),
        "{told}"
    );
}

#[test]
fn batches_are_the_same_when_their_bytes_are() {
    let one = batch(&[(5, "a", "message", 1)]);
    assert_eq!(one, batch(&[(5, "a", "message", 1)]));
    assert_ne!(one, batch(&[(5, "a", "message", 2)]));
    assert_ne!(one, batch(&[(6, "a", "message", 1)]));
}

#[test]
fn a_filter_keeps_what_it_admits() {
    let all = batch(&[(1, "a", "message", 1), (2, "b", "k", 2), (3, "a", "k", 3)]);
    let kept = all.filter(|event| event.kind() == "k").unwrap();
    let seqs: Vec<_> = kept.iter().map(|event| event.seq()).collect();
    assert_eq!(seqs, [2, 3]);
    assert_eq!((kept.first_seq(), kept.last_seq(), kept.count()), (2, 3, 2));
    let same = all.filter(|_| true).unwrap();
    assert_eq!(same.bytes().as_ptr(), all.bytes().as_ptr());
    assert_eq!(all.filter(|_| false), None);
}

#[test]
fn room_is_made_for_just_one_event_that_is_larger_than_usual() {
    let mut builder = Builder::new();
    push(&mut builder, 1, "ab", "message", 1_000);
    assert_eq!(builder.capacity(), FIRST_HEAD + 2 + 7 + 1_000);
    let before = builder.len();
    push(&mut builder, 2, "ab", "message", 3_000);
    assert_eq!(builder.capacity(), before + HEAD + 2 + 7 + 3_000);
}

#[test]
fn a_buffer_is_filled_before_it_grows() {
    for (more, capacity) in [(0, FIRST_CAPACITY), (1, 2 * FIRST_CAPACITY)] {
        let mut builder = Builder::new();
        push(&mut builder, 1, "a", "message", 9);
        let left = FIRST_CAPACITY - builder.len() - HEAD - 8;
        push(&mut builder, 2, "a", "message", left + more);
        assert_eq!(builder.capacity(), capacity);
    }
}

#[test]
fn the_next_batch_starts_a_little_larger_than_the_last() {
    let mut builder = Builder::new();
    push(&mut builder, 1, "a", "message", 2_000);
    let len = builder.finish().bytes().len();
    push(&mut builder, 2, "a", "message", 1);
    assert_eq!(builder.capacity(), len + len / 8);
}

#[test]
fn a_buffer_of_4_kib_is_kept_and_a_larger_one_is_not() {
    for (most, kept) in [(4_096, 4_096), (8_192, 0)] {
        let (mut builder, mut seq) = (Builder::new(), 0);
        while builder.capacity() < most {
            seq += 1;
            push(&mut builder, seq, "a", "message", 9);
        }
        assert_eq!(builder.capacity(), most);
        let batch = builder.finish();
        assert_eq!(
            batch.allocated(),
            batch.bytes().len(),
            "it was copied to size"
        );
        assert_eq!(builder.capacity(), kept);
    }
}

#[test]
fn memory_for_names_is_counted() {
    let mut builder = Builder::new();
    push(&mut builder, 1, "a", "k", 1);
    let kinds = builder.capacity() - FIRST_CAPACITY;
    assert!((4..100).contains(&kinds), "{kinds}");
    push(&mut builder, 2, "b", "k", 1);
    let topics = builder.capacity() - FIRST_CAPACITY - kinds;
    assert!((3_072..3_172).contains(&topics), "{topics}");
}

#[test]
fn memory_for_where_topics_are_named_is_counted() {
    let mut builder = Builder::new();
    // Room in the buffer for all that follows, so that only the places grow.
    push(&mut builder, 1, "a", "message", 30_000);
    push(&mut builder, 2, "b", "message", 1_000);
    let before = builder.capacity();
    for seq in 3..203 {
        push(&mut builder, seq, &format!("t{seq}"), "message", 1);
    }
    let places = builder.capacity() - before;
    assert!((780..1_100).contains(&places), "{places}");
}

#[test]
fn an_event_fits_as_long_as_its_names_and_data_do() {
    let (topic, kind) = ("t".repeat(100), "k".repeat(60));
    let mut builder = Builder::new();
    assert!(
        builder.would_fit(&topic, &kind, limits::BATCH_BYTES),
        "alone"
    );
    push(&mut builder, 1, "a", "message", limits::BATCH_BYTES - 700);
    assert!(builder.would_fit(&topic, &kind, 400));
    assert!(!builder.would_fit(&topic, &kind, 600));
}

#[test]
fn a_decoded_batch_counts_its_bytes_and_the_places_of_its_topics() {
    let decoded = |batch: &Batch| Batch::decode(batch.bytes().clone()).unwrap();
    let one = decoded(&batch(&[(1, "a", "message", 10), (2, "a", "message", 10)]));
    assert_eq!(one.allocated(), one.bytes().len());
    let two = decoded(&batch(&[(1, "a", "message", 10), (2, "b", "message", 10)]));
    assert_eq!(
        two.allocated(),
        two.bytes().len() + 2 * 4 + 2 * size_of::<usize>()
    );
}

#[test]
fn leftover_bytes_are_counted() {
    let mut frame = batch(&[(1, "a", "message", 10)]).bytes().to_vec();
    frame.extend([0; 3]);
    let error = Batch::decode(frame.into()).unwrap_err();
    assert_eq!(
        error,
        DecodeError::Leftover {
            kind: 0x21,
            bytes: 3
        }
    );
}

// QP-6.6
#[test]
fn a_batch_of_several_may_be_64_kib_and_one_event_alone_longer() {
    let small = batch(&[(1, "a", "message", 10), (2, "a", "message", 100)]);
    let fill = 100 + limits::BATCH_BYTES - small.bytes().len();
    // Its length takes two bytes more.
    let full = batch(&[(1, "a", "message", 10), (2, "a", "message", fill - 2)]);
    assert_eq!(full.bytes().len(), limits::BATCH_BYTES);
    assert_eq!(Batch::decode(full.bytes().clone()).unwrap(), full);
    assert_eq!(full.events(EPOCH).count(), 2);
    let whole = vec![full.bytes().clone()];
    let pieces = vec![full.bytes().slice(..20), full.bytes().slice(20..)];
    for chunks in [whole, pieces] {
        let (items, result) = decode([vec![header(0).encode()], chunks].concat());
        assert_eq!((items.len(), result), (3, Ok(true)));
    }

    let over = batch(&[(1, "a", "message", 10), (2, "a", "message", fill - 1)]);
    assert_eq!(over.bytes().len(), limits::BATCH_BYTES + 1);
    let refused = Batch::decode(over.bytes().clone()).unwrap_err();
    let whole = vec![header(0).encode(), over.bytes().clone()];
    let pieces = [
        header(0).encode(),
        over.bytes().slice(..20),
        over.bytes().slice(20..),
    ];
    for chunks in [whole, pieces.into()] {
        assert_eq!(
            decode(chunks),
            (vec![Item::Header(header(0))], Err(refused.clone()))
        );
    }

    let alone = batch(&[(1, "a", "message", limits::BATCH_BYTES)]);
    assert_eq!(Batch::decode(alone.bytes().clone()).unwrap(), alone);
}

#[test]
fn topics_know_how_many_are_left() {
    let batch = batch(&[
        (1, "a", "message", 1),
        (2, "b", "message", 1),
        (3, "c", "message", 1),
    ]);
    let mut topics = batch.topics();
    for left in (0..3).rev() {
        assert!(topics.next().is_some());
        assert_eq!(
            (topics.len(), topics.size_hint()),
            (left, (left, Some(left)))
        );
    }
    assert_eq!(topics.next(), None);
}

// QP-6.5
#[test]
fn sixteen_kinds_are_remembered() {
    let mut builder = Builder::new();
    let kinds: Vec<_> = (0..17).map(|n| format!("kind {n:02}")).collect();
    let mut seq = 0;
    let mut cost = |kind: &str| {
        seq += 1;
        let before = builder.len();
        push(&mut builder, seq, "a", kind, 0);
        builder.len() - before
    };
    for kind in &kinds {
        cost(kind);
    }
    let costs: Vec<_> = kinds.iter().map(|kind| cost(kind)).collect();
    let named = 1 + kinds[0].len();
    assert!(
        costs[..16].iter().all(|cost| *cost == costs[0]),
        "{costs:?}"
    );
    assert_eq!(costs[16], costs[0] + named);
}
