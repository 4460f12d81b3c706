//! Publishes: their frames, one behind the other, and what is wrong with some.

use bytes::{Bytes, BytesMut};
use qsse_proto::publish::{self, Acknowledged, Publish, PublisherFrame};
use qsse_proto::{Code, Frame, Kind, frame};

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
fn a_publish_that_is_malformed() {
    for body in [
        &[4, 1, b'a', 0][..],
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

#[test]
fn how_many_events_were_acknowledged() {
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
