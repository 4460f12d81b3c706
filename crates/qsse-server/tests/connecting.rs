//! Connections: let in, refused, expired, drained.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::time::Duration;

use async_trait::async_trait;
use qsse_proto::Code;
use qsse_proto::control::{RefreshToken, ServerFrame, Start, Token};
use qsse_proto::stream::Item;
use qsse_server::{Authenticator, Closed, Config, Credentials, Denied, Principal, Server};
use support::{RawClient, server};

#[tokio::test]
async fn a_welcome_tells_the_limits() {
    let server = server()
        .config(Config::default().max_subscriptions(7))
        .await
        .unwrap();
    let (_client, welcome) = RawClient::connect_with(&server, None).await;
    assert_eq!(welcome.max_subscriptions, 7);
    assert_eq!(welcome.max_event_bytes, 1 << 20);
    assert_eq!(welcome.heartbeat_ms, 10_000);
}

// QP-4.1: a connection that does not introduce itself is closed.
#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let config = Config::default().hello_timeout(Duration::from_millis(50));
    let server = server().config(config).await.unwrap();
    let (connection, _endpoint) = RawClient::open(&server).await;
    assert_eq!(support::close_code(&connection).await, Code::HELLO_TIMEOUT);
}

#[tokio::test]
async fn the_first_frame_must_be_hello_and_there_is_only_one() {
    let server = server().await.unwrap();
    let (connection, _endpoint) = RawClient::open(&server).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&mut [bytes::Bytes::from_static(&[1, 0, 0, 0, 0x7f])])
        .await
        .unwrap();
    assert_eq!(
        support::close_code(&connection).await,
        Code::PROTOCOL_VIOLATION
    );

    let mut client = RawClient::connect(&server).await;
    client.send(qsse_proto::control::Hello::default()).await;
    assert_eq!(client.closed().await.0, Code::PROTOCOL_VIOLATION);
}

#[tokio::test]
async fn a_hello_over_its_limit_is_refused_before_it_is_read() {
    let server = server().await.unwrap();
    let (connection, _endpoint) = RawClient::open(&server).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&mut [bytes::Bytes::from_static(&[0xff, 0xff, 0xff, 0x7f, 1])])
        .await
        .unwrap();
    assert_eq!(
        support::close_code(&connection).await,
        Code::FRAME_TOO_LARGE
    );
}

#[tokio::test]
async fn a_token_is_accepted_or_refused() {
    let server = server()
        .authenticator_fn(|token| token == "secret")
        .await
        .unwrap();
    RawClient::connect_with(&server, Some("secret")).await;
    for token in [None, Some("wrong")] {
        let client = RawClient::hello(&server, token).await;
        let (code, reason) = client.closed().await;
        assert_eq!(code, Code::NOT_AUTHORISED);
        assert!(!reason.contains("wrong"), "a token is never told: {reason}");
    }
}

#[tokio::test]
async fn an_authenticator_that_panics_or_hangs_lets_nobody_in() {
    let panics = server()
        .authenticator_fn(|_| panic!("a bug"))
        .await
        .unwrap();
    let client = RawClient::hello(&panics, None).await;
    assert_eq!(client.closed().await.0, Code::NOT_AUTHORISED);

    struct Hangs;
    #[async_trait]
    impl Authenticator for Hangs {
        async fn authenticate(&self, _: Credentials<'_>) -> Result<Principal, Denied> {
            std::future::pending().await
        }
    }
    let config = Config::default().auth_timeout(Duration::from_millis(50));
    let hangs = server().config(config).authenticator(Hangs).await.unwrap();
    let client = RawClient::hello(&hangs, None).await;
    assert_eq!(client.closed().await.0, Code::NOT_AUTHORISED);
}

struct ShortLived;

#[async_trait]
impl Authenticator for ShortLived {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        match credentials.token {
            Some("long") => Ok(Principal::new("long")),
            Some("short") => Ok(Principal::new("short").valid_for(Duration::from_millis(100))),
            _ => Err(Denied::new("a token is needed")),
        }
    }
}

// QP-4.9: nothing is written after the end of a token.
#[tokio::test]
async fn an_expired_token_ends_the_connection() {
    let server = server().authenticator(ShortLived).await.unwrap();
    let (client, _) = RawClient::connect_with(&server, Some("short")).await;
    assert_eq!(client.closed().await.0, Code::TOKEN_EXPIRED);
}

#[tokio::test]
async fn a_refreshed_token_keeps_the_connection_and_its_subscriptions() {
    let server = server().authenticator(ShortLived).await.unwrap();
    let (mut client, _) = RawClient::connect_with(&server, Some("short")).await;
    let mut events = client.subscribe(1, &["*"], Start::Live).await;
    client
        .send(RefreshToken {
            token: Token::new("long").unwrap(),
        })
        .await;
    match client.next().await {
        ServerFrame::TokenAccepted(accepted) => assert_eq!(accepted.expires_in_ms, None),
        other => panic!("an answer, not {other:?}"),
    }
    // Longer than the first token was good for.
    tokio::time::sleep(Duration::from_millis(150)).await;
    server.publish("a", "still here").await.unwrap();
    assert_eq!(events.event().await.text().unwrap(), "still here");

    client
        .send(RefreshToken {
            token: Token::new("forged").unwrap(),
        })
        .await;
    assert_eq!(client.closed().await.0, Code::NOT_AUTHORISED);
}

/// Answers about the token "older" only after it was asked about "newer".
#[derive(Default)]
struct Overtaking(tokio::sync::Notify);

#[async_trait]
impl Authenticator for Overtaking {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let principal = Principal::new("anyone");
        match credentials.token {
            Some("older") => {
                self.0.notified().await;
                Ok(principal.valid_for(Duration::from_secs(60)))
            }
            Some("newer") => {
                self.0.notify_one();
                Ok(principal)
            }
            _ => Ok(principal),
        }
    }
}

// QP-4.6, QP-4.8: whoever takes rights away by a newer token must not be left with the older one.
#[tokio::test]
async fn the_newest_token_counts_however_long_each_is_looked_at() {
    let server = server().authenticator(Overtaking::default()).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    for token in ["older", "newer"] {
        let token = Token::new(token).unwrap();
        client.send(RefreshToken { token }).await;
    }
    for expected in [Some(60_000), None] {
        match client.next().await {
            ServerFrame::TokenAccepted(accepted) => assert_eq!(accepted.expires_in_ms, expected),
            other => panic!("an answer, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_drain_writes_every_stream_to_its_end() {
    let server = server().await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut events = client.subscribe(1, &["*"], Start::Live).await;
    for n in 0..1_000 {
        server.publish("a", format!("{n}")).await.unwrap();
    }
    let draining = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown(Duration::from_secs(10)).await }
    });
    match client.next().await {
        ServerFrame::Goodbye(goodbye) => {
            assert_eq!(goodbye.code, Code::SHUTTING_DOWN);
            assert!(goodbye.retry_after_ms.is_some());
        }
        other => panic!("a goodbye, not {other:?}"),
    }
    for n in 0..1_000 {
        assert_eq!(events.event().await.text().unwrap(), format!("{n}"));
    }
    // A last word on the position, then the end.
    assert!(matches!(events.item().await, Ok(Some(Item::Heartbeat(id))) if id.seq() == 1_000));
    assert!(matches!(events.item().await, Ok(None)));
    let refused = server.try_publish("a", "late").unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    client.connection.close(Code::NO_ERROR, "read to the end");
    assert_eq!(draining.await.unwrap(), Closed::Drained);
    assert_eq!(server.closed().await, Closed::Drained);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_client_that_stalls() {
    let server = server().await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let _unread = client.subscribe(1, &["*"], Start::Live).await;
    for _ in 0..20 {
        server.publish("a", vec![0; 1 << 20]).await.unwrap();
    }
    assert_eq!(
        server.shutdown(Duration::from_millis(100)).await,
        Closed::DeadlinePassed
    );
    assert_eq!(client.closed().await.0, Code::SHUTTING_DOWN);
}

#[tokio::test]
async fn the_last_handle_dropped_closes_at_once() {
    let server = server().await.unwrap();
    let other = server.clone();
    let (client, _) = RawClient::connect_with(&server, None).await;
    drop(server);
    assert!(client.connection.close_reason().is_none());
    drop(other);
    assert_eq!(client.closed().await.0, Code::SHUTTING_DOWN);
}

#[tokio::test]
async fn wrong_settings_are_told_before_anything_listens() {
    let address = Server::bind("nowhere").await.unwrap_err().to_string();
    assert!(address.contains("127.0.0.1:4242"), "{address}");
    let topic = Server::bind("127.0.0.1:0")
        .topics(["a..b"])
        .await
        .unwrap_err()
        .to_string();
    assert!(topic.contains("a..b"), "{topic}");
    let first = server().await.unwrap();
    let second = Server::bind(first.local_addr())
        .await
        .unwrap_err()
        .to_string();
    assert!(second.contains("in use"), "{second}");
}
