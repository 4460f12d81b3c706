//! Publishes whose last byte does not come.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qsse_proto::publish::{AckFrame, Publish, PublisherFrame};
use qsse_proto::{Code, Frame, Kind, frame};
#[cfg(feature = "prometheus")]
use qsse_server::Server;
use qsse_server::{Config, ServerBuilder, TestServer};
use qsse_transport::{FrameError, ReadError};
use support::{RawClient, RawPublisher};
use tokio::sync::Notify;

const PATIENCE: Duration = Duration::from_secs(30);

/// A publish on `topic`, as bytes, without its last one.
fn cut(topic: &str, bytes: usize) -> Bytes {
    let publish = Publish::new(false, topic, &Kind::MESSAGE, vec![1; bytes].into()).encode();
    publish.slice(..publish.len() - 1)
}

/// A server that lets everybody publish.
async fn open_server(config: Config) -> TestServer {
    let settings = move |server: ServerBuilder| server.config(config.clone());
    TestServer::start_with(settings).await.unwrap()
}

async fn refused(publisher: &mut RawPublisher) -> (u64, Code) {
    match publisher.next().await {
        AckFrame::PublishRefused(refused) => (refused.number, refused.code),
        other => panic!("a refusal, not {other:?}"),
    }
}

/// The value of a metric without labels.
#[cfg(feature = "prometheus")]
fn metric(server: &Server, name: &str) -> usize {
    let text = server.metrics_text();
    let name = format!("qsse_qsse_{name} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |value| value.parse().unwrap())
}

#[cfg(feature = "prometheus")]
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let condition = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, condition).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for: {what}"));
}

#[tokio::test]
async fn a_publish_that_is_not_allowed_is_refused_before_its_data_and_none_of_it_is_stored() {
    let server = support::server().await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    for number in 0..3 {
        publisher.writer.queue(cut("secret", 1_000_000));
        assert_eq!(
            refused(&mut publisher).await,
            (number, Code::NOT_AUTHORISED)
        );
        // Its last byte, which is dropped, and a whole publish.
        publisher.writer.queue(Bytes::from_static(&[1]));
    }
    publisher.queue("secret", false, b"x");
    assert_eq!(refused(&mut publisher).await, (3, Code::NOT_AUTHORISED));
    #[cfg(feature = "prometheus")]
    assert_eq!(metric(&server, "unfinished_waits"), 0);
}

// QP-8.4: the order of refusals is the same as for whole publishes.
#[tokio::test]
async fn behind_a_refusal_the_beginning_of_a_publish_is_refused_too() {
    let server = TestServer::start().await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(true).await;
    publisher.queue("a", false, b"0");
    publisher.queue("not..good", false, b"1");
    publisher.writer.queue(cut("a", 100_000));
    assert!(matches!(publisher.next().await, AckFrame::Acknowledged(_)));
    assert_eq!(refused(&mut publisher).await, (1, Code::INVALID_TOPIC));
    assert_eq!(refused(&mut publisher).await, (2, Code::FAILED_BEFORE));
}

#[tokio::test]
async fn a_publish_that_stops_resets_its_stream_and_no_other() {
    let config = Config::default().frame_timeout(Duration::from_millis(50));
    let server = open_server(config).await;
    let client = RawClient::connect(&server).await;
    let mut other = client.publisher(false).await;
    let whole = Publish::new(false, "a", &Kind::MESSAGE, Bytes::new()).encode();
    for begun in [
        cut("a", 100_000),
        cut("a", 10),
        whole.slice(..3),
        whole.slice(..6),
    ] {
        let mut publisher = client.publisher(false).await;
        publisher.queue("a", false, b"whole");
        publisher.writer.queue(begun);
        assert!(matches!(publisher.next().await, AckFrame::Acknowledged(_)));
        let error = publisher.reader.next().await.unwrap_err();
        let reset = ReadError::Reset(Code::FRAME_TIMEOUT);
        assert_eq!(error, FrameError::Read(reset));
    }
    other.queue("a", false, b"x");
    assert!(matches!(other.next().await, AckFrame::Acknowledged(_)));
    #[cfg(feature = "prometheus")]
    assert_eq!(metric(&server, "frame_timeouts"), 4);
}

#[tokio::test]
async fn a_stream_that_is_silent_between_two_publishes_stays() {
    let config = Config::default().frame_timeout(Duration::from_millis(20));
    let server = open_server(config).await;
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    for _ in 0..2 {
        publisher.queue("a", false, b"x");
        assert!(matches!(publisher.next().await, AckFrame::Acknowledged(_)));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

#[tokio::test]
async fn a_frame_that_is_no_publish_may_not_be_long() {
    let server = TestServer::start().await.unwrap();
    let long = Frame {
        kind: frame::kind::OPEN_PUBLISHER,
        body: vec![0; 100_000].into(),
    };
    let long = long.encode();
    for opened in [true, false] {
        let client = RawClient::connect(&server).await;
        let (send, recv) = client.connection.open_bi().await.unwrap();
        let mut writer = qsse_transport::FrameWriter::new(send);
        if opened {
            let open = PublisherFrame::from(qsse_proto::publish::OpenPublisher::default());
            writer.queue(open.encode());
        }
        writer.send(long.slice(..2_000)).await.unwrap();
        assert_eq!(client.closed().await.0, Code::FRAME_TOO_LARGE);
        drop(recv);
    }
}

/// Publishes that are long wait for one another, and still all arrive: those that wait do not use
/// up the window of the connection.
#[tokio::test]
async fn long_publishes_of_a_connection_are_stored_one_at_a_time_and_all_arrive() {
    const STREAMS: usize = 8;
    let server = TestServer::start().await.unwrap();
    let client = RawClient::connect(&server).await;
    let finish = Arc::new(Notify::new());
    let mut publishing = Vec::new();
    for _ in 0..STREAMS {
        let mut publisher = client.publisher(false).await;
        let finish = Arc::clone(&finish);
        publishing.push(tokio::spawn(async move {
            publisher.writer.send(cut("a", 1_000_000)).await.unwrap();
            finish.notified().await;
            finish.notify_one();
            publisher.writer.queue(Bytes::from_static(&[1]));
            publisher.next().await
        }));
    }
    #[cfg(feature = "prometheus")]
    {
        let waits = || metric(&server, "unfinished_waits");
        until("the others to wait", || waits() == STREAMS - 1).await;
        let stored = metric(&server, "unfinished_bytes");
        assert!((1_000_000..1_000_100).contains(&stored), "{stored}");
    }
    finish.notify_one();
    for publishing in publishing {
        let answer = tokio::time::timeout(PATIENCE, publishing).await.unwrap();
        assert!(matches!(answer.unwrap(), AckFrame::Acknowledged(_)));
    }
    assert_eq!(server.log_stats().head, STREAMS as u64);
    #[cfg(feature = "prometheus")]
    assert_eq!(metric(&server, "unfinished_bytes"), 0);
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn long_publishes_of_all_connections_share_the_budget_of_the_server() {
    let config = Config::default().unfinished_bytes(0);
    let server = open_server(config).await;
    let (one, other) = (
        RawClient::connect(&server).await,
        RawClient::connect(&server).await,
    );
    let (mut first, mut second) = (one.publisher(false).await, other.publisher(false).await);
    first.writer.send(cut("a", 1_000_000)).await.unwrap();
    until("the first to be stored", || {
        metric(&server, "unfinished_bytes") > 1_000_000
    })
    .await;
    let second = tokio::spawn(async move {
        second.queue("a", false, &vec![2; 1_000_000]);
        second.next().await
    });
    until("the second to wait", || {
        metric(&server, "unfinished_waits") == 1
    })
    .await;
    assert!(!second.is_finished());
    first.writer.queue(Bytes::from_static(&[1]));
    assert!(matches!(first.next().await, AckFrame::Acknowledged(_)));
    let answer = tokio::time::timeout(PATIENCE, second).await.unwrap();
    assert!(matches!(answer.unwrap(), AckFrame::Acknowledged(_)));
}
