//! Events as text, clause by clause.

use std::time::Duration;

use super::*;
use crate::batch::Builder;
use crate::event_id::{Epoch, EventId};
use crate::notice::{Gap, Reset};
use crate::stream::GapReason;
use crate::timestamp::Timestamp;

const EPOCH: Epoch = Epoch::new(1);

fn id(seq: u64) -> EventId {
    EventId::new(EPOCH, seq)
}

fn written(kind: &str, data: &[u8], write: impl FnOnce(&TextEvent<'_>, &mut Vec<u8>)) -> String {
    let mut builder = Builder::new();
    builder.push(7, Timestamp::from_micros(5), "ride.7", kind, data);
    let batch = builder.finish();
    let event = batch.iter().next().unwrap();
    let mut out = Vec::new();
    write(&TextEvent::of(&event, EPOCH), &mut out);
    String::from_utf8(out).unwrap()
}

fn plain(kind: &str, data: &[u8]) -> String {
    written(kind, data, |event, out| {
        event.write_sse(SseForm::Plain, out)
    })
}

fn json(kind: &str, data: &[u8]) -> String {
    written(kind, data, |event, out| event.write_sse(SseForm::Json, out))
}

fn line(kind: &str, data: &[u8]) -> String {
    written(kind, data, |event, out| event.write_line(out))
}

#[test]
fn an_event_is_a_block_with_its_id() {
    assert_eq!(plain("message", b"Ada"), "id: 1-7\ndata: Ada\n\n");
    assert_eq!(plain("made", b"Ada"), "id: 1-7\nevent: made\ndata: Ada\n\n");
    assert_eq!(
        plain("message", b" Ada"),
        "id: 1-7\ndata:  Ada\n\n",
        "a space is kept"
    );
}

#[test]
fn empty_data_is_an_event_too() {
    assert_eq!(plain("message", b""), "id: 1-7\ndata: \n\n");
}

/// QP-14.4
#[test]
fn line_breaks_of_any_kind_separate_lines() {
    for (data, lines) in [
        (&b"a\nb"[..], &["a", "b"][..]),
        (b"a\r\nb", &["a", "b"]),
        (b"a\rb", &["a", "b"]),
        (b"a\n", &["a", ""]),
        (b"\n", &["", ""]),
        (b"a\n\rb", &["a", "", "b"]),
        (b"id: x\n\nevent: y", &["id: x", "", "event: y"]),
    ] {
        let fields: String = lines.iter().map(|line| format!("data: {line}\n")).collect();
        assert_eq!(
            plain("message", data),
            format!("id: 1-7\n{fields}\n"),
            "{data:?}"
        );
    }
}

/// QP-14.3
#[test]
fn kinds_that_mean_something_else_are_renamed() {
    for kind in ["error", "open", "qsse.gap", "qsse."] {
        assert!(is_reserved_kind(kind));
        assert!(
            plain(kind, b"1").contains(&format!("\nevent: x-{kind}\n")),
            "{kind}"
        );
        let json = json(kind, b"1");
        assert!(json.contains(&format!("\nevent: x-{kind}\n")), "{json}");
        assert!(
            json.contains(&format!("\"kind\":\"{kind}\"")),
            "the true one is inside"
        );
    }
    for kind in ["errors", "message", "qsse", "x-error", "Error"] {
        assert!(!is_reserved_kind(kind), "{kind}");
    }
}

/// QP-14.5
#[test]
fn other_bytes_are_base64_of_their_own_kind() {
    assert_eq!(
        plain("made", b"\xff\0"),
        "id: 1-7\nevent: qsse.binary\ndata: /wA=\n\n"
    );
    let json = json("made", b"\xff\0");
    assert!(json.starts_with("id: 1-7\nevent: made\ndata: {"), "{json}");
    assert!(
        json.ends_with(",\"data\":\"/wA=\",\"encoding\":\"base64\"}\n\n"),
        "{json}"
    );
}

/// QP-14.6
#[test]
fn json_has_the_topic_and_the_exact_data() {
    assert_eq!(
        json("message", b"a\r\nb"),
        "id: 1-7\ndata: {\"topic\":\"ride.7\",\"kind\":\"message\",\"time\":\"1970-01-01T00:00:00.000005Z\",\
         \"data\":\"a\\r\\nb\"}\n\n"
    );
}

/// QP-14.9
#[test]
fn a_line_has_the_keys_in_their_order() {
    assert_eq!(
        line("message", b"a\"\n\x1b"),
        "{\"id\":\"1-7\",\"topic\":\"ride.7\",\"kind\":\"message\",\"time\":\"1970-01-01T00:00:00.000005Z\",\
         \"data\":\"a\\\"\\n\\u001b\"}\n"
    );
    assert!(line("made", b"\xff").ends_with("\"data\":\"/w==\",\"encoding\":\"base64\"}\n"));
}

/// QP-14.2
#[test]
fn what_is_not_an_event_dispatches_nothing() {
    let mut out = Vec::new();
    write_retry(Duration::from_millis(2_500), &mut out);
    write_position(id(9), &mut out);
    write_comment(&mut out);
    assert_eq!(out, b"retry: 2500\n\nid: 1-9\n\n:\n\n");
}

/// QP-14.7, QP-14.8, QP-14.10
#[test]
fn notices_are_the_same_in_both_forms() {
    let gap = Gap::new(id(3), id(9), 6, GapReason::Retention);
    let reset = Reset::new(Some(id(3)), id(0));
    let end = TextNotice::End {
        code: 8,
        message: "come back",
        retry: true,
    };
    for (notice, name, id, body) in [
        (
            TextNotice::Gap(&gap),
            "gap",
            "id: 1-9\n",
            "{\"from\":\"1-4\",\"to\":\"1-9\",\"at_most\":6,\"reason\":\"the server no longer keeps them\"}",
        ),
        (
            TextNotice::Reset(&reset),
            "reset",
            "id: 1-0\n",
            "{\"after\":\"1-3\",\"position\":\"1-0\"}",
        ),
        (
            end,
            "end",
            "",
            "{\"code\":8,\"message\":\"come back\",\"retry\":true}",
        ),
    ] {
        let (mut sse, mut line) = (Vec::new(), Vec::new());
        notice.write_sse(&mut sse);
        notice.write_line(&mut line);
        let sse = String::from_utf8(sse).unwrap();
        assert_eq!(sse, format!("{id}event: qsse.{name}\ndata: {body}\n\n"));
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line, format!("{{\"{name}\":{body}}}\n"));
    }
}
