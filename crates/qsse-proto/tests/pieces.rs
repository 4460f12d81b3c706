//! Subscription streams in pieces: the same items, each as early as can be, without needless
//! copies.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use qsse_proto::batch::Builder;
use qsse_proto::stream::{Decoder, Heartbeat, Item};
use qsse_proto::{DecodeError, Event, EventId, Timestamp, limits};
use support::*;

fn next_event(decoder: &mut Decoder) -> Option<Event> {
    match decoder.next().unwrap()? {
        Item::Event(event) => Some(event),
        item => panic!("{item:?}"),
    }
}

/// A decoder that has read its header.
fn started(position: u64) -> Decoder {
    let mut decoder = Decoder::new(limits::EVENT_BYTES);
    decoder.push(header(position).encode());
    assert!(matches!(decoder.next(), Ok(Some(Item::Header(_)))));
    decoder
}

fn batch_of(data: &[u8]) -> Bytes {
    let mut builder = Builder::new();
    builder.push(1, Timestamp::default(), "ride.7", "message", data);
    builder.finish().bytes().clone()
}

proptest! {
    // QP-3.3
    #[test]
    fn pieces_of_any_size_give_the_same(
        events in events(),
        most in 1..70usize,
        sizes in proptest::collection::vec(1..2_000usize, 1..6),
        small in proptest::collection::vec(1..9usize, 1..6),
    ) {
        let (bytes, items) = stream(&events, most);
        for sizes in [&sizes[..], &small, &[1], &[usize::MAX]] {
            let (read, result) = decode(cut(&bytes, sizes));
            prop_assert_eq!(&read, &items);
            prop_assert_eq!(result, Ok(true));
        }
    }

    #[test]
    fn lent_events_are_the_same(
        events in events(),
        most in 1..70usize,
        sizes in proptest::collection::vec(1..2_000usize, 1..6),
        ahead in 1..4usize,
    ) {
        let (bytes, items) = stream(&events, most);
        let mut decoder = Decoder::new(limits::EVENT_BYTES);
        let mut read = Vec::new();
        for pieces in cut(&bytes, &sizes).chunks(ahead) {
            pieces.iter().for_each(|piece| decoder.push(piece.clone()));
            loop {
                while decoder.lend_next() {
                    let lent = decoder.lent().expect("it was gone on to");
                    read.push(Item::Event(lent.to_event()));
                }
                prop_assert_eq!(decoder.lent(), None);
                let Some(item) = decoder.next().unwrap() else { break };
                read.push(item);
            }
        }
        prop_assert_eq!(read, items);
    }

    #[test]
    fn chunks_may_be_pushed_ahead(events in events(), sizes in proptest::collection::vec(1..50usize, 1..6)) {
        let (bytes, items) = stream(&events, 10);
        let mut decoder = Decoder::new(limits::EVENT_BYTES);
        for piece in cut(&bytes, &sizes) {
            decoder.push(Bytes::new());
            decoder.push(piece);
        }
        for item in items {
            prop_assert_eq!(decoder.next(), Ok(Some(item)));
        }
        prop_assert!(decoder.is_empty());
    }

    #[test]
    fn chunks_may_be_pushed_between_items(
        events in events(),
        sizes in proptest::collection::vec(1..300usize, 1..6),
        taken in 0..4usize,
    ) {
        let (bytes, items) = stream(&events, 10);
        let mut decoder = Decoder::new(limits::EVENT_BYTES);
        let mut read = Vec::new();
        for piece in cut(&bytes, &sizes) {
            decoder.push(piece);
            for _ in 0..taken {
                read.extend(decoder.next().unwrap());
            }
        }
        while let Some(item) = decoder.next().unwrap() {
            read.push(item);
        }
        prop_assert_eq!(read, items);
    }
}

// QP-3.3
#[test]
fn a_stream_is_whole_only_between_frames() {
    let bytes = sample();
    let mut ends = vec![0];
    while let Some(length) = bytes
        .get(ends[ends.len() - 1]..)
        .and_then(<[u8]>::first_chunk)
    {
        ends.push(ends[ends.len() - 1] + 4 + u32::from_le_bytes(*length) as usize);
    }
    for end in 0..=bytes.len() {
        for size in [1, 3, usize::MAX] {
            let (_, result) = decode(cut(&bytes[..end], &[size]));
            assert_eq!(result, Ok(ends.contains(&end)), "{end} bytes by {size}");
        }
    }
    let mut decoder = Decoder::new(limits::EVENT_BYTES);
    decoder.push(header(0).encode());
    assert!(!decoder.is_empty(), "nothing of it has been read");
}

#[test]
fn an_event_is_lent_until_the_next_call() {
    let mut decoder = started(0);
    assert!(!decoder.lend_next(), "there is none");
    let events: Vec<Event> = (1..=4).map(|n| event(n, n, "a", "message", "x")).collect();
    let [batch] = &batches(&events, 9)[..] else {
        panic!("one batch")
    };
    decoder.push(batch.bytes().clone());
    assert!(
        !decoder.lend_next(),
        "a batch begins, which is more than an event"
    );
    assert_eq!(next_event(&mut decoder).unwrap(), events[0]);
    assert_eq!(decoder.lent(), None, "it was handed out");
    assert!(decoder.lend_next());
    assert_eq!(decoder.lent().unwrap().to_event(), events[1]);
    assert_eq!(decoder.next_event().unwrap(), events[2]);
    assert_eq!(decoder.lent(), None);
    assert!(decoder.lend_next());
    decoder.push(Bytes::from_static(b"\0"));
    assert_eq!(decoder.lent(), None);
}

// QP-6.8
#[test]
fn an_event_is_there_with_its_last_byte() {
    // A batch of the first events is the beginning of a batch of all: that tells where each ends.
    let events: Vec<Event> = (1..=20)
        .map(|n| {
            event(
                n,
                n * 300,
                ["a", "ride.7"][n as usize % 2],
                "created",
                vec![0; 11 * n as usize % 40],
            )
        })
        .collect();
    let ends: Vec<usize> = (1..=events.len())
        .map(|n| batches(&events[..n], n)[0].bytes().len())
        .collect();
    let mut decoder = started(0);
    let mut seen = Vec::new();
    for (at, &byte) in batches(&events, usize::MAX)[0].bytes().iter().enumerate() {
        decoder.push(Bytes::copy_from_slice(&[byte]));
        while let Some(event) = next_event(&mut decoder) {
            seen.push((at + 1, event));
        }
    }
    assert!(seen.into_iter().eq(ends.into_iter().zip(events)));
}

#[test]
fn data_inside_a_chunk_is_not_copied() {
    let (bytes, _) = stream(
        &[
            event(6, 1, "a", "message", "one"),
            event(7, 1, "a", "message", "two"),
        ],
        9,
    );
    let chunk = Bytes::from(bytes);
    let mut decoder = Decoder::new(limits::EVENT_BYTES);
    decoder.push(chunk.clone());
    let mut kept = Vec::new();
    while let Some(item) = decoder.next().unwrap() {
        if let Item::Event(event) = item {
            assert!(chunk.as_ptr_range().contains(&event.data().as_ptr()));
            kept.push(event);
        }
    }
    assert_eq!(decoder.effort(), (0, 0));
    assert!(!chunk.is_unique());
    // Events keep the chunk alive, the decoder does not.
    drop(kept);
    assert!(chunk.is_unique());
}

#[test]
fn a_known_long_topic_is_shared_from_batch_to_batch() {
    let topic = |n| format!("a.topic.that.is.longer.than.24.bytes.{}", n % 2);
    let events: Vec<Event> = (6..106)
        .map(|n| event(n, n, &topic(n), "created", ""))
        .collect();
    let (bytes, _) = stream(&events, 3);
    let (items, _) = decode([Bytes::from(bytes)]);
    let texts: std::collections::BTreeSet<*const u8> = items
        .iter()
        .filter_map(|item| match item {
            Item::Event(event) => Some(event.topic().as_str().as_ptr()),
            _ => None,
        })
        .collect();
    assert_eq!(texts.len(), 2);
}

#[test]
fn a_large_event_in_small_pieces_is_linear() {
    let data = vec![7; limits::EVENT_BYTES];
    let bytes = batch_of(&data);
    for size in [7, 1_000, 65_536, 300_000] {
        let mut decoder = started(0);
        let (mut events, mut most) = (Vec::new(), 0);
        for piece in cut(&bytes, &[size]) {
            decoder.push(piece);
            events.extend(next_event(&mut decoder));
            let (_, reserved) = decoder.effort();
            assert!(reserved <= 2 * limits::EVENT_BYTES);
            most = most.max(reserved);
        }
        assert!(most > limits::EVENT_BYTES / 2, "it is put together here");
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].data(), &data);
        let (copied, _) = decoder.effort();
        assert!(
            (data.len() as u64..=bytes.len() as u64 + 1_000).contains(&copied),
            "{copied} bytes copied in pieces of {size}"
        );
    }
}

#[test]
fn many_events_in_tiny_pieces_are_linear() {
    let events: Vec<Event> = (6..1_006)
        .map(|n| event(n, n, "ride.7", "message", "0123456789"))
        .collect();
    let (bytes, _) = stream(&events, usize::MAX);
    for size in 1..40 {
        let mut decoder = Decoder::new(limits::EVENT_BYTES);
        let mut count = 0;
        for piece in cut(&bytes, &[size]) {
            decoder.push(piece);
            while decoder.next().unwrap().is_some() {
                count += 1;
            }
        }
        assert_eq!(count, events.len() + 3);
        let (copied, _) = decoder.effort();
        assert!(
            copied <= 3 * bytes.len() as u64,
            "{copied} of {} in pieces of {size}",
            bytes.len()
        );
    }
}

// QP-6.7
#[test]
fn the_limit_on_data_is_exact() {
    let mut decoder = Decoder::new(100);
    decoder.push(header(0).encode());
    decoder.push(batch_of(&[0; 100]));
    decoder.next().unwrap();
    assert_eq!(next_event(&mut decoder).unwrap().data().len(), 100);

    let mut decoder = Decoder::new(100);
    decoder.push(header(0).encode());
    decoder.push(batch_of(&[0; 101]));
    decoder.next().unwrap();
    let error = DecodeError::EventTooLarge {
        bytes: 101,
        limit: 100,
    };
    assert_eq!(decoder.next(), Err(error));
}

// QP-3.7
#[test]
fn an_error_is_final() {
    let mut decoder = started(5);
    let back = Heartbeat { position: 4 }.encode();
    decoder.push(back);
    decoder.push(
        batches(&[event(6, 1, "a", "message", "good")], 1)[0]
            .bytes()
            .clone(),
    );
    let error = decoder.next().unwrap_err();
    assert_eq!(decoder.next(), Err(error.clone()));
    assert_eq!(decoder.next(), Err(error));
    assert!(!decoder.is_empty());
}

// QP-3.5
#[test]
fn extensions_are_skipped_wherever_they_stand() {
    for kind in [0x80, 0xbf] {
        let extension = [&[0, 0, 1, 0, kind][..], &vec![0xee; 65_535]].concat();
        let mut bytes = extension.clone();
        bytes.extend_from_slice(&header(0).encode());
        bytes.extend_from_slice(&extension);
        bytes.extend_from_slice(&batch_of(b"x"));
        bytes.extend_from_slice(&extension);
        for size in [1, 4, 5, 1_000, usize::MAX] {
            let (items, result) = decode(cut(&bytes, &[size]));
            assert_eq!((items.len(), result), (2, Ok(true)));
        }
    }
    for kind in [0x00, 0x25, 0x7f, 0xc0, 0xff] {
        let (_, result) = decode([Bytes::copy_from_slice(&[1, 0, 0, 0, kind])]);
        assert_eq!(result, Err(DecodeError::UnknownFrame { kind }));
    }
}

// QP-7.5
#[test]
fn a_heartbeat_may_repeat_the_position() {
    let mut decoder = started(5);
    decoder.push(Heartbeat { position: 5 }.encode());
    let item = Item::Heartbeat(EventId::new(EPOCH, 5));
    assert_eq!(decoder.next(), Ok(Some(item)));
}

// QP-6.3
#[test]
fn seqs_rise_from_batch_to_batch() {
    let one = |seq| {
        batches(&[event(seq, 1, "a", "message", "")], 1)[0]
            .bytes()
            .clone()
    };
    for (bytes, good) in [
        ([header(5).encode(), one(6), one(7)], true),
        ([header(5).encode(), one(6), one(6)], false),
        ([header(5).encode(), one(7), one(6)], false),
        ([header(5).encode(), one(6), one(u64::MAX)], true),
    ] {
        assert_eq!(decode(bytes).1.is_ok(), good);
    }
}
