//! What a broken or hostile peer may send: errors, no panic, and no memory for a mere claim.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use qsse_proto::batch::Batch;
use qsse_proto::control::{ClientFrame, ServerFrame};
use qsse_proto::publish::{AckFrame, PublisherFrame};
use qsse_proto::stream::Decoder;
use qsse_proto::{Code, DecodeError, Frame, frame, limits};
use support::*;

/// Reads `bytes` as everything that they could be.
fn read_as_all(bytes: &[u8]) {
    let whole = decode([Bytes::copy_from_slice(bytes)]);
    assert_eq!(decode(cut(bytes, &[5])), whole, "pieces change nothing");
    if let Ok(batch) = Batch::decode(Bytes::copy_from_slice(bytes)) {
        let events = batch.events(EPOCH).filter_map(Result::ok).count();
        assert_eq!(events, batch.iter().count());
        let _ = batch.retain(|topic| topic.len() > 3);
    }
    let mut decoder = frame::Decoder::new(limits::CONTROL_FRAME_BYTES);
    decoder.push(Bytes::copy_from_slice(bytes));
    while let Ok(Some(frame)) = decoder.next() {
        let _ = ClientFrame::decode(frame.clone());
        let _ = ServerFrame::decode(frame.clone());
        let _ = PublisherFrame::decode(frame.clone());
        let _ = AckFrame::decode(frame);
    }
}

/// A frame that holds the given body.
fn framed(kind: u8, body: &[u8]) -> Bytes {
    let body = Bytes::copy_from_slice(body);
    Frame { kind, body }.encode()
}

/// What a started subscription stream makes of a frame, and how much it reserved for it.
fn on_stream(kind: u8, body: &[u8]) -> (DecodeError, usize) {
    after_header(&framed(kind, body))
}

fn after_header(bytes: &[u8]) -> (DecodeError, usize) {
    let mut decoder = Decoder::new(limits::EVENT_BYTES);
    decoder.push(header(0).encode());
    decoder.next().unwrap();
    decoder.push(Bytes::copy_from_slice(bytes));
    loop {
        match decoder.next() {
            Ok(item) => assert!(
                item.is_some(),
                "more bytes are wanted where an error should be"
            ),
            Err(error) => return (error, decoder.effort().1),
        }
    }
}

/// The beginning of a batch: seq 1, time 0, and an event without steps.
const EVENT: [u8; 4] = [1, 0, 0, 0];
/// The largest number.
const HUGE: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

fn batch_with(rest: &[&[u8]]) -> (DecodeError, usize) {
    let body = [&EVENT[..], &rest.concat()].concat();
    assert!(Batch::decode(framed(0x21, &body)).is_err());
    on_stream(0x21, &body)
}

const VIOLATION: Code = Code::PROTOCOL_VIOLATION;

#[test]
fn a_truncated_stream_is_no_error_before_its_missing_bytes() {
    let sample = sample();
    for end in 0..sample.len() {
        read_as_all(&sample[..end]);
        let (_, result) = decode([Bytes::copy_from_slice(&sample[..end])]);
        assert!(result.is_ok(), "what is there so far is good");
    }
}

#[test]
fn every_truncation_of_a_batch_is_an_error() {
    let events = [
        event(1, 9, "a", "created", "one"),
        event(2, 9, "b", "message", "two"),
    ];
    let batch = batches(&events, 2)[0].bytes().clone();
    for end in 0..batch.len() {
        assert!(Batch::decode(batch.slice(..end)).is_err(), "cut at {end}");
        // The same, but with a length that fits; cuts between events are whole batches again.
        if let Some(body) = batch.get(5..end) {
            let shorter = Batch::decode(framed(0x21, body));
            assert!(shorter.is_err() || shorter.is_ok_and(|batch| batch.count() == 1));
        }
    }
}

#[test]
fn a_corrupted_byte_causes_no_panic() {
    let sample = sample();
    for at in 0..sample.len() {
        for flip in 1..=255 {
            let mut bytes = sample.clone();
            bytes[at] ^= flip;
            read_as_all(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_cause_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_as_all(&bytes);
    }

    #[test]
    fn a_frame_with_a_random_body_causes_no_panic(kind: u8, body in proptest::collection::vec(prop_oneof![0..6u8, any::<u8>()], 0..60)) {
        let bytes = framed(kind, &body);
        read_as_all(&bytes);
        read_as_all(&[&header(0).encode()[..], &bytes].concat());
    }
}

// QP-3.2, QP-2.8
#[test]
fn a_frame_that_claims_four_gigabytes_is_refused_without_memory_for_it() {
    let claim = [0xff, 0xff, 0xff, 0xff];
    let (error, reserved) = after_header(&claim);
    assert_eq!((error.code(), reserved), (Code::FRAME_TOO_LARGE, 0));

    let mut decoder = frame::Decoder::new(limits::CONTROL_FRAME_BYTES);
    decoder.push(Bytes::copy_from_slice(&claim));
    let error = decoder.next().unwrap_err();
    assert_eq!(error.code(), Code::FRAME_TOO_LARGE);
    assert!(decoder.effort().1 <= 64 * 1024);
}

// QP-2.8
#[test]
fn a_frame_that_claims_the_limit_reserves_no_more_than_64_kib() {
    let limit = limits::event_frame_bytes(limits::EVENT_BYTES);
    let mut decoder = frame::Decoder::new(limit);
    decoder.push(Bytes::copy_from_slice(&(limit as u32).to_le_bytes()));
    decoder.push(Bytes::from_static(&[0x31; 1_000]));
    assert_eq!(decoder.next(), Ok(None));
    assert!(
        decoder.effort().1 <= 64 * 1024 + 16,
        "{}",
        decoder.effort().1
    );
}

// QP-2.8
#[test]
fn data_that_claims_the_limit_reserves_no_more_than_64_kib() {
    let mut decoder = Decoder::new(limits::EVENT_BYTES);
    decoder.push(header(0).encode());
    decoder.next().unwrap();
    // Kind, preamble and head are twelve bytes.
    let length = limits::EVENT_BYTES as u32 + 12;
    let start = [&length.to_le_bytes()[..], &[0x21], &EVENT, &[0, 1, b'a', 0]].concat();
    decoder.push(start.into());
    decoder.push(Bytes::from_static(&[0x80, 0x80, 0x40, b'x']));
    assert_eq!(decoder.next(), Ok(None));
    let (_, reserved) = decoder.effort();
    assert!((60 * 1024..=64 * 1024).contains(&reserved), "{reserved}");
}

// QP-6.7, QP-2.8
#[test]
fn data_that_claims_more_than_any_memory_is_refused_without_memory_for_it() {
    let (error, reserved) = batch_with(&[&[0, 1, b'a', 0], &HUGE, b"x"]);
    assert_eq!((error.code(), reserved), (Code::EVENT_TOO_LARGE, 0));
}

// QP-2.8
#[test]
fn data_that_claims_more_than_its_frame_is_refused() {
    let (error, reserved) = batch_with(&[&[0, 1, b'a', 0, 100], b"x"]);
    assert_eq!(reserved, 0);
    assert!(matches!(error, DecodeError::Truncated { .. }), "{error:?}");
}

#[test]
fn a_topic_that_claims_more_than_its_frame_is_refused() {
    let (error, _) = batch_with(&[&[0, 200, b'a']]);
    assert!(matches!(error, DecodeError::Truncated { .. }), "{error:?}");
}

#[test]
fn a_kind_that_claims_more_than_its_frame_is_refused() {
    let (error, _) = batch_with(&[&[0, 1, b'a', 1, 60, b'k']]);
    assert!(matches!(error, DecodeError::Truncated { .. }), "{error:?}");
}

// QP-6.4
#[test]
fn topic_numbers_that_were_not_assigned_are_refused() {
    for number in [&[2][..], &[0xff, 1], &HUGE] {
        let (error, _) = batch_with(&[&[0, 1, b'a', 0, 0, 1, 0], number, &[0, 0]]);
        assert_eq!(error.code(), VIOLATION);
    }
}

// QP-6.5
#[test]
fn kind_numbers_that_were_not_assigned_are_refused() {
    for number in [&[2][..], &[0xff, 1], &HUGE] {
        let (error, _) = batch_with(&[&[0, 1, b'a'], number, &[0]]);
        assert_eq!(error.code(), VIOLATION);
    }
}

// QP-6.3
#[test]
fn steps_out_of_range_are_refused() {
    let first = [0, 1, b'a', 0, 0];
    for steps in [[&HUGE[..], &[0]].concat(), [&[1][..], &HUGE].concat()] {
        // The time is 1, so that the largest step leads beyond the largest number.
        let body = [&[1, 1, 0, 0][..], &first, &steps, &[1, 0, 0]].concat();
        let mut decoder = Decoder::new(10);
        decoder.push(header(0).encode());
        decoder.push(framed(0x21, &body));
        decoder.next().unwrap();
        decoder.next().unwrap();
        assert_eq!(decoder.next().unwrap_err().code(), VIOLATION);
        assert_eq!(
            Batch::decode(framed(0x21, &body)).unwrap_err().code(),
            VIOLATION
        );
    }
}

// QP-2.2
#[test]
fn a_number_without_an_end_is_refused() {
    let (error, _) = on_stream(0x21, &[0xff; 11]);
    assert_eq!(error.code(), VIOLATION);
    let (error, _) = batch_with(&[&[0xff; 11]]);
    assert_eq!(error.code(), VIOLATION);
}

// QP-2.9, QP-2.10
#[test]
fn invalid_topics_and_kinds_are_refused() {
    for topic in [&b""[..], b"a..b", b"*", b"a\nb", b"\xff"] {
        let (error, _) = batch_with(&[&[0, topic.len() as u8], topic, &[0, 0]]);
        assert_eq!(error.code(), VIOLATION, "{topic:?}");
    }
    for kind in [&b""[..], b"a\0", b"\xff", &[b'k'; 65]] {
        let (error, _) = batch_with(&[&[0, 1, b'a', 1, kind.len() as u8], kind, &[0]]);
        assert_eq!(error.code(), VIOLATION, "{kind:?}");
    }
}

// QP-3.2
#[test]
fn a_large_frame_of_a_small_kind_is_refused() {
    for kind in [0x22, 0x23] {
        let (error, reserved) = after_header(&[0x01, 0x01, 0, 0, kind]);
        assert_eq!((error.code(), reserved), (Code::FRAME_TOO_LARGE, 0));
        let (error, _) = on_stream(kind, &[0; limits::STREAM_FRAME_BYTES - 1]);
        assert_eq!(error.code(), VIOLATION, "the longest frame is looked at");
    }
}

// QP-2.8
#[test]
fn a_batch_that_ends_in_its_first_numbers_is_refused() {
    for body in [&[0x80][..], &[1], &[1, 0x80]] {
        assert_eq!(on_stream(0x21, body).0.code(), VIOLATION);
    }
}

// QP-5.2, QP-2.8
#[test]
fn a_huge_number_of_patterns_is_refused() {
    for count in [&[0x81, 0x08][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &HUGE] {
        let body = [&[1], count, &[1, b'a', 0, 0]].concat();
        let frame = Frame {
            kind: 0x02,
            body: body.into(),
        };
        assert_eq!(ClientFrame::decode(frame).unwrap_err().code(), VIOLATION);
    }
}

// QP-2.8
#[test]
fn a_token_that_claims_more_than_its_frame_is_refused() {
    for length in [&[2][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &HUGE] {
        let body = [length, b"t"].concat();
        let frame = Frame {
            kind: 0x04,
            body: body.into(),
        };
        assert_eq!(ClientFrame::decode(frame).unwrap_err().code(), VIOLATION);
    }
}

// QP-2.8
#[test]
fn a_publish_whose_names_claim_more_than_its_frame_is_refused() {
    for body in [
        &[][..],
        &[0],
        &[0, 200, b'a'],
        &[0, 1, b'a'],
        &[0, 1, b'a', 60, b'k'],
    ] {
        let frame = Frame {
            kind: 0x31,
            body: Bytes::copy_from_slice(body),
        };
        let error = PublisherFrame::decode(frame).unwrap_err();
        assert!(
            matches!(error, DecodeError::Truncated { kind: 0x31, .. }),
            "{error:?}"
        );
    }
}
