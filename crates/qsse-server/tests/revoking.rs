//! Rights that are taken back: revoked tokens, and tokens that are checked again. Both ends of a
//! connection are scripted here, against a real server.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use qsse_proto::control::{RefreshToken, ServerFrame, Start, Token};
use qsse_proto::publish::AckFrame;
use qsse_proto::{Code, EventId};
use qsse_server::{
    Action, Authenticator, Authorizer, Config, Credentials, Denied, LogConfig, PatternRef,
    Principal, Revocation, RevokeError, Scope, Server,
};
use qsse_transport::ConnectionError;
use support::{RawClient, server};
use tokio::sync::Semaphore;

/// A token is `NAME ID`, and may be withdrawn.
#[derive(Clone, Default)]
struct Tokens {
    withdrawn: Arc<Mutex<Vec<String>>>,
    /// What a principal may not subscribe to.
    denied: Arc<Mutex<HashMap<String, String>>>,
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let token = credentials.token.unwrap_or("nobody 0");
        if self
            .withdrawn
            .lock()
            .unwrap()
            .iter()
            .any(|gone| gone == token)
        {
            return Err(Denied::new("it was withdrawn"));
        }
        let (name, id) = token.split_once(' ').unwrap();
        Ok(Principal::new(name).with_token_id(id))
    }
}

#[async_trait]
impl Authorizer for Tokens {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, who: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        let denied = self.denied.lock().unwrap();
        denied
            .get(who.name())
            .is_none_or(|denied| denied != what.as_str())
    }
}

async fn serving() -> (Server, Tokens) {
    let tokens = Tokens::default();
    let server = server()
        .authenticator(tokens.clone())
        .authorizer(tokens.clone());
    (server.await.unwrap(), tokens)
}

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn is_revoked(closed: &(Code, String)) -> bool {
    (closed.0, closed.1.as_str()) == (Code::NOT_AUTHORISED, "the token was revoked")
}

#[tokio::test]
async fn a_revoked_principal_or_token_is_closed_and_stays_out_while_it_is_remembered() {
    let (server, _) = serving().await;
    let (ada, _) = RawClient::connect_with(&server, Some("ada 1")).await;
    let (ada_2, _) = RawClient::connect_with(&server, Some("ada 2")).await;
    let (bob, _) = RawClient::connect_with(&server, Some("bob 3")).await;
    assert_eq!(server.revoke(&Revocation::token_id("2")), Ok(1));
    assert!(is_revoked(&ada_2.closed().await));
    assert_eq!(ada.connection.close_reason(), None);
    assert_eq!(server.revoke(&Revocation::principal("ada")), Ok(1));
    assert!(is_revoked(&ada.closed().await));

    for token in ["ada 1", "ada 4", "eve 2"] {
        let refused = RawClient::hello(&server, Some(token)).await;
        assert!(is_revoked(&refused.closed().await), "{token}");
    }
    assert_eq!(bob.connection.close_reason(), None);
    assert!(server.unrevoke(&Revocation::principal("ada")));
    RawClient::connect_with(&server, Some("ada 1")).await;
    assert_eq!(server.status().revocations, 1);
}

#[tokio::test]
async fn a_full_table_closes_connections_and_says_that_they_may_come_back() {
    let tokens = Tokens::default();
    let server = server()
        .config(Config::default().max_revocations(1))
        .authenticator(tokens);
    let server = server.await.unwrap();
    let (ada, _) = RawClient::connect_with(&server, Some("ada 1")).await;
    assert_eq!(server.revoke(&Revocation::principal("bob")), Ok(0));
    let (limit, closed) = (1, 1);
    let full = Err(RevokeError::Full { limit, closed });
    assert_eq!(server.revoke(&Revocation::principal("ada")), full);
    assert!(is_revoked(&ada.closed().await));
    RawClient::connect_with(&server, Some("ada 1")).await;
}

// QP-4.11: nothing is written after the moment, live or from history, and nothing is accepted.
#[tokio::test]
async fn nothing_is_sent_or_accepted_after_a_revocation() {
    let tokens = Tokens::default();
    let mut log = LogConfig::default();
    log.history_bytes = 64 << 20;
    let server = server()
        .config(Config::default().log(log))
        .authenticator(tokens.clone())
        .authorizer(tokens)
        .await
        .unwrap();
    for _ in 0..200 {
        server.try_publish("past", vec![7; 100_000]).unwrap();
    }
    let (mut client, _) = RawClient::connect_with(&server, Some("ada 1")).await;
    let mut live = client.subscribe(1, &["live"], Start::Live).await;
    let mut past = client.subscribe(2, &["past"], Start::Earliest).await;
    let mut publisher = client.publisher(false).await;
    publisher.queue("published", false, b"before");
    assert!(matches!(publisher.next().await, AckFrame::Acknowledged(_)));
    // It is in the middle of the history: it has read less than there is.
    past.event().await;
    until(|| server.connections()[0].subscriptions.len() == 2).await;
    assert!(server.connections()[0].lag() > 0);

    // What is on its way when the right ends is not accepted.
    for _ in 0..64 {
        publisher.queue("published", false, &[7; 1_000]);
    }
    let _ = publisher.writer.flush().await;
    assert_eq!(server.revoke(&Revocation::principal("ada")), Ok(1));
    let head = server.status().last_event;
    let last = server.try_publish("live", "late").unwrap();
    match client.connection.closed().await {
        ConnectionError::Closed { code, .. } => assert_eq!(code, Code::NOT_AUTHORISED),
        // A machine with much else to do may lose the close among so many packets.
        ConnectionError::Reset => {}
        other => panic!("a close, not {other:?}"),
    }
    let mut seen = Vec::new();
    while let Ok(Some(item)) = live.item().await {
        seen.push(item);
    }
    assert!(seen.is_empty(), "{seen:?}");
    let mut read = 1;
    while let Ok(Some(_)) = past.item().await {
        read += 1;
    }
    assert!(read < 200, "all of the history was sent");
    // Its tasks have ended, so that nothing comes later.
    until(|| server.connection_count() == 0 && server.connections().is_empty()).await;
    let published = EventId::new(head.epoch(), head.seq() + 1);
    assert_eq!(last, published, "nothing was accepted in between");
    assert_eq!(server.status().last_event, last);
}

/// Allows to publish once there are permits.
struct SlowPermission {
    asked: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

#[async_trait]
impl Authorizer for SlowPermission {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.permits.acquire().await.unwrap().forget();
        true
    }
}

#[tokio::test]
async fn a_publish_that_waits_for_permission_is_not_accepted_after_a_revocation() {
    let (asked, permits) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let authorizer = SlowPermission {
        asked: Arc::clone(&asked),
        permits: Arc::clone(&permits),
    };
    let server = server()
        .authenticator(Tokens::default())
        .authorizer(authorizer)
        .await
        .unwrap();
    let (client, _) = RawClient::connect_with(&server, Some("ada 1")).await;
    let mut publisher = client.publisher(false).await;
    publisher.queue("a", false, b"x");
    publisher.writer.flush().await.unwrap();
    until(|| asked.load(Ordering::Relaxed) == 1).await;
    assert_eq!(server.revoke(&Revocation::principal("ada")), Ok(1));
    permits.add_permits(100);
    // The session is forgotten when its last task has ended.
    until(|| server.connections().is_empty()).await;
    assert_eq!(server.status().last_event.seq(), 0);
}

/// Accepts `slow` only when it is let through.
struct SlowTokens(Arc<tokio::sync::Notify>);

#[async_trait]
impl Authenticator for SlowTokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let token = credentials.token.unwrap_or("nobody");
        if token == "slow" {
            self.0.notified().await;
        }
        Ok(Principal::new(token))
    }
}

#[tokio::test]
async fn a_token_that_is_being_checked_when_it_is_revoked_is_not_let_in() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let server = server()
        .authenticator(SlowTokens(gate.clone()))
        .await
        .unwrap();
    let connecting = RawClient::hello(&server, Some("slow")).await;
    let mut refreshing = RawClient::connect(&server).await;
    let token = Token::new("slow").unwrap();
    refreshing.send(RefreshToken { token }).await;
    assert_eq!(server.revoke(&Revocation::principal("slow")), Ok(0));
    for client in [&connecting, &refreshing] {
        let closed = tokio::time::timeout(Duration::from_millis(50), client.connection.closed());
        assert!(closed.await.is_err(), "nobody has decided yet");
    }
    for client in [connecting, refreshing] {
        gate.notify_one();
        gate.notify_one();
        assert!(is_revoked(&client.closed().await));
    }
}

#[tokio::test]
async fn clients_are_checked_again_and_lose_what_they_are_no_longer_allowed() {
    let (server, tokens) = serving().await;
    let (mut ada, _) = RawClient::connect_with(&server, Some("ada 1")).await;
    let (mut bob, _) = RawClient::connect_with(&server, Some("bob 2")).await;
    let mut streams = Vec::new();
    for client in [&mut ada, &mut bob] {
        streams.push(client.subscribe(1, &["a"], Start::Live).await);
        streams.push(client.subscribe(2, &["b"], Start::Live).await);
    }
    tokens.withdrawn.lock().unwrap().push("bob 2".into());
    tokens
        .denied
        .lock()
        .unwrap()
        .insert("ada".into(), "a".into());
    server.recheck_clients();
    let (code, reason) = bob.closed().await;
    assert_eq!(
        (code, reason.as_str()),
        (Code::NOT_AUTHORISED, "it was withdrawn")
    );
    assert_eq!(ada.refusal(1).await.0, Code::NOT_AUTHORISED);
    until(|| server.connections().len() == 1).await;
    let subscriptions = &server.connections()[0].subscriptions;
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(subscriptions[0].id, 2);
    // It is not told of a token that it has not sent.
    ada.send(RefreshToken {
        token: Token::new("ada 1").unwrap(),
    })
    .await;
    assert!(matches!(ada.next().await, ServerFrame::TokenAccepted(_)));
    assert_eq!(ada.connection.close_reason(), None::<ConnectionError>);
}

#[tokio::test]
async fn a_client_that_is_being_let_in_is_checked_again_too() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let config = Config::default().auth_timeout(Duration::from_millis(500));
    let server = server()
        .config(config)
        .authenticator(SlowTokens(gate.clone()))
        .await
        .unwrap();
    let client = RawClient::hello(&server, Some("slow")).await;
    until(|| server.connection_count() == 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.recheck_clients();
    gate.notify_one();
    until(|| server.connections().len() == 1).await;
    // The token is asked about a second time, and refused as nobody answers in time.
    assert_eq!(client.closed().await.0, Code::NOT_AUTHORISED);
}

#[tokio::test]
async fn a_check_of_the_token_in_force_does_not_undo_a_newer_token() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let server = server()
        .authenticator(SlowTokens(gate.clone()))
        .await
        .unwrap();
    let (mut client, _) = RawClient::connect_with(&server, Some("older")).await;
    let token = Token::new("slow").unwrap();
    client.send(RefreshToken { token }).await;
    // It waits for the newer token, and then checks that one.
    server.recheck_clients();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(server.connections()[0].principal, "older");
    gate.notify_one();
    gate.notify_one();
    assert!(matches!(client.next().await, ServerFrame::TokenAccepted(_)));
    assert_eq!(server.connections()[0].principal, "slow");
    let token = Token::new("last").unwrap();
    client.send(RefreshToken { token }).await;
    assert!(matches!(client.next().await, ServerFrame::TokenAccepted(_)));
    assert_eq!(server.connections()[0].principal, "last");
}

#[tokio::test]
async fn connections_are_described_and_closed_by_their_number() {
    let (server, _) = serving().await;
    let (mut ada, _) = RawClient::connect_with(&server, Some("ada 1")).await;
    let (bob, _) = RawClient::connect_with(&server, Some("bob 2")).await;
    let mut events = ada.subscribe(7, &["ride.*", "people"], Start::Live).await;
    server.publish("people", "x").await.unwrap();
    assert_eq!(events.event().await.topic(), "people");
    until(|| server.status().behind == 0).await;

    let connections = server.connections();
    let [first, second] = &connections[..] else {
        panic!("two, not {connections:?}");
    };
    assert!(first.id < second.id);
    assert_eq!(
        (first.principal.as_str(), first.token_id.as_deref()),
        ("ada", Some("1"))
    );
    assert_eq!(
        (first.protocol.as_str(), first.namespace.as_ref()),
        ("qsse/1", None)
    );
    assert_eq!(first.subscriptions[0].id, 7);
    assert_eq!(first.subscriptions[0].filter.to_string(), "ride.*, people");
    assert!(first.bytes_sent > 0 && first.bytes_received > 0);
    assert!(first.address.ip().is_loopback());
    assert_eq!(server.status().subscriptions, 1);

    let id = second.id;
    assert!(server.close_connection(id));
    let reason = "closed by the server's operator";
    assert_eq!(bob.closed().await, (Code::NO_ERROR, reason.into()));
    until(|| !server.close_connection(id)).await;
    assert_eq!(server.connections().len(), 1);
}
