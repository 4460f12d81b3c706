//! What the Go library writes, and what a stranger might.

use super::*;
use crate::code::Code;
use bytes::Bytes;
use proptest::prelude::*;

/// Everything that the lines of `bytes` give, fed in pieces of `size`.
fn lines(bytes: &[u8], size: usize, max_len: usize) -> Result<Vec<Bytes>, LineError> {
    let mut decoder = LineDecoder::new(max_len);
    let mut lines = Vec::new();
    for chunk in bytes.chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(line) = decoder.next()? {
            lines.push(line);
        }
    }
    lines.extend(decoder.finish());
    Ok(lines)
}

#[test]
fn lines_are_the_same_in_pieces_of_any_size() {
    for size in 1..12 {
        let found = lines(b"one\n\ntwo\nrest", size, 4).unwrap();
        assert_eq!(found, ["one", "", "two", "rest"], "pieces of {size}");
    }
}

#[test]
fn an_endless_line_is_refused_when_it_passes_the_limit() {
    for size in [1, 3, 100] {
        assert_eq!(lines(&[b'x'; 64], size, 64).unwrap().len(), 1);
        let error = lines(&[b'x'; 65], size, 64).unwrap_err();
        assert_eq!(error, LineError::TooLong { limit: 64 });
    }
    let mut decoder = LineDecoder::new(4);
    decoder.push(Bytes::from_static(b"12345\nok\n"));
    assert!(decoder.next().is_err());
    assert!(decoder.next().is_err(), "it is final");
}

#[test]
fn an_offer_is_read_and_written_as_go_does() {
    let line = b"{\"token\":\"secret\",\"topics\":[\"people\",\"ride.*\"]}\n";
    let offer = Offer::parse(line).unwrap();
    assert_eq!(offer, Offer::new("secret", ["people", "ride.*"]));
    assert_eq!(offer.to_line(), line);
    assert!(!format!("{offer:?}").contains("secret"));
}

#[test]
fn absent_fields_are_read_as_empty() {
    for line in [
        "{}",
        r#"{"token":null,"topics":null}"#,
        r#"{"other":[{"x":1}]}"#,
    ] {
        assert_eq!(
            Offer::parse(line.as_bytes()),
            Ok(Offer::default()),
            "{line}"
        );
        assert_eq!(
            EventLine::parse(line.as_bytes()),
            Ok(EventLine::default()),
            "{line}"
        );
    }
    assert_eq!(Offer::default().to_line(), b"{}\n");
}

#[test]
fn invalid_utf8_is_refused() {
    let error = Offer::parse(b"{\"token\":\"\xff\"}").unwrap_err();
    assert_eq!(error, LineError::NotUtf8 { offset: 10 });
}

#[test]
fn deep_json_is_refused() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            Offer::parse(format!(r#"{{"other":{value}}}"#).as_bytes())
        };
        assert_eq!(nested(DEPTH - 1), Ok(Offer::default()));
        assert_eq!(nested(DEPTH), Err(LineError::TooDeep));
        assert_eq!(nested(1_000), Err(LineError::TooDeep));
    }
    // Brackets in texts do not nest, and an escaped quote does not end one.
    let text = format!(r#"{{"token":"\"{}"}}"#, "[".repeat(100));
    assert_eq!(Offer::parse(text.as_bytes()).unwrap().token().len(), 101);
}

#[test]
fn wrong_types_are_refused_without_quoting_them() {
    for line in [
        r#"{"token":7}"#,
        r#"{"topics":"secret"}"#,
        r#"{"topics":["a",7]}"#,
        r#"{"topics":{"secret":1}}"#,
        r#"{"token":"a","token":"b"}"#,
        r#"["secret",7]"#,
        "7",
    ] {
        let error = Offer::parse(line.as_bytes()).unwrap_err();
        assert!(
            matches!(error, LineError::WrongShape { .. }),
            "{line}: {error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    for line in ["", "{", "{\"token\":\"secret", "nul", "{} {}"] {
        let error = Offer::parse(line.as_bytes()).unwrap_err();
        assert!(
            matches!(error, LineError::NotJson { .. }),
            "{line}: {error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    for line in [r#"{"data":"?"}"#, r#"{"data":"aGk"}"#, r#"{"data":[1]}"#] {
        let error = EventLine::parse(line.as_bytes()).unwrap_err();
        assert!(matches!(error, LineError::WrongShape { .. }), "{line}");
    }
}

#[test]
fn an_error_is_read_and_written_as_go_does() {
    let error = ErrorData::new(Code::TOPIC_NOT_AVAILABLE).with_topic("ride");
    assert_eq!(error.to_json(), br#"{"code":2,"data":{"topic":"ride"}}"#);
    let line = EventLine::error(&error);
    assert_eq!(line.topic(), "error");
    let read = EventLine::parse(&line.to_line()).unwrap();
    assert_eq!(read.as_error(), Some(error));
    assert_eq!(EventLine::new("other", "{}").as_error(), None);
    let broken = EventLine::new("error", "not json").as_error().unwrap();
    assert_eq!((broken.code(), broken.data().len()), (Code::UNKNOWN, 0));
}

#[test]
fn only_five_codes_are_sent() {
    for code in ErrorData::CODES {
        assert_eq!(ErrorData::new(code).code(), code);
    }
    assert_eq!(ErrorData::new(Code::BUSY).code(), Code::UNKNOWN);
    assert_eq!(
        ErrorData::parse(b"{\"code\":99}").unwrap().code(),
        Code::new(99)
    );
}

proptest! {
    #[test]
    fn events_round_trip(topic in ".{0,40}", data: Vec<u8>) {
        let event = EventLine::new(topic, data);
        let line = event.to_line();
        prop_assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
        prop_assert_eq!(EventLine::parse(&line), Ok(event));
    }

    #[test]
    fn any_line_is_read_without_a_panic(line: Vec<u8>, json in r#"[\[\]{}":,a0\\ ]{0,60}"#) {
        let _ = (Offer::parse(&line), EventLine::parse(&line), ErrorData::parse(&line));
        let _ = (Offer::parse(json.as_bytes()), EventLine::parse(json.as_bytes()));
    }

    #[test]
    fn every_cut_of_an_offer_is_an_error(cut in 0..47usize) {
        let line = br#"{"token":"secret","topics":["people","ride.*"]}"#;
        prop_assert!(Offer::parse(&line[..cut]).is_err());
    }
}

#[test]
fn what_was_sent_can_be_asked_for() {
    let event = EventLine::parse(br#"{"topic":"ride.7","data":"QWRh"}"#).unwrap();
    assert_eq!((event.topic(), &event.data()[..]), ("ride.7", &b"Ada"[..]));
    let error = ErrorData::parse(br#"{"code":3,"data":{"retry":true}}"#).unwrap();
    assert_eq!(error.data()["retry"], true);
}

#[test]
fn an_error_says_what_it_is_about() {
    let lost = ErrorData::parse(&ErrorData::lost().to_json()).unwrap();
    assert!(lost.is_lost());
    assert_eq!((lost.code(), lost.topic()), (Code::UNKNOWN, None));
    let other = ErrorData::new(Code::UNKNOWN).with_topic("ride.7");
    let other = ErrorData::parse(&other.to_json()).unwrap();
    assert!(!other.is_lost());
    assert_eq!(other.topic(), Some("ride.7"));
}

#[test]
fn an_offer_shows_its_topics_and_not_its_token() {
    let offer = Offer::new("secret", ["people", "ride.*"]);
    assert_eq!(offer.topics(), ["people", "ride.*"]);
    let shown = format!("{offer:?}");
    assert!(
        shown.contains("ride.*") && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn brackets_side_by_side_are_not_deep() {
    let siblings = vec!["[{}]"; 4 * DEPTH].join(",");
    let line = format!(r#"{{"token":"t","other":[{siblings}]}}"#);
    assert_eq!(
        Offer::parse(line.as_bytes()),
        Ok(Offer::new("t", [] as [&str; 0]))
    );
}

#[test]
fn room_for_a_line_is_made_once() {
    let mut out = Vec::new();
    write_event(&mut out, "people", &[7; 301]);
    // 101 groups of three bytes, the topic, and what stands around them.
    assert_eq!(out.capacity(), 404 + 6 + 32);
    let line = EventLine::parse(&out).unwrap();
    assert_eq!(line, EventLine::new("people", vec![7; 301]));
}

#[test]
fn limits_are_those_of_the_document() {
    assert_eq!(OFFER_BYTES, 32_768);
    assert_eq!(EVENT_LINE_BYTES, 1_398_104 + 4_096);
}
