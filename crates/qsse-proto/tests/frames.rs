//! Frames in pieces, for control and publishing streams.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use qsse_proto::frame::Decoder;
use qsse_proto::{DecodeError, Frame, frame, limits};
use support::cut;

fn frame(kind: u8, body: impl Into<Bytes>) -> Frame {
    Frame {
        kind,
        body: body.into(),
    }
}

fn read(pieces: Vec<Bytes>, max_len: usize) -> (Vec<Frame>, Result<bool, DecodeError>) {
    let mut decoder = Decoder::new(max_len);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(decoder.is_empty()))
}

proptest! {
    // QP-3.1, QP-3.3, QP-3.5
    #[test]
    fn pieces_of_any_size_give_the_same(
        list in proptest::collection::vec((any::<u8>(), 0..300usize), 0..20),
        sizes in proptest::collection::vec(1..200usize, 1..6),
    ) {
        let frames: Vec<Frame> = list.iter().map(|&(kind, len)| frame(kind, vec![kind; len])).collect();
        let bytes = frames.iter().map(Frame::encode).collect::<Vec<_>>().concat();
        let expected: Vec<Frame> =
            frames.into_iter().filter(|frame| !frame::kind::is_extension(frame.kind)).collect();
        for sizes in [&sizes[..], &[1], &[usize::MAX]] {
            prop_assert_eq!(read(cut(&bytes, sizes), 301), (expected.clone(), Ok(true)));
        }
    }
}

// QP-3.2
#[test]
fn the_limit_is_exact() {
    let bytes = frame(1, vec![0; 99]).encode();
    for size in [1, 4, 5, 200] {
        assert_eq!(read(cut(&bytes, &[size]), 100).0.len(), 1);
        let error = DecodeError::FrameTooLarge {
            bytes: 100,
            limit: 99,
        };
        assert_eq!(read(cut(&bytes, &[size]), 99), (Vec::new(), Err(error)));
    }
}

#[test]
fn another_limit_holds_from_the_next_frame_on() {
    let bytes = [
        frame(1, vec![0; 9]).encode(),
        frame(2, vec![0; 99]).encode(),
    ]
    .concat();
    let mut decoder = Decoder::new(10);
    decoder.push(bytes.into());
    assert_eq!(decoder.next().unwrap().unwrap().kind, 1);
    decoder.set_max_len(100);
    assert_eq!(decoder.next().unwrap().unwrap().kind, 2);
    assert!(decoder.is_empty());
}

#[test]
fn a_frame_in_one_chunk_is_not_copied() {
    let chunk = [frame(1, "one").encode(), frame(2, "two").encode()].concat();
    let chunk = Bytes::from(chunk);
    let mut decoder = Decoder::new(100);
    decoder.push(chunk.clone());
    while let Some(frame) = decoder.next().unwrap() {
        assert!(chunk.as_ptr_range().contains(&frame.body.as_ptr()));
    }
    assert_eq!(decoder.effort(), (0, 0));
    assert!(chunk.is_unique(), "a chunk that is read is let go");
}

#[test]
fn a_large_frame_in_small_pieces_is_linear() {
    let max = limits::event_frame_bytes(limits::EVENT_BYTES);
    let bytes = frame(0x31, vec![7; max - 1]).encode();
    for size in [7, 1_000, 65_536] {
        let mut decoder = Decoder::new(max);
        let mut frames = 0;
        for piece in cut(&bytes, &[size]) {
            decoder.push(piece);
            frames += usize::from(decoder.next().unwrap().is_some());
            assert!(decoder.effort().1 <= 2 * max);
        }
        assert_eq!((frames, decoder.effort().0), (1, bytes.len() as u64));
    }
}

#[test]
fn a_length_alone_reserves_no_more_than_4_kib() {
    let max = limits::event_frame_bytes(limits::EVENT_BYTES);
    let bytes = frame(0x31, vec![7; max - 1]).encode();
    let mut decoder = Decoder::new(max);
    decoder.push(bytes.slice(..10));
    assert_eq!(decoder.next(), Ok(None));
    let reserved = decoder.effort().1;
    assert!((4_096..4_200).contains(&reserved), "{reserved}");
    // Later no more than twice of what has arrived.
    decoder.push(bytes.slice(10..60_000));
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.effort().1 <= 120_000);
}

#[test]
fn the_beginning_of_a_frame_is_shown_and_its_rest_can_be_skipped() {
    let bytes = [
        frame(0x31, vec![7; 90_000]).encode(),
        frame(0x31, "next").encode(),
    ]
    .concat();
    let bytes = Bytes::from(bytes);
    let mut decoder = Decoder::new(100_000);
    decoder.push(bytes.slice(..4));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!((decoder.unfinished(), decoder.stored()), (None, 4));
    decoder.push(bytes.slice(4..5_005));
    assert_eq!(decoder.next(), Ok(None));
    let unfinished = decoder.unfinished().unwrap();
    assert_eq!((unfinished.kind, unfinished.body_bytes), (0x31, 90_000));
    assert_eq!(unfinished.body, &[7; 5_000]);

    decoder.skip_unfinished();
    assert_eq!((decoder.unfinished(), decoder.stored()), (None, 0));
    assert!(
        !decoder.is_empty(),
        "a stream that ends here ends in a frame"
    );
    decoder.push(bytes.slice(5_005..50_000));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.effort().1, 0, "nothing of it is stored");
    decoder.push(bytes.slice(50_000..));
    assert_eq!(decoder.next(), Ok(Some(frame(0x31, "next"))));
    assert!(decoder.is_empty());
    decoder.skip_unfinished();
    assert!(
        decoder.is_empty(),
        "between frames there is nothing to skip"
    );
}

#[test]
fn a_skipped_frame_is_not_kept() {
    let bytes = frame(0x80, vec![0; 60_000]).encode();
    let mut decoder = Decoder::new(100_000);
    for piece in cut(&bytes, &[1_000]) {
        assert!(decoder.is_empty() || decoder.next() == Ok(None));
        decoder.push(piece);
    }
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.is_empty());
    assert!(decoder.effort().0 < 10);
}

// QP-3.3
#[test]
fn a_cut_frame_is_noticed() {
    let bytes = frame(1, "body").encode();
    for end in 1..bytes.len() {
        assert_eq!(read(vec![bytes.slice(..end)], 100), (Vec::new(), Ok(false)));
    }
}
