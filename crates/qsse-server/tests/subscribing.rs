//! Subscriptions of clients.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::time::Duration;

use qsse_proto::control::{OnLag, ServerFrame, Start, Subscribe, Unsubscribe};
use qsse_proto::stream::{GapReason, Item, Outcome};
use qsse_proto::{Code, Epoch, EventId};
use qsse_server::{Config, LogConfig, Server, TestServer};
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

#[tokio::test]
async fn a_start_with_the_last_events_is_a_snapshot_and_then_updates() {
    let server = server().await.unwrap();
    for topic in ["ride.1", "ride.2", "ride.1", "other"] {
        server.try_publish(topic, "old").unwrap();
    }
    let mut client = RawClient::connect(&server).await;
    let mut last = client.subscribe(1, &["ride.*"], Start::Last(1)).await;
    server.try_publish("ride.2", "new").unwrap();
    let mut seqs = Vec::new();
    for _ in 0..3 {
        seqs.push(last.event().await.id().seq());
    }
    assert_eq!(seqs, [2, 3, 5]);
}

#[tokio::test]
async fn a_start_at_a_time_begins_there() {
    let server = server().await.unwrap();
    server.try_publish("ride.1", "before").unwrap();
    let mut reading = server.subscribe("*").start(Start::Earliest).await.unwrap();
    let before = reading.next().await.unwrap().unwrap().time();
    // The clock has to move on.
    let after = loop {
        server.try_publish("ride.1", "after").unwrap();
        let event = reading.next().await.unwrap().unwrap();
        if event.time() > before {
            break event;
        }
    };
    let mut client = RawClient::connect(&server).await;
    let since = Start::Since(after.time());
    let mut events = client.subscribe(1, &["ride.*"], since).await;
    assert_eq!(events.event().await.id(), after.id());
}

/// A server with short feeds, and a stream that is live but no longer read, with 3,000 events behind what it was sent.
async fn stalled(on_lag: OnLag) -> (Server, RawClient, Events) {
    let log = LogConfig::default().feed_bytes(16 << 10);
    let server = support::server()
        .config(Config::default().log(log))
        .await
        .unwrap();
    let mut client = RawClient::connect(&server).await;
    let patterns = vec!["ride.*".to_owned()];
    let start = Start::Live;
    client
        .send(Subscribe {
            id: 1,
            patterns,
            start,
            on_lag,
        })
        .await;
    let mut events = Events::accept(&client.connection).await;
    server.try_publish("ride.1", "first").unwrap();
    assert_eq!(events.event().await.id().seq(), 1);
    for n in 0..3_000 {
        server
            .try_publish(format!("ride.{}", n % 2), [0; 1_000])
            .unwrap();
        tokio::task::yield_now().await;
    }
    (server, client, events)
}

#[tokio::test]
async fn a_lagging_subscription_that_skips_gets_a_gap_and_what_is_new() {
    let (server, _client, mut events) = stalled(OnLag::Skip).await;
    let (mut last, mut gaps) = (1, 0);
    while last < 3_001 {
        match events.item().await.unwrap().unwrap() {
            Item::Event(event) => last = event.id().seq(),
            Item::Gap(gap) => {
                assert_eq!((gap.reason, gap.after), (GapReason::Skipped, last));
                assert!(gap.to > last && gap.to <= 3_001, "{gap:?}");
                last = gap.to;
                gaps += 1;
            }
            _ => {}
        }
    }
    assert!(gaps > 0);
    server.try_publish("ride.1", "new").unwrap();
    let new = events.event().await;
    assert!(
        new.id().seq() > last && &new.data()[..] == b"new",
        "{new:?}"
    );
}

#[tokio::test]
async fn a_lagging_subscription_may_ask_for_the_latest_of_each_topic() {
    let (_server, _client, mut events) = stalled(OnLag::Latest).await;
    let mut seqs = Vec::new();
    let mut gaps = 0;
    while seqs.last() != Some(&3_001) {
        match events.item().await.unwrap().unwrap() {
            Item::Event(event) => seqs.push(event.id().seq()),
            Item::Gap(gap) => {
                assert_eq!(gap.reason, GapReason::Latest);
                gaps += 1;
            }
            _ => {}
        }
    }
    assert!(
        gaps > 0 && seqs.len() < 3_000,
        "{gaps} gaps, {} events",
        seqs.len()
    );
    assert_eq!(seqs[seqs.len() - 2], 3_000, "the last of each topic");
    assert!(seqs.is_sorted());
}

#[tokio::test]
async fn a_lagging_subscription_may_ask_to_be_ended() {
    let (_server, client, mut events) = stalled(OnLag::Disconnect).await;
    let code = loop {
        match events.item().await {
            Ok(item) => assert!(item.is_some(), "the stream is reset, not finished"),
            Err(ReadError::Reset(code)) => break code,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(code, Code::LAGGED);
    assert!(
        client.connection.close_reason().is_none(),
        "the connection stays"
    );
}
