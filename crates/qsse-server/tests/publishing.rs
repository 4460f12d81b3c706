//! Publishing, over the network and in process.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use futures_core::Stream;
use qsse_proto::publish::{AckFrame, OpenPublisher, Publish, PublisherFrame};
use qsse_proto::{Code, Kind};
use qsse_server::visitor::{Caller, NewPublish};
use qsse_server::{Config, Item, Notice, PublishError, Server, Start, TestServer};
use qsse_transport::FrameWriter;
use support::RawClient;

fn acknowledged(frame: AckFrame) -> (u64, u64, u64) {
    match frame {
        AckFrame::Acknowledged(ack) => (ack.through, ack.first, ack.last),
        other => panic!("an acknowledgement, not {other:?}"),
    }
}

fn refused(frame: AckFrame) -> (u64, Code) {
    match frame {
        AckFrame::PublishRefused(refused) => (refused.number, refused.code),
        other => panic!("a refusal, not {other:?}"),
    }
}

// QP-8.3, QP-8.9: pipelining, and the end of a stream.
#[tokio::test]
async fn pipelined_publishes_are_acknowledged_in_order_to_the_last() {
    let server = TestServer::start().await.unwrap();
    let mut events = server.subscribe("*").await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(true).await;
    for n in 0..5_000 {
        publisher.queue("a", false, format!("{n}").as_bytes());
    }
    let (mut next, mut seq) = (0, 1);
    while next < 5_000 {
        let (through, first, last) = acknowledged(publisher.next().await);
        assert_eq!(
            (first, last - first),
            (seq, through - next),
            "one event each, in a row"
        );
        (next, seq) = (through + 1, last + 1);
    }
    publisher.writer.finish();
    assert!(
        publisher.reader.next().await.unwrap().is_none(),
        "the server ends its direction too"
    );
    for n in 0..5_000 {
        let event = events.try_next().await.unwrap().unwrap();
        assert_eq!(event.text().unwrap(), format!("{n}"));
    }
}

// QP-8.4: ordered streams stop at a refusal.
#[tokio::test]
async fn a_refusal_in_an_ordered_stream_refuses_everything_behind_it() {
    let server = TestServer::start().await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(true).await;
    publisher.queue("a", false, b"0");
    publisher.queue("not..good", false, b"1");
    publisher.queue("a", false, b"2");
    assert_eq!(acknowledged(publisher.next().await), (0, 1, 1));
    assert_eq!(refused(publisher.next().await), (1, Code::INVALID_TOPIC));
    assert_eq!(refused(publisher.next().await), (2, Code::FAILED_BEFORE));

    let mut unordered = client.publisher(false).await;
    unordered.queue("not..good", false, b"0");
    unordered.queue("a", false, b"1");
    assert_eq!(refused(unordered.next().await), (0, Code::INVALID_TOPIC));
    assert_eq!(acknowledged(unordered.next().await), (1, 2, 2));
}

// QP-8.1: a publishing stream is opened first, and once.
#[tokio::test]
async fn a_stream_that_is_opened_twice_or_not_at_all_ends_the_connection() {
    let server = TestServer::start().await.unwrap();
    let open = PublisherFrame::from(OpenPublisher::default()).encode();
    let client = RawClient::connect(&server).await;
    let mut twice = client.publisher(false).await;
    twice.writer.send(open).await.unwrap();
    assert_eq!(client.closed().await.0, Code::PROTOCOL_VIOLATION);

    let client = RawClient::connect(&server).await;
    let (send, _recv) = client.connection.open_bi().await.unwrap();
    let publish = Publish::new(false, "a", &Kind::MESSAGE, "x".into()).encode();
    let mut writer = FrameWriter::new(send);
    writer.send(publish).await.unwrap();
    assert_eq!(client.closed().await.0, Code::PROTOCOL_VIOLATION);
    assert_eq!(server.log_stats().head, 0);
}

#[tokio::test]
async fn an_event_of_the_limit_passes_and_one_byte_more_is_refused() {
    let server = TestServer::start().await.unwrap();
    let mut events = server.subscribe("*").await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    publisher.queue("a", false, &vec![1; 1 << 20]);
    publisher.queue("a", false, &vec![2; (1 << 20) + 1]);
    assert_eq!(acknowledged(publisher.next().await), (0, 1, 1));
    assert_eq!(refused(publisher.next().await), (1, Code::EVENT_TOO_LARGE));
    assert_eq!(
        events.try_next().await.unwrap().unwrap().data().len(),
        1 << 20
    );
    let error = server
        .try_publish("a", vec![0; (1 << 20) + 1])
        .unwrap_err()
        .to_string();
    assert!(error.contains("1048576"), "the limit is told: {error}");
}

#[tokio::test]
async fn a_publish_to_a_pattern_reaches_every_known_topic_as_one_step() {
    let server = Server::bind("127.0.0.1:0")
        .topics(["a.x", "a.y", "b", "c.*"])
        .await
        .unwrap();
    let mut events = server.subscribe("*").await.unwrap();
    let published = server.publish_matching("a.*", "hi").await.unwrap();
    assert_eq!(published.count(), 2);
    let (first, last) = (published.first().unwrap(), published.last().unwrap());
    assert_eq!((first.seq(), last.seq()), (1, 2));
    for topic in ["a.x", "a.y"] {
        assert_eq!(
            events.try_next().await.unwrap().unwrap().topic().as_str(),
            topic
        );
    }
    // A pattern admits topics; one is known once it has an event.
    assert_eq!(server.publish_matching("c.*", "").await.unwrap().count(), 0);
    server.publish("c.1", "").await.unwrap();
    assert_eq!(server.publish_matching("c.*", "").await.unwrap().count(), 1);
}

#[tokio::test]
async fn several_events_are_one_step_and_all_or_none_of_them() {
    let server = Server::bind("127.0.0.1:0")
        .topics(["a", "b"])
        .await
        .unwrap();
    let mut both = server.subscribe(["a", "b"]).await.unwrap();
    let mut only_b = server.subscribe("b").await.unwrap();
    let none: [(&str, &str); 0] = [];
    assert_eq!(server.publish_all(&none).await.unwrap().first(), None);
    for events in [[("a", "1"), ("c", "2")], [("a", "1"), ("b.*", "2")]] {
        server.publish_all(&events).await.unwrap_err();
    }
    let published = server
        .publish_all(&[("a", "1"), ("b", "2"), ("b", "3"), ("a", "4")])
        .await
        .unwrap();
    let (first, last) = (published.first().unwrap(), published.last().unwrap());
    assert_eq!((first.seq(), last.seq(), published.count()), (1, 4, 4));
    server.try_publish_all(&[("b", "5")]).unwrap();
    for (seq, topic, data) in [
        (1, "a", "1"),
        (2, "b", "2"),
        (3, "b", "3"),
        (4, "a", "4"),
        (5, "b", "5"),
    ] {
        let event = both.try_next().await.unwrap().unwrap();
        let found = (event.id().seq(), event.topic().as_str(), &event.data()[..]);
        assert_eq!(found, (seq, topic, data.as_bytes()));
    }
    for seq in [2, 3, 5] {
        assert_eq!(only_b.try_next().await.unwrap().unwrap().id().seq(), seq);
    }
}

#[tokio::test]
async fn a_publish_to_a_pattern_is_no_more_than_one_step_may_be() {
    let server = Server::bind("127.0.0.1:0")
        .topics((0..100).map(|n| format!("a.{n}")))
        .await
        .unwrap();
    let data = vec![0; 1 << 20];
    let error = server.publish_matching("a.*", &data).await.unwrap_err();
    assert!(
        matches!(
            error,
            PublishError::TooMuch {
                topics: 100,
                bytes: 1_048_576
            }
        ),
        "{error}"
    );
    let published = server.publish_matching("a.*", &data[..600_000]).await;
    assert_eq!(published.unwrap().count(), 100);
}

#[tokio::test]
async fn a_publish_to_a_pattern_reaches_a_thousand_topics_and_not_one_more() {
    let server = Server::bind("127.0.0.1:0")
        .topics((0..2_001).map(|n| format!("{}.{n}", if n % 2 == 0 { "a" } else { "b" })))
        .await
        .unwrap();
    let published = server.publish_matching("b.*", "x").await.unwrap();
    let (first, last) = (published.first().unwrap(), published.last().unwrap());
    assert_eq!(
        (first.seq(), last.seq(), published.count()),
        (1, 1_000, 1_000)
    );
    let error = server.publish_matching("a.*", "x").await.unwrap_err();
    assert!(matches!(error, PublishError::TooManyTopics), "{error}");
    assert_eq!(server.log_stats().head, 1_000, "nothing of it is taken");
}

#[tokio::test]
async fn a_wildcard_in_a_topic_is_no_publish_to_everybody() {
    let server = TestServer::start().await.unwrap();
    let error = server.publish("ride.*", "x").await.unwrap_err();
    assert!(matches!(error, PublishError::Topic { .. }));
    assert!(error.to_string().contains("publish_matching"), "{error}");
    let declared = Server::bind("127.0.0.1:0")
        .topics(["people"])
        .await
        .unwrap();
    let error = declared
        .publish("peple", "x")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("people"), "the nearest is told: {error}");
}

#[tokio::test]
async fn a_subscription_in_process_sees_what_a_client_would() {
    let server = TestServer::start().await.unwrap();
    let mut live = server.subscribe(["a.*", "b"]).await.unwrap();
    server
        .publish("a.1", "1")
        .kind(Kind::new("greeting").unwrap())
        .await
        .unwrap();
    server.publish("c", "2").await.unwrap();
    server.publish("b", "3").await.unwrap();
    let first = live.try_next().await.unwrap().unwrap();
    assert_eq!(
        (first.topic().as_str(), first.kind().as_str()),
        ("a.1", "greeting")
    );
    assert_eq!(
        live.try_next().await.unwrap().unwrap().topic().as_str(),
        "b"
    );
    let start = Start::After(first.id());
    let mut resumed = server.subscribe("*").start(start).await.unwrap();
    assert_eq!(
        resumed.try_next().await.unwrap().unwrap().text().unwrap(),
        "2"
    );

    let foreign = Start::After(qsse_server::EventId::new(qsse_proto::Epoch::new(1), 9));
    let mut reset = server.subscribe("*").start(foreign).await.unwrap();
    let item = reset.next_item().await.unwrap().unwrap();
    let Item::Notice(Notice::Reset(told)) = item else {
        panic!("{item:?}")
    };
    assert_eq!(Start::After(told.after.unwrap()), foreign);
    assert_eq!(told.position, reset.cursor().id());
    assert_eq!(reset.try_next().await.unwrap().unwrap().id(), first.id());
    let mut last = server.subscribe("*").start(Start::Last(1)).await.unwrap();
    assert_eq!(last.try_next().await.unwrap().unwrap().id(), first.id());

    let waiting = tokio::spawn(async move { live.next().await });
    tokio::task::yield_now().await;
    server.shutdown(Duration::from_secs(5)).await;
    assert!(waiting.await.unwrap().is_none(), "it ends with the server");
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn the_metrics_move_and_two_servers_keep_their_own() {
    let one = Server::bind("127.0.0.1:0")
        .topics(["people", "ride.*"])
        .await
        .unwrap();
    let two = Server::bind("127.0.0.1:0")
        .topics(["people"])
        .await
        .unwrap();
    let _sub = one.subscribe("ride.*").await.unwrap();
    for _ in 0..3 {
        one.publish("ride.7", "x").await.unwrap();
    }
    let text = one.metrics_text();
    assert!(
        text.contains(r#"qsse_qsse_event_count{topic="ride.*"} 3"#),
        "{text}"
    );
    assert!(
        text.contains(r#"qsse_qsse_subscriber_count{topic="ride.*"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"qsse_qsse_subscriber_count{topic="people"} 0"#),
        "{text}"
    );
    let other = two.metrics_text();
    assert!(
        other.contains(r#"qsse_qsse_event_count{topic="people"} 0"#),
        "{other}"
    );
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn the_labels_of_open_topics_are_capped() {
    let server = TestServer::start().await.unwrap();
    for n in 0..500 {
        server.publish(format!("user.{n}"), "x").await.unwrap();
    }
    let text = server.metrics_text();
    let labels = text
        .lines()
        .filter(|line| line.starts_with("qsse_qsse_event_count{"))
        .count();
    assert_eq!(labels, 101, "a hundred and the rest");
    assert!(
        text.contains(r#"event_count{topic="_other"} 400"#),
        "{text}"
    );
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_long_search_in_process_gives_other_tasks_their_turn() {
    let server = TestServer::start().await.unwrap();
    // More topics than the history looks up one by one, and then only events of another one.
    for n in 0..300 {
        server.try_publish(format!("wanted.{n}"), "").unwrap();
    }
    for _ in 0..20_000 {
        server.try_publish("other", "").unwrap();
    }
    let wanted = server.subscribe("wanted.*").start(Start::Earliest);
    let mut wanted = wanted.await.unwrap();
    for n in 0..300 {
        let event = wanted.try_next().await.unwrap().unwrap();
        assert_eq!(event.topic().as_str(), format!("wanted.{n}"));
    }
    let wakes = Arc::new(Wakes::default());
    let waker = Arc::clone(&wakes).into();
    let polled = Pin::new(&mut wanted).poll_next(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Pending));
    tokio::task::yield_now().await;
    assert_eq!(
        wakes.0.load(Ordering::Relaxed),
        1,
        "it asks for another turn"
    );
    server.publish("wanted.1", "last").await.unwrap();
    let event = wanted.try_next().await.unwrap().unwrap();
    assert_eq!(event.text().unwrap(), "last");
}

/// Polls a future to its end, and returns how often it let others go on first.
async fn turns(future: impl Future) -> usize {
    let (mut future, mut turns) = (pin!(future), 0);
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        turns += usize::from(polled.is_pending());
        polled.map(drop)
    })
    .await;
    turns
}

#[tokio::test]
async fn publishes_to_many_new_topics_are_made_in_steps_between_which_others_go_on() {
    let server = TestServer::start().await.unwrap();
    let caller = Caller::new("test/1", ([127, 0, 0, 1], 1).into());
    let visitor = server.visit(caller).await.unwrap();
    let publishes = || (0..256).map(|n| NewPublish::new(format!("t.{n}"), "x"));
    let new = turns(visitor.publish_all(publishes().collect())).await;
    let known = turns(visitor.publish_all(publishes().collect())).await;
    assert!(new >= 8, "{new}: 32 new topics are a step");
    assert_eq!(known, 0);
    assert_eq!(server.log_stats().head, 512);
}

#[tokio::test]
async fn a_refusal_in_a_later_step_refuses_everything_behind_it() {
    let mut config = Config::default();
    config.log.max_topics = 40;
    let server = TestServer::start_with(move |server| server.config(config.clone()));
    let server = server.await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(true).await;
    for n in 0..200 {
        publisher.queue(&format!("t.{n}"), false, b"x");
    }
    let mut taken = 0;
    while taken < 40 {
        taken = acknowledged(publisher.next().await).0 + 1;
    }
    assert_eq!(refused(publisher.next().await), (40, Code::TOO_MANY_TOPICS));
    for n in 41..200 {
        assert_eq!(refused(publisher.next().await), (n, Code::FAILED_BEFORE));
    }
}
