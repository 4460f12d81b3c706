//! Subscriptions of clients.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::time::Duration;

use qsse_proto::control::{OnLag, ServerFrame, Start, Subscribe, Unsubscribe};
use qsse_proto::stream::{Item, Outcome};
use qsse_proto::{Code, Epoch, EventId, Timestamp};
use qsse_server::{Config, LogConfig, TestServer};
use qsse_transport::{ReadError, TransportConfig};
use support::{Events, RawClient, server};

// QP-5.7: every event that matches, in order and once.
#[tokio::test]
async fn many_patterns_on_one_connection_each_in_order() {
    let server = server().await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut rides = client.subscribe(1, &["ride.*"], Start::Live).await;
    let mut all = client.subscribe(2, &["*", "ride.1"], Start::Live).await;
    for n in 0..2_000 {
        let topic = if n % 2 == 0 { "ride.1" } else { "people" };
        server.publish(topic, format!("{n}")).await.unwrap();
    }
    for n in 0..2_000 {
        assert_eq!(all.event().await.text().unwrap(), format!("{n}"));
    }
    for n in (0..2_000).step_by(2) {
        assert_eq!(rides.event().await.text().unwrap(), format!("{n}"));
    }
}

// QP-5.8: an unsubscribe and a stopped stream mean the same, and touch no other.
#[tokio::test]
async fn a_subscription_ends_alone() {
    let server = server().await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut first = client.subscribe(1, &["*"], Start::Live).await;
    let mut second = client.subscribe(2, &["*"], Start::Live).await;
    let mut third = client.subscribe(3, &["*"], Start::Live).await;
    client.send(Unsubscribe { id: 1 }).await;
    assert!(matches!(
        first.item().await,
        Err(ReadError::Reset(Code::UNSUBSCRIBED))
    ));
    second.stop();
    server.publish("a", "x").await.unwrap();
    assert_eq!(third.topics(1).await, ["a"]);
    let feeds_read = || server.log_stats().feeds;
    assert_eq!(feeds_read(), 1);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_reason() {
    let topics = ["people", "ride.*"];
    let config = Config::default().max_subscriptions(2);
    let server = server().topics(topics).config(config).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let (code, message) = client.refused(1, &["peple"], Start::Live).await;
    assert_eq!(code, Code::TOPIC_NOT_AVAILABLE);
    assert!(message.contains("people"), "the nearest is told: {message}");
    let (code, message) = client.refused(2, &["ride..x"], Start::Live).await;
    assert_eq!(code, Code::INVALID_TOPIC);
    assert!(message.contains("ride..x"), "{message}");
    assert_eq!(
        client.refused(3, &[], Start::Live).await.0,
        Code::INVALID_TOPIC
    );
    let wild = ["ride.*.*.*.*.*"];
    assert_eq!(
        client.refused(4, &wild, Start::Live).await.0,
        Code::TOO_MANY_WILDCARDS
    );
    let since = Start::Since(Timestamp::from_micros(1));
    assert_eq!(
        client.refused(5, &["people"], since).await.0,
        Code::UNSUPPORTED
    );
    assert_eq!(
        client.refused(6, &["people"], Start::Last(1)).await.0,
        Code::UNSUPPORTED
    );
    let patterns = vec!["people".to_owned()];
    client
        .send(Subscribe {
            id: 7,
            patterns,
            start: Start::Live,
            on_lag: OnLag::Skip,
        })
        .await;
    assert_eq!(client.refusal(7).await.0, Code::UNSUPPORTED);

    let _one = client.subscribe(8, &["people"], Start::Live).await;
    let _two = client.subscribe(9, &["ride.1"], Start::Live).await;
    let third = client.refused(10, &["people"], Start::Live).await;
    assert_eq!(third.0, Code::TOO_MANY_SUBSCRIPTIONS);
    client.send(Unsubscribe { id: 8 }).await;
    let _three = client.subscribe(11, &["people"], Start::Live).await;
    client.ask(9, &["people"], Start::Live).await;
    assert_eq!(client.closed().await.0, Code::PROTOCOL_VIOLATION);
}

// QP-5.3, QP-7.7: where a subscription begins.
#[tokio::test]
async fn a_resume_goes_on_behind_its_cursor() {
    let server = server().await.unwrap();
    for n in 0..100 {
        server.publish("a", format!("{n}")).await.unwrap();
    }
    let mut client = RawClient::connect(&server).await;
    let mut earliest = client.subscribe(1, &["*"], Start::Earliest).await;
    let first = earliest.event().await;
    assert_eq!(first.text().unwrap(), "0");
    let mut resumed = client.subscribe(2, &["*"], Start::After(first.id())).await;
    assert_eq!(resumed.header.outcome, Outcome::Resumed);
    assert_eq!(resumed.event().await.text().unwrap(), "1");

    let foreign = EventId::new(Epoch::new(1), 5);
    let mut reset = client.subscribe(3, &["*"], Start::After(foreign)).await;
    assert_eq!(
        (reset.header.outcome, reset.header.position),
        (Outcome::Reset, 0)
    );
    assert_eq!(reset.event().await.text().unwrap(), "0");
}

// QP-7.2: the gap, then what is kept.
#[tokio::test]
async fn a_gap_comes_before_the_first_event() {
    let config = Config::default().log(LogConfig::default().history_events(10));
    let server = server().config(config).await.unwrap();
    let first = server.publish("a", "0").await.unwrap();
    for n in 1..100 {
        server.publish("a", format!("{n}")).await.unwrap();
    }
    let mut client = RawClient::connect(&server).await;
    let mut events = client.subscribe(1, &["*"], Start::After(first)).await;
    assert_eq!(events.header.outcome, Outcome::Gap);
    match events.item().await.unwrap() {
        Some(Item::Gap(gap)) => assert_eq!((gap.after, gap.to, gap.at_most), (1, 90, 89)),
        other => panic!("a gap, not {other:?}"),
    }
    assert_eq!(events.event().await.text().unwrap(), "90");
}

// QP-7.5: a heartbeat tells the position of a stream that has nothing to write.
#[tokio::test]
async fn a_quiet_stream_tells_its_position_while_the_log_moves() {
    let config = Config::default().heartbeat(Duration::from_millis(20));
    let server = server().config(config).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut quiet = client.subscribe(1, &["quiet"], Start::Live).await;
    let last = server.publish("busy", "x").await.unwrap();
    match quiet.item().await.unwrap() {
        Some(Item::Heartbeat(position)) => assert_eq!(position, last),
        other => panic!("a heartbeat, not {other:?}"),
    }
}

// QP-5.10: subscriptions are independent.
#[tokio::test]
async fn a_stream_that_is_not_read_holds_back_no_other() {
    let server = server().await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let unread = client.subscribe(1, &["*"], Start::Live).await;
    let mut read = client.subscribe(2, &["*"], Start::Live).await;
    // Far more than the windows hold; the reader keeps up.
    for n in 0..400u32 {
        server.publish("a", vec![n as u8; 64 << 10]).await.unwrap();
        assert_eq!(read.event().await.data()[0], n as u8);
    }
    let mut unread = unread;
    for n in 0..400u32 {
        assert_eq!(
            unread.event().await.data()[0],
            n as u8,
            "it catches up from the history"
        );
    }
}

#[tokio::test]
async fn subscriptions_may_be_asked_for_all_at_once() {
    let server = server().await.unwrap();
    let mut client = RawClient::connect(&server).await;
    for id in 0..100 {
        client.ask(id, &[&format!("t{id}")], Start::Live).await;
    }
    let mut streams = Vec::new();
    for _ in 0..100 {
        client.next().await;
        streams.push(Events::accept(&client.connection).await);
    }
    for id in 0..100 {
        server.publish(format!("t{id}"), "x").await.unwrap();
    }
    for stream in &mut streams {
        let topic = format!("t{}", stream.header.id);
        assert_eq!(stream.topics(1).await, [topic]);
    }
}

// QP-4.6: nothing waits for the welcome.
#[tokio::test]
async fn a_client_may_ask_and_publish_before_it_was_welcomed() {
    let server = TestServer::start().await.unwrap();
    let mut client = RawClient::hello(&server, None).await;
    client.ask(1, &["*"], Start::Live).await;
    let mut publisher = client.publisher(false).await;
    assert!(matches!(client.next().await, ServerFrame::Welcome(_)));
    assert!(matches!(client.next().await, ServerFrame::Subscribed(_)));
    publisher.queue("a", false, b"early");
    publisher.next().await;
    let mut events = Events::accept(&client.connection).await;
    assert_eq!(events.event().await.text().unwrap(), "early");
}

// QP-5.11: a client that allows no more streams is told.
#[tokio::test]
async fn without_credit_for_a_stream_the_answer_is_busy() {
    let config = Config::default().hello_timeout(Duration::from_millis(100));
    let server = server().config(config).await.unwrap();
    let transport = TransportConfig::client().max_remote_uni_streams(1);
    let mut client = RawClient::hello_with(&server, None, transport).await;
    assert!(matches!(client.next().await, ServerFrame::Welcome(_)));
    let _first = client.subscribe(1, &["a"], Start::Live).await;
    let (code, _) = client.refused(2, &["b"], Start::Live).await;
    assert_eq!(code, Code::BUSY);
}
