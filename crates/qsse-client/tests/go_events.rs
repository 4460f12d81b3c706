//! The Go dialect: its lines and errors. The server is scripted.

mod support;

use std::time::Duration;

use bytes::Bytes;
use qsse_client::{Code, Loss, Notice, SubscriptionError};
use qsse_proto::go::{ErrorData, EventLine};
use support::go::*;
use support::*;

// QP-12.7, QP-12.18: the first bytes of a server of this library are not a line, and the numbers
// are of no log.
#[tokio::test]
async fn events_come_in_order_numbered_here_and_with_any_bytes() {
    let server = GoServer::start();
    let (client, mut events, peer) = server.subscribed(["ride.7", "people"]).await;
    assert_eq!(peer.offer, "{\"topics\":[\"people\",\"ride.7\"]}\n");
    assert!(client.rtt().is_some() && client.state().current().is_connected());
    assert_eq!(events.cursor().to_string(), "0-0");
    let mut feed = peer.open().await;
    let all: Vec<u8> = (0..=255).collect();
    // The beginning that a server of this library writes, and empty data as Go writes it.
    feed.raw(" ").await;
    feed.event("ride.7", "one").await;
    feed.event("people", all.clone()).await;
    feed.raw("\n  \t{\"topic\":\"ride.7\"}\n{\"data\":null,\"topic\":\"ride.7\",\"more\":[1]}\r\n")
        .await;
    assert_eq!(text(&event(&mut events).await), (1, "ride.7", &b"one"[..]));
    let second = event(&mut events).await;
    assert_eq!(text(&second), (2, "people", &all[..]));
    assert!(second.kind().is_message());
    assert!(second.time().to_system_time().unwrap().elapsed().unwrap() < Duration::from_secs(60));
    assert_eq!(text(&event(&mut events).await), (3, "ride.7", &b""[..]));
    let last = soon(events.lend_next()).await.unwrap().unwrap();
    assert_eq!(text(&last.to_event()), (4, "ride.7", &b""[..]));
    assert_eq!(events.cursor().to_string(), "0-4");
}

#[tokio::test]
async fn an_event_of_a_mebibyte_comes_whole() {
    let server = GoServer::start();
    let (_client, mut events, peer) = server.subscribed(["big"]).await;
    let mut feed = peer.open().await;
    let data: Vec<u8> = (0..1024 * 1024).map(|i| (i % 251) as u8).collect();
    let writing = async {
        feed.event("big", data.clone()).await;
        feed.event("big", "small").await;
    };
    let (first, ()) = tokio::join!(event(&mut events), writing);
    assert!(first.data() == &data);
    assert_eq!(event(&mut events).await.text(), Ok("small"));
}

#[tokio::test]
async fn a_slow_reader_loses_nothing_of_many_events() {
    const COUNT: u64 = 20_000;
    let server = GoServer::start();
    let (_client, mut events, peer) = server.subscribed(["many"]).await;
    let mut feed = peer.open().await;
    let writing = tokio::spawn(async move {
        for i in 0..COUNT {
            // Together they exceed the stream's window.
            feed.event("many", format!("{i:0100}")).await;
        }
        feed
    });
    for i in 0..COUNT {
        if i % 1000 == 0 {
            tokio::task::yield_now().await;
        }
        let event = event(&mut events).await;
        assert_eq!(event.id().seq(), i + 1);
        assert_eq!(event.data(), format!("{i:0100}").as_bytes());
    }
    soon(writing).await.unwrap();
}

#[tokio::test]
async fn a_refused_topic_is_a_notice_while_others_remain() {
    let server = GoServer::start();
    let (_client, mut events, peer) = server.subscribed(["a", "b", "c.*"]).await;
    let mut feed = peer.open().await;
    feed.refuse(Code::NOT_AUTHORISED, "b").await;
    feed.event("a", "1").await;
    feed.refuse(Code::TOPIC_NOT_AVAILABLE, "c.*").await;
    feed.refuse(Code::TOPIC_NOT_AVAILABLE, "c.*").await;
    let news = notice(&mut events).await;
    assert!(!news.is_loss());
    assert_eq!(
        news.to_string(),
        "the server refused b: not authorised; the other patterns go on"
    );
    assert_eq!(event(&mut events).await.text(), Ok("1"));
    for _ in 0..2 {
        let news = notice(&mut events).await;
        assert!(
            matches!(&news, Notice::PatternRefused { pattern, code: Code::TOPIC_NOT_AVAILABLE } if pattern == "c.*"),
            "{news}"
        );
    }
    feed.event("a", "2").await;
    assert_eq!(event(&mut events).await.text(), Ok("2"));

    feed.refuse(Code::TOPIC_NOT_AVAILABLE, "a").await;
    let end = error(&mut events).await;
    assert!(
        matches!(
            end,
            SubscriptionError::Refused {
                code: Code::TOPIC_NOT_AVAILABLE,
                ..
            }
        ),
        "{end}"
    );
    assert!(soon(events.next()).await.is_none());
    assert!(peer.closed().await.to_string().contains("no error"));
}

#[tokio::test]
async fn the_only_topic_refused_is_the_end() {
    let server = GoServer::start();
    for code in [Code::NOT_AUTHORISED, Code::TOPIC_NOT_AVAILABLE] {
        let (client, mut events, mut peer) = server.subscribed(["people"]).await;
        peer.feed().await.refuse(code, "people").await;
        let end = error(&mut events).await;
        assert_eq!(
            end.to_string(),
            format!("the server ended the subscription: {code} (people)")
        );
        // The client stays open.
        let (again, peer) = tokio::join!(client.subscribe("a"), server.welcome());
        assert!(again.is_ok() && peer.offer.contains("\"a\""));
    }
}

// QP-12.16
#[tokio::test]
async fn other_errors_are_told_and_end_nothing() {
    let server = GoServer::start();
    let (_client, mut events, peer) = server.subscribed(["a", "b"]).await;
    let mut feed = peer.open().await;
    let error_line = |json: &str| EventLine::new("error", json.to_owned()).to_line();
    feed.error(ErrorData::new(Code::UNKNOWN)).await;
    feed.raw(error_line("{\"code\":5,\"data\":{\"lost\":true}}"))
        .await;
    // Errors about another topic, without a topic, with other numbers, and data that is no error.
    feed.refuse(Code::NOT_AUTHORISED, "else").await;
    feed.error(ErrorData::new(Code::TOPIC_NOT_AVAILABLE)).await;
    feed.raw(error_line(
        "{\"code\":4711,\"data\":{\"why\":\"a\u{202e}b\"}}",
    ))
    .await;
    feed.raw(error_line("what?")).await;
    feed.event("a", "1").await;
    let mut told = Vec::new();
    for _ in 0..6 {
        let news = notice(&mut events).await;
        told.push(news);
    }
    assert_eq!(
        told[0].to_string(),
        "the server reports an error: unknown error"
    );
    assert!(
        matches!(told[1], Notice::Lost(Loss::Reported)) && told[1].is_loss(),
        "{}",
        told[1]
    );
    assert_eq!(
        told[2].to_string(),
        "the server reports an error: not authorised ({\"topic\":\"else\"})"
    );
    assert_eq!(told[3].code(), Some(Code::TOPIC_NOT_AVAILABLE));
    assert_eq!(
        told[4].to_string(),
        "the server reports an error: code 4711 ({\"why\":\"a\u{fffd}b\"})"
    );
    assert_eq!(told[5].code(), Some(Code::UNKNOWN));
    assert_eq!(event(&mut events).await.text(), Ok("1"));
}

#[tokio::test]
async fn an_event_on_what_is_no_topic_here_is_a_notice() {
    let server = GoServer::start();
    let (_client, mut events, peer) = server.subscribed(["ride.*"]).await;
    let mut feed = peer.open().await;
    let long = "x".repeat(3000);
    for topic in ["ride.*", "", "a..b", "a\u{1b}[2J", &long] {
        feed.event(topic, "data").await;
        let news = notice(&mut events).await;
        assert!(news.is_loss());
        assert!(news.to_string().len() < 300, "{news}");
        assert!(!news.to_string().contains('\u{1b}'));
        let Notice::Unusable {
            topic: said, data, ..
        } = news
        else {
            panic!("{news}")
        };
        assert_eq!((said.as_str(), &data[..]), (topic, &b"data"[..]));
    }
    feed.event("ride.1", "x").await;
    assert_eq!(event(&mut events).await.id().seq(), 1);
}

// QP-12.4
#[tokio::test]
async fn what_cannot_be_understood_ends_the_subscription_with_what_was_wrong() {
    let server = GoServer::start();
    let (client, _unused) = server.client().await;
    // It uses the connection that is already open.
    let _first = client.subscribe("first").await.unwrap();
    let cases: [(&[u8], &str); 9] = [
        (b"{\"topic\":\"a\",\"data\":\"%%%\"}\n", "shape"),
        (b"{\"topic\":\"a\",\"data\":7}\n", "shape"),
        (b"{\"topic\":[\"a\"]}\n", "shape"),
        (b"[1]\n", "shape"),
        (b"{\"topic\":\"a\"\n", "not JSON"),
        (b"hello\n", "not JSON"),
        (b"{\"topic\":\"\xff\"}\n", "not UTF-8 at byte 10"),
        (b"{} {}\n", "not JSON"),
        (&[b'['; 5000], ""),
    ];
    for (bytes, part) in cases {
        let (events, peer) = tokio::join!(client.subscribe("a"), server.welcome());
        let mut events = events.unwrap();
        let mut feed = peer.open().await;
        feed.event("a", "good").await;
        feed.raw(bytes.to_vec()).await;
        if part.is_empty() {
            feed.raw("\n").await;
        }
        assert_eq!(event(&mut events).await.text(), Ok("good"));
        let end = error(&mut events).await;
        assert!(matches!(end, SubscriptionError::Line(_)), "{end}");
        assert!(end.to_string().contains(part), "{end}");
        assert!(soon(events.next()).await.is_none());
        peer.closed().await;
    }
    assert!(client.state().current().is_connected());
}

// QP-12.5
#[tokio::test]
async fn an_endless_line_is_given_up_at_the_limit() {
    let server = GoServer::start();
    let (_client, mut events, peer) = server.subscribed(["a"]).await;
    let mut feed = peer.open().await;
    feed.raw("{\"topic\":\"a\",\"data\":\"").await;
    let pouring = tokio::spawn(async move {
        let written = feed.pour(Bytes::from(vec![b'A'; 64 * 1024]), 1000).await;
        (feed, written)
    });
    let end = error(&mut events).await;
    assert!(end.to_string().contains("longer than"), "{end}");
    let (_feed, written) = soon(pouring).await.unwrap();
    // The limit, the stream's window, and what was in flight.
    assert!(written < 4 * 1024 * 1024, "{written} bytes were taken");
}
