//! Publishes: their frames, one behind the other, and what is wrong with some.

use bytes::{Bytes, BytesMut};
use qsse_proto::publish::{
    self, Acknowledged, Key, KeyScope, Publish, PublisherFrame, PublisherId, Retry,
};
use qsse_proto::{Code, Epoch, Frame, Kind, frame};

#[test]
fn a_publish_shares_its_frame() {
    let publish = Publish::new(false, "ride.7", &Kind::MESSAGE, Bytes::from_static(b"data"));
    let mut decoder = frame::Decoder::new(100);
    decoder.push(publish.encode());
    let frame = decoder.next().unwrap().unwrap();
    let body = frame.body.clone();
    let PublisherFrame::Publish(read) = PublisherFrame::decode(frame).unwrap() else {
        panic!("a publish stays one");
    };
    assert_eq!(read, publish);
    assert!(body.as_ptr_range().contains(&read.data().as_ptr()));
    assert!(body.as_ptr_range().contains(&read.topic().as_ptr()));
    assert_eq!(read.kind(), "message");
}

#[test]
fn publishes_are_written_one_behind_the_other() {
    let mut out = BytesMut::new();
    publish::write(&mut out, false, "a", "message", b"one");
    publish::write(&mut out, true, "b.*", "created", b"");
    let mut decoder = frame::Decoder::new(100);
    decoder.push(out.freeze());
    let first = Publish::new(false, "a", &Kind::MESSAGE, Bytes::from_static(b"one"));
    let second = Publish::new(true, "b.*", &Kind::new("created").unwrap(), Bytes::new());
    for publish in [first, second] {
        let frame = decoder.next().unwrap().unwrap();
        assert_eq!(PublisherFrame::decode(frame), Ok(publish.into()));
    }
    assert!(decoder.is_empty());
}

// QP-8.2
#[test]
fn a_malformed_publish_is_refused() {
    for body in [
        &[8, 1, b'a', 0][..],
        &[0, 0, 0],
        &[0, 1, 0xff, 0],
        &[0, 1, b'a', 1, 0xff],
        &[0, 1, b'a', 1, b'\n'],
    ] {
        let frame = Frame {
            kind: 0x31,
            body: Bytes::from_static(body),
        };
        assert_eq!(
            PublisherFrame::decode(frame).unwrap_err().code(),
            Code::PROTOCOL_VIOLATION
        );
    }
}

// QP-8.11, QP-8.12
#[test]
fn a_key_and_a_retry_travel_with_a_publish() {
    let publish = || Publish::new(true, "a.*", &Kind::MESSAGE, Bytes::from_static(b"data"));
    let longest = Key::new(vec![0xff; 64]).unwrap();
    for (key, retry) in [
        (Key::new("k").unwrap(), None),
        (longest.clone(), Some((0, 0))),
        (longest, Some((u64::MAX, u64::MAX))),
    ] {
        let retry = retry.map(|(epoch, ago_ms)| Retry {
            epoch: Epoch::new(epoch),
            ago_ms,
        });
        let keyed = publish().keyed(key.clone(), retry);
        let mut decoder = frame::Decoder::new(200);
        decoder.push(keyed.encode());
        let frame = decoder.next().unwrap().unwrap();
        let PublisherFrame::Publish(read) = PublisherFrame::decode(frame).unwrap() else {
            panic!("a publish stays one");
        };
        assert_eq!((read.key(), read.retry()), (Some(&key), retry));
        assert_eq!(read, keyed);
    }
    assert_eq!((publish().key(), publish().retry()), (None, None));
}

// QP-8.11, QP-8.12
#[test]
fn invalid_keys_and_retries_are_refused() {
    let with = |flags: u8, rest: &[u8]| Frame {
        kind: 0x31,
        body: [&[flags, 1, b'a', 0], rest].concat().into(),
    };
    let code = |frame| PublisherFrame::decode(frame).unwrap_err().code();
    let too_long = [&[65][..], &[7; 65]].concat();
    let overflow = [&[1, 7][..], &[0xff; 10]].concat();
    for (flags, rest, why) in [
        (2, &[][..], "no length of the key"),
        (2, &[0], "a key of no bytes"),
        (2, &[2, 7], "a key that does not end"),
        (2, &too_long, "a key of 65 bytes"),
        (4, &[1, 1], "a retry without a key"),
        (6, &[1, 7], "no epoch"),
        (6, &[1, 7, 5], "no age"),
        (6, &[1, 7, 5, 0x80], "an age that does not end"),
        (6, &overflow, "an epoch over 64 bits"),
    ] {
        let frame = with(flags, rest);
        assert_eq!(code(frame), Code::PROTOCOL_VIOLATION, "{why}");
    }
    assert!(Key::new("").is_err() && Key::new(vec![0; 65]).is_err());
}

#[test]
fn an_acknowledgement_counts_its_events() {
    let count = |first, last| {
        Acknowledged {
            through: 0,
            first,
            last,
        }
        .events()
    };
    assert_eq!(
        [count(5, 5), count(5, 9), count(1, 0), count(9, 2)],
        [1, 5, 0, 0]
    );
}

// QP-8.5
#[test]
fn an_acknowledgement_without_seqs_is_of_long_ago() {
    for (first, last, long_ago) in [(0, 0, true), (1, 0, false), (0, 1, false), (5, 5, false)] {
        let acknowledged = Acknowledged {
            through: 7,
            first,
            last,
        };
        assert_eq!(acknowledged.is_long_ago(), long_ago, "{acknowledged:?}");
        assert!(!long_ago || acknowledged.events() == 0);
    }
}

#[test]
fn the_id_of_a_publisher_is_not_shown() {
    assert_eq!(
        format!("{:?}", PublisherId::new([7; 16])),
        "PublisherId(..)"
    );
}

#[test]
fn room_for_a_publish_is_made_once() {
    let (data, key) = ([7; 300], Key::new("key").unwrap());
    let room = 8 + "ride.7".len() + "created".len() + data.len();

    let mut out = BytesMut::new();
    publish::write(&mut out, true, "ride.7", "created", &data);
    assert_eq!((out.capacity(), out.len()), (room, room));

    let mut out = BytesMut::new();
    let keyed = (&key, None);
    publish::write_keyed(&mut out, false, "ride.7", "created", keyed, &data);
    // The longest key, with its length, and the longest mark of a retry.
    assert_eq!(out.capacity(), room + 1 + 64 + 2 * 10);

    let kind = Kind::new("created").unwrap();
    let publish = Publish::new(false, "ride.7", &kind, Bytes::copy_from_slice(&data));
    let frame = publish.encode().try_into_mut().unwrap();
    assert_eq!((frame.capacity(), frame.len()), (room, room));
}

// QP-8.1
#[test]
fn a_publisher_has_a_name_of_at_most_64_bytes() {
    for (len, is_read) in [(0, true), (64, true), (65, false)] {
        let open = PublisherFrame::OpenPublisher(publish::OpenPublisher {
            ordered: true,
            scope: KeyScope::Named {
                id: PublisherId::new([7; 16]),
                name: "n".repeat(len),
            },
        });
        let mut decoder = frame::Decoder::new(1_000);
        decoder.push(open.encode());
        let frame = decoder.next().unwrap().unwrap();
        let read = PublisherFrame::decode(frame);
        assert_eq!(read == Ok(open), is_read, "{len}: {read:?}");
    }
}

#[test]
fn a_topic_without_a_length_is_the_callers_mistake() {
    let long = "t".repeat(256);
    for topic in ["", &long] {
        let made = || Publish::new(false, topic, &Kind::MESSAGE, Bytes::new());
        assert!(std::panic::catch_unwind(made).is_err());
        let written = || publish::write(&mut BytesMut::new(), false, topic, "message", b"");
        assert!(std::panic::catch_unwind(written).is_err());
    }
}
