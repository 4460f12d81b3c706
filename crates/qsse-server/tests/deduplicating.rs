//! Publishes with a key, frame by frame and in process: one event for each, or a clear no.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use qsse_proto::control::{RefreshToken, ServerFrame, Token};
use qsse_proto::publish::{
    AckFrame, Key, KeyScope, OpenPublisher, Publish, PublisherFrame, PublisherId, Tried,
};
use qsse_proto::{Code, Epoch, Frame, Kind};
use qsse_server::{
    Action, Authenticator, Authorizer, Config, Credentials, Denied, LogConfig, Principal,
    PublishError, Scope, Server, ServerBuilder,
};
use qsse_topic::PatternRef;
use support::{RawClient, RawPublisher};

const EPOCH: u64 = 7;

/// Who shows a token is who it says; the topic `closed` may not be written to.
struct ByToken;

#[async_trait]
impl Authenticator for ByToken {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        Ok(Principal::new(credentials.token.unwrap_or("nobody")))
    }
}

#[async_trait]
impl Authorizer for ByToken {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        what.as_str() != "closed"
    }
}

fn server() -> ServerBuilder {
    support::server()
        .epoch(EPOCH)
        .authenticator(ByToken)
        .authorizer(ByToken)
}

/// A server that knows no more than so many keys.
async fn forgetful(keys: usize) -> Server {
    let log = LogConfig::default().dedup(Duration::from_secs(120), keys);
    server().config(Config::default().log(log)).await.unwrap()
}

async fn publisher(server: &Server, token: &str, name: &str) -> (RawClient, RawPublisher) {
    let client = RawClient::connect_with(server, Some(token)).await.0;
    let publisher = client.publisher_named(name, false).await;
    (client, publisher)
}

/// Publish through `.0`: seqs `.1 ..= .2`.
async fn acknowledged(publisher: &mut RawPublisher) -> (u64, u64, u64) {
    match publisher.next().await {
        AckFrame::Acknowledged(ack) => (ack.through, ack.first, ack.last),
        other => panic!("an acknowledgement, not {other:?}"),
    }
}

async fn refused(publisher: &mut RawPublisher) -> (u64, Code) {
    match publisher.next().await {
        AckFrame::PublishRefused(refused) => (refused.number, refused.code),
        other => panic!("a refusal, not {other:?}"),
    }
}

// QP-8.11
#[tokio::test]
async fn a_key_that_was_taken_gets_the_first_seq_on_every_stream_and_connection() {
    let server = server().await.unwrap();
    let (client, mut first) = publisher(&server, "ada", "one").await;
    first.queue_keyed("k", None, "0");
    assert_eq!(acknowledged(&mut first).await, (0, 1, 1));
    let mut again = client.publisher_named("one", true).await;
    again.queue_keyed("k", None, "other data");
    assert_eq!(acknowledged(&mut again).await, (0, 1, 1));
    let (_client, mut elsewhere) = publisher(&server, "ada", "one").await;
    elsewhere.queue_keyed("k", Some((EPOCH, 10)), "0");
    assert_eq!(acknowledged(&mut elsewhere).await, (0, 1, 1));
    assert_eq!(server.log_stats().head, 1);
    #[cfg(feature = "prometheus")]
    assert!(server.metrics_text().contains("qsse_qsse_duplicates 2"));
}

// QP-8.5, QP-8.11: in one turn of the sequencer.
#[tokio::test]
async fn a_key_twice_in_one_turn_makes_one_event_and_answers_stay_in_order() {
    let server = server().await.unwrap();
    let (_client, mut publisher) = publisher(&server, "ada", "").await;
    for key in ["a", "b", "b", "a", "c"] {
        publisher.queue_keyed(key, None, key);
    }
    publisher.queue("a", false, b"without");
    publisher.queue("a", false, b"a key");
    for ack in [(1, 1, 2), (2, 2, 2), (3, 1, 1), (6, 3, 5)] {
        assert_eq!(acknowledged(&mut publisher).await, ack);
    }
    // Duplicates whose seqs follow each other share an answer too.
    for key in ["a", "b", "c"] {
        publisher.queue_keyed(key, Some((EPOCH, 5)), key);
    }
    assert_eq!(acknowledged(&mut publisher).await, (9, 1, 3));
    assert_eq!(server.log_stats().head, 5);
}

// QP-8.7, QP-8.11
#[tokio::test]
async fn a_publish_to_a_pattern_is_known_by_its_key_as_a_whole() {
    let server = server().topics(["x.1", "x.2", "a", "y.*"]).await.unwrap();
    let (_client, mut publisher) = publisher(&server, "ada", "").await;
    let matching = |pattern, key: &'static str| {
        let publish = Publish::new(true, pattern, &Kind::MESSAGE, Bytes::new());
        publish.keyed(Key::new(key).unwrap(), None).encode()
    };
    for (pattern, key) in [("x.*", "both"), ("x.*", "both"), ("y.*", "none")] {
        publisher.writer.queue(matching(pattern, key));
    }
    assert_eq!(acknowledged(&mut publisher).await, (0, 1, 2));
    assert_eq!(acknowledged(&mut publisher).await, (1, 1, 2));
    assert_eq!(acknowledged(&mut publisher).await, (2, 1, 0));
    publisher.writer.queue(matching("y.*", "none"));
    publisher.queue_keyed("both", None, "a topic this time");
    assert_eq!(acknowledged(&mut publisher).await, (3, 1, 0));
    assert_eq!(acknowledged(&mut publisher).await, (4, 1, 2));
    assert_eq!(server.log_stats().head, 2);
}

// QP-8.13
#[tokio::test]
async fn a_retry_that_cannot_be_judged_is_refused_and_never_appended() {
    let server = forgetful(2).await;
    let (_client, mut publisher) = publisher(&server, "ada", "").await;
    publisher.queue_keyed("new", Some((EPOCH, u64::MAX)), "nothing was forgotten yet");
    assert_eq!(acknowledged(&mut publisher).await, (0, 1, 1));
    for (number, key) in ["a", "b"].into_iter().enumerate() {
        publisher.queue_keyed(key, None, key);
        let seq = number as u64 + 2;
        assert_eq!(acknowledged(&mut publisher).await, (seq - 1, seq, seq));
    }
    let other_epoch = Some((EPOCH + 1, 0));
    for (number, (key, retry)) in [
        ("new", Some((EPOCH, u64::MAX))),
        ("new", Some((EPOCH, 0))),
        ("new", other_epoch),
        ("never seen", other_epoch),
    ]
    .into_iter()
    .enumerate()
    {
        publisher.queue_keyed(key, retry, "");
        let refusal = (number as u64 + 3, Code::OUTCOME_UNKNOWN);
        assert_eq!(refused(&mut publisher).await, refusal, "{key} {retry:?}");
    }
    assert_eq!(server.log_stats().head, 3);
    publisher.queue_keyed("b", Some((EPOCH, u64::MAX)), "");
    assert_eq!(acknowledged(&mut publisher).await, (7, 3, 3), "known");
    publisher.queue_keyed("b", other_epoch, "");
    let ack = acknowledged(&mut publisher).await;
    assert_eq!(ack, (8, 3, 3), "known, whatever log it was tried for");
    publisher.queue_keyed("new", None, "no retry");
    assert_eq!(acknowledged(&mut publisher).await, (9, 4, 4));
}

// QP-8.4, QP-8.13
#[tokio::test]
async fn behind_an_unknown_outcome_an_ordered_stream_takes_nothing() {
    let server = server().await.unwrap();
    let (client, mut unordered) = publisher(&server, "ada", "").await;
    let mut ordered = client.publisher_named("", true).await;
    for publisher in [&mut ordered, &mut unordered] {
        publisher.queue("a", false, b"0");
        publisher.queue_keyed("k", Some((1, 0)), "1");
        publisher.queue("a", false, b"2");
        publisher.queue("not..good", false, b"3");
    }
    assert_eq!(acknowledged(&mut ordered).await, (0, 1, 1));
    assert_eq!(refused(&mut ordered).await, (1, Code::OUTCOME_UNKNOWN));
    assert_eq!(refused(&mut ordered).await, (2, Code::FAILED_BEFORE));
    assert_eq!(refused(&mut ordered).await, (3, Code::FAILED_BEFORE));
    assert_eq!(acknowledged(&mut unordered).await, (0, 2, 2));
    assert_eq!(refused(&mut unordered).await, (1, Code::OUTCOME_UNKNOWN));
    assert_eq!(acknowledged(&mut unordered).await, (2, 3, 3));
    assert_eq!(refused(&mut unordered).await, (3, Code::INVALID_TOPIC));
}

// QP-8.11
#[tokio::test]
async fn a_key_belongs_to_a_principal_and_a_publisher_name() {
    let server = server().await.unwrap();
    let mut seq = 0;
    for (token, name) in [("ada", ""), ("ada", "x"), ("bob", ""), ("adax", "")] {
        let (_client, mut publisher) = publisher(&server, token, name).await;
        publisher.queue_keyed("k", None, "");
        seq += 1;
        assert_eq!(acknowledged(&mut publisher).await, (0, seq, seq));
    }
    // The server's own keys are apart from all of them.
    assert_eq!(server.publish("a", "").key("k").await.unwrap().seq(), 5);
    // Whose token it is may change under a publisher.
    let (mut client, mut publisher) = publisher(&server, "ada", "").await;
    for (number, (token, seq)) in [("ada", 1), ("bob", 3), ("ada", 1)].into_iter().enumerate() {
        let token = Token::new(token).unwrap();
        client.send(RefreshToken { token }).await;
        assert!(matches!(client.next().await, ServerFrame::TokenAccepted(_)));
        publisher.queue_keyed("k", None, "");
        assert_eq!(
            acknowledged(&mut publisher).await,
            (number as u64, seq, seq)
        );
    }
}

/// Lets everybody publish.
struct Everybody;

#[async_trait]
impl Authorizer for Everybody {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        true
    }
}

// QP-8.11
#[tokio::test]
async fn tokens_that_a_closure_accepts_do_not_share_keys() {
    let server = support::server().authorizer(Everybody);
    let server = server.authenticator_fn(|_| true).await.unwrap();
    let mut seq = 0;
    for token in [Some("driver"), Some("office"), None, None, Some("")] {
        let client = RawClient::connect_with(&server, token).await.0;
        for repeated in [false, true] {
            let mut publisher = client.publisher(repeated).await;
            publisher.queue_keyed("1", None, "");
            seq += u64::from(!repeated);
            assert_eq!(acknowledged(&mut publisher).await, (0, seq, seq));
        }
    }
    // The same token, or without one the same name, is the same publisher over another connection.
    for (token, name, seqs) in [
        (Some("office"), "", [2, 2]),
        (Some("office"), "x", [6, 6]),
        (None, "x", [7, 7]),
    ] {
        for seq in seqs {
            let client = RawClient::connect_with(&server, token).await.0;
            let mut publisher = client.publisher_named(name, false).await;
            publisher.queue_keyed("1", None, "");
            assert_eq!(acknowledged(&mut publisher).await, (0, seq, seq), "{name}");
        }
    }
}

// QP-8.11: one that connects again, perhaps with another token.
#[tokio::test]
async fn a_client_is_known_by_its_own_id_whatever_its_token() {
    let server = support::server().authorizer(Everybody);
    let server = server.authenticator_fn(|_| true).await.unwrap();
    let id = PublisherId::new([7; 16]);
    for token in [Some("old"), Some("new"), None] {
        let client = RawClient::connect_with(&server, token).await.0;
        for scope in [KeyScope::Own { id }, KeyScope::Own { id: client.id }] {
            let (own, seq) = (scope == KeyScope::Own { id }, server.log_stats().head);
            let mut publisher = client.publisher_as(scope, false).await;
            publisher.queue_keyed("1", None, "");
            let seq = if own { 1 } else { seq + 1 };
            assert_eq!(acknowledged(&mut publisher).await, (0, seq, seq));
        }
    }
}

fn numbered(id: u8, first: u64, tried: Option<(u64, u64, u64)>) -> KeyScope {
    let tried = tried.map(|(through, epoch, ago_ms)| Tried {
        through,
        epoch: Epoch::new(epoch),
        ago_ms,
    });
    KeyScope::Numbered {
        id: PublisherId::new([id; 16]),
        first,
        tried,
    }
}

// QP-8.17, QP-8.18: over streams and connections, and whoever the principal is.
#[tokio::test]
async fn a_number_that_was_taken_is_acknowledged_and_taken_no_second_time() {
    let server = server().await.unwrap();
    let client = RawClient::connect_with(&server, Some("ada")).await.0;
    let mut first = client.publisher_as(numbered(1, 1, None), true).await;
    for data in ["1", "2", "3"] {
        first.queue("a", false, data.as_bytes());
    }
    assert_eq!(acknowledged(&mut first).await, (2, 1, 3));
    let client = RawClient::connect_with(&server, Some("bob")).await.0;
    let again = numbered(1, 2, Some((4, EPOCH, 50)));
    let mut again = client.publisher_as(again, true).await;
    for data in ["2", "3", "4", "5"] {
        again.queue("a", false, data.as_bytes());
    }
    assert_eq!(acknowledged(&mut again).await, (3, 2, 5));
    // The old stream, which still brings what it had.
    first.queue("a", false, b"4");
    assert_eq!(acknowledged(&mut first).await, (3, 4, 4));
    assert_eq!(server.log_stats().head, 5);
    assert_eq!(server.log_stats().dedup_publishers, 1);
    // Another one with the same numbers is another one.
    let mut other = client.publisher_as(numbered(2, 1, None), true).await;
    other.queue("a", false, b"1");
    assert_eq!(acknowledged(&mut other).await, (0, 6, 6));
}

// QP-8.18
#[tokio::test]
async fn what_was_tried_for_another_log_or_a_forgotten_publisher_has_an_unknown_outcome() {
    let log = LogConfig::default().remember_publishers(Duration::from_secs(600), 1);
    let server = server().config(Config::default().log(log)).await.unwrap();
    let client = RawClient::connect_with(&server, Some("ada")).await.0;
    for (id, tried, expected) in [
        (1, None, Ok(1)),
        // The only one that is known is another one by now.
        (2, None, Ok(2)),
        (1, Some((1, EPOCH, 600_000)), Err(Code::OUTCOME_UNKNOWN)),
        (3, Some((1, EPOCH + 1, 0)), Err(Code::OUTCOME_UNKNOWN)),
        (2, Some((1, EPOCH + 1, 0)), Ok(2)),
    ] {
        let mut publisher = client.publisher_as(numbered(id, 1, tried), true).await;
        publisher.queue("a", false, b"");
        match expected {
            Ok(seq) => assert_eq!(acknowledged(&mut publisher).await, (0, seq, seq)),
            Err(code) => assert_eq!(refused(&mut publisher).await, (0, code)),
        }
    }
    assert_eq!(server.log_stats().head, 2);
}

// QP-8.17
#[tokio::test]
async fn a_numbered_stream_is_ordered_and_has_no_keys() {
    let server = server().await.unwrap();
    for (ordered, first, key) in [(false, 1, false), (true, 1, true), (true, u64::MAX, false)] {
        let client = RawClient::connect_with(&server, Some("ada")).await.0;
        let mut publisher = client.publisher_as(numbered(1, first, None), ordered).await;
        match key {
            true => publisher.queue_keyed("k", None, ""),
            false => publisher.queue("a", false, b""),
        }
        let _ = publisher.writer.flush().await;
        assert_eq!(client.closed().await.0, Code::PROTOCOL_VIOLATION);
    }
    assert_eq!(server.log_stats().head, 0);
}

// QP-8.15
#[tokio::test]
async fn the_welcome_tells_whether_keys_count_as_they_did() {
    let server = support::server().authorizer(Everybody);
    let server = server.authenticator_fn(|_| true).await.unwrap();
    let mut seen = Vec::new();
    for token in [Some("old"), Some("new"), Some("old"), None] {
        let (client, welcome) = RawClient::connect_with(&server, token).await;
        seen.push((client, welcome.identity));
    }
    let [(mut old, first), (_, new), (_, again), (_, nobody)] = seen.try_into().ok().unwrap();
    assert_eq!((first, nobody), (again, 0));
    assert!(first != new && ![first, new].contains(&0));
    // Who refreshes its token stays who it is.
    let token = Token::new("new").unwrap();
    old.send(RefreshToken { token }).await;
    assert!(matches!(old.next().await, ServerFrame::TokenAccepted(_)));
    let mut publisher = old.publisher(false).await;
    publisher.queue_keyed("1", None, "");
    assert_eq!(acknowledged(&mut publisher).await, (0, 1, 1));
    let (client, _) = RawClient::connect_with(&server, Some("old")).await;
    let mut publisher = client.publisher(false).await;
    publisher.queue_keyed("1", None, "");
    assert_eq!(acknowledged(&mut publisher).await, (0, 1, 1));
}

// QP-8.11
#[tokio::test]
async fn a_duplicate_on_a_topic_that_is_closed_to_the_client_is_refused() {
    let server = server().await.unwrap();
    let (_client, mut publisher) = publisher(&server, "ada", "").await;
    publisher.queue_keyed("k", None, "");
    assert_eq!(acknowledged(&mut publisher).await, (0, 1, 1));
    let closed = Publish::new(false, "closed", &Kind::MESSAGE, Bytes::new());
    let closed = closed.keyed(Key::new("k").unwrap(), None);
    publisher.writer.queue(closed.encode());
    assert_eq!(refused(&mut publisher).await, (1, Code::NOT_AUTHORISED));
}

// QP-8.1, QP-8.11, QP-8.12
#[tokio::test]
async fn keys_and_names_that_are_none_end_the_connection() {
    let server = server().await.unwrap();
    let head = |flags: u8| vec![flags, 1, b'a', 0];
    for (why, body) in [
        ("a key of no bytes", [head(2), vec![0]].concat()),
        ("a key of 65 bytes", [head(2), vec![65; 66]].concat()),
        ("a retry without a key", [head(4), vec![1, 1]].concat()),
        (
            "a retry that ends early",
            [head(6), vec![1, 1, 0x80]].concat(),
        ),
    ] {
        let (client, mut publisher) = publisher(&server, "ada", "").await;
        let body = Bytes::from(body);
        publisher.writer.queue(Frame { kind: 0x31, body }.encode());
        publisher.writer.flush().await.unwrap();
        assert_eq!(client.closed().await.0, Code::PROTOCOL_VIOLATION, "{why}");
    }
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher_named(&"x".repeat(65), false).await;
    publisher.writer.flush().await.unwrap();
    assert_eq!(client.closed().await.0, Code::PROTOCOL_VIOLATION);
    assert_eq!(server.log_stats().head, 0);
    let name = "x".repeat(64);
    let longest = PublisherFrame::from(OpenPublisher {
        ordered: false,
        scope: KeyScope::Named {
            id: PublisherId::default(),
            name,
        },
    });
    let client = RawClient::connect(&server).await;
    let (send, _recv) = client.connection.open_bi().await.unwrap();
    let mut writer = qsse_transport::FrameWriter::new(send);
    writer.send(longest.encode()).await.unwrap();
    let mut other = client.publisher(false).await;
    other.queue("a", false, b"the connection lives");
    assert_eq!(acknowledged(&mut other).await, (0, 1, 1));
}

#[tokio::test]
async fn the_welcome_tells_for_how_long_keys_are_known() {
    let server = forgetful(7).await;
    let (_client, welcome) = RawClient::connect_with(&server, None).await;
    assert_eq!((welcome.dedup_window_ms, welcome.dedup_keys), (120_000, 7));
    let publishers = (welcome.publisher_window_ms, welcome.publishers);
    assert_eq!(publishers, (600_000, 10_000));
}

#[tokio::test]
async fn a_key_in_process_makes_one_event() {
    let server = forgetful(2).await;
    let first = server.publish("a", "1").key("k").await.unwrap();
    let again = server.publish("b", "other").key("k").await.unwrap();
    assert_eq!((first.seq(), again), (1, first));
    for key in ["x", "y"] {
        server.publish("a", "").key(key).await.unwrap();
    }
    let forgotten = server.publish("a", "1").key("k").await.unwrap();
    assert_eq!(forgotten.seq(), 4);
    for key in [String::new(), "k".repeat(65)] {
        let error = server.publish("a", "").key(key).await.unwrap_err();
        assert!(matches!(error, PublishError::Key(_)), "{error}");
        assert!(error.to_string().contains("64"), "{error}");
    }
    assert_eq!(server.log_stats().head, 4);
}
