//! Clients that are confined to a prefix, and must not notice it. Scripted clients against a real
//! server.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use qsse_proto::control::{RefreshToken, Start, Token};
use qsse_proto::publish::{AckFrame, Key, Publish};
use qsse_proto::{Code, Kind};
use qsse_server::{
    Action, Authenticator, Authorizer, Credentials, Denied, PatternRef, Principal, Scope, Server,
    ServerBuilder,
};
use support::{Events, RawClient, server};

/// A token is `NAME NAMESPACE`, or the name of a client that is not confined.
struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let token = credentials.token.unwrap_or("nobody");
        let principal = |name: &str| Principal::new(name);
        Ok(match token.split_once(' ') {
            Some((name, namespace)) => principal(name).with_namespace(namespace.parse().unwrap()),
            None => principal(token),
        })
    }
}

/// Allows everything but topics called `secret`, and remembers what it was asked about.
#[derive(Clone)]
struct Rights {
    scope: Scope,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Rights {
    fn new(scope: Scope) -> Self {
        let asked = Arc::default();
        Self { scope, asked }
    }
}

#[async_trait]
impl Authorizer for Rights {
    fn scope(&self) -> Scope {
        self.scope
    }

    async fn authorize(&self, _: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        self.asked.lock().unwrap().push(what.as_str().to_owned());
        what.as_str() != "secret"
    }
}

fn with_tenants() -> ServerBuilder {
    server()
        .authenticator(Tokens)
        .authorizer(Rights::new(Scope::Patterns))
        .go_dialect(true)
}

async fn client(server: &Server, token: &str) -> RawClient {
    RawClient::connect_with(server, Some(token)).await.0
}

/// Publishes as the client, and returns the refusal, if any.
async fn publish(client: &RawClient, topic: &str, matching: bool) -> Option<(Code, String)> {
    let mut publisher = client.publisher(false).await;
    publisher.queue(topic, matching, b"x");
    match publisher.next().await {
        AckFrame::PublishRefused(refused) => Some((refused.code, refused.message)),
        AckFrame::Acknowledged(_) => None,
        other => panic!("an answer, not {other:?}"),
    }
}

async fn topics(events: &mut Events, count: usize) -> Vec<String> {
    events.topics(count).await
}

// QP-4.12
#[tokio::test]
async fn tenants_do_not_notice_their_prefix_nor_each_other() {
    let server = with_tenants().await.unwrap();
    let mut acme = client(&server, "ada acme.eu").await;
    let mut acme_2 = client(&server, "bob acme.eu").await;
    let mut other = client(&server, "eve acme").await;
    let mut operator = client(&server, "operator").await;
    let mut live = [
        acme.subscribe(1, &["*"], Start::Live).await,
        acme_2
            .subscribe(1, &["ride.*", "people"], Start::Live)
            .await,
    ];
    let mut others = other.subscribe(1, &["ride.*"], Start::Live).await;
    let mut all = operator.subscribe(1, &["acme.eu.*"], Start::Live).await;
    assert_eq!(publish(&acme, "ride.7", false).await, None);
    assert_eq!(publish(&acme_2, "people", false).await, None);
    // It reaches the topics of the namespace only.
    assert_eq!(publish(&other, "ride.7", false).await, None);
    assert_eq!(publish(&acme, "ride.*", true).await, None);
    for events in &mut live {
        assert_eq!(topics(events, 3).await, ["ride.7", "people", "ride.7"]);
    }
    let full = ["acme.eu.ride.7", "acme.eu.people", "acme.eu.ride.7"];
    assert_eq!(topics(&mut all, 3).await, full);
    assert_eq!(topics(&mut others, 1).await, ["ride.7"]);

    // The same from the history.
    let mut past = acme.subscribe(2, &["*"], Start::Earliest).await;
    assert_eq!(topics(&mut past, 3).await, ["ride.7", "people", "ride.7"]);
    let mut past = other.subscribe(2, &["ride.*"], Start::Earliest).await;
    assert_eq!(past.event().await.id().seq(), 3);
    server.publish("acme.ride.8", "x").await.unwrap();
    assert_eq!(topics(&mut past, 1).await, ["ride.8"]);
    assert_eq!(topics(&mut others, 1).await, ["ride.8"]);
    let connections = server.connections();
    assert_eq!(
        connections[0].namespace.as_ref().unwrap().as_str(),
        "acme.eu"
    );
    let filter = connections[0].subscriptions[0].filter.to_string();
    assert_eq!(filter, "acme.eu.*");
}

#[tokio::test]
async fn refusals_and_hints_speak_the_names_of_the_client() {
    let declared = ["acme.people", "acme.ride.*", "other.peoples"];
    let server = with_tenants().topics(declared).await.unwrap();
    let mut acme = client(&server, "ada acme").await;
    let (code, message) = acme.refused(1, &["peple"], Start::Live).await;
    assert_eq!(code, Code::TOPIC_NOT_AVAILABLE);
    let expected = "no topic of this server matches peple: did you mean people?";
    assert_eq!(message, expected);
    let (code, message) = acme.refused(2, &["secret"], Start::Live).await;
    assert_eq!(code, Code::NOT_AUTHORISED);
    assert_eq!(message, "not allowed to subscribe to secret");
    let (code, message) = publish(&acme, "peple", false).await.unwrap();
    assert_eq!(code, Code::TOPIC_NOT_AVAILABLE);
    assert!(message.ends_with("did you mean \"people\"?"), "{message}");
    let (_, message) = publish(&acme, "secret", false).await.unwrap();
    assert_eq!(message, "not allowed to publish on secret");
    // With the prefix it is too long, without it is not.
    let long = "a".repeat(253);
    let (code, message) = publish(&acme, &long, false).await.unwrap();
    assert_eq!(code, Code::INVALID_TOPIC);
    assert!(
        message.starts_with(&long) && !message.contains("acme"),
        "{message}"
    );
    let (code, message) = acme.refused(3, &[&long], Start::Live).await;
    assert_eq!(code, Code::INVALID_TOPIC);
    assert!(!message.contains("acme"), "{message}");
    assert_eq!(publish(&acme, "people", false).await, None);
}

#[tokio::test]
async fn an_authorizer_of_names_is_asked_about_the_names_of_the_client() {
    let rights = Rights::new(Scope::Names);
    let server = server().authenticator(Tokens).authorizer(rights.clone());
    let server = server.await.unwrap();
    let mut acme = client(&server, "ada acme").await;
    let mut events = acme.subscribe(1, &["*"], Start::Live).await;
    let published = [("acme.a", "1"), ("acme.secret", "2"), ("acme.b", "3")];
    server.publish_all(&published).await.unwrap();
    assert_eq!(topics(&mut events, 2).await, ["a", "b"]);
    let mut asked = rights.asked.lock().unwrap().clone();
    asked.sort();
    assert_eq!(asked, ["a", "b", "secret"]);
}

// QP-4.13
#[tokio::test]
async fn topics_with_a_dollar_are_the_server_s() {
    let server = with_tenants().await.unwrap();
    let mut plain = client(&server, "operator").await;
    let mut acme = client(&server, "ada acme").await;
    for client in [&plain, &acme] {
        for (topic, matching) in [("$sys.a", false), ("$sys.*", true), ("$x", true)] {
            let (code, message) = publish(client, topic, matching).await.unwrap();
            assert_eq!(code, Code::NOT_AUTHORISED, "{topic}");
            assert!(message.contains("the server's"), "{message}");
        }
    }
    let mut all = plain.subscribe(1, &["*"], Start::Live).await;
    let mut granted = plain.subscribe(2, &["$sys.*"], Start::Live).await;
    let (code, _) = acme.refused(1, &["$sys.*"], Start::Live).await;
    assert_eq!(code, Code::NOT_AUTHORISED);
    server.publish("$sys.a", "x").await.unwrap();
    server.publish("a", "x").await.unwrap();
    assert_eq!(topics(&mut granted, 1).await, ["$sys.a"]);
    assert_eq!(topics(&mut all, 1).await, ["a"]);
}

#[tokio::test]
async fn a_token_of_another_namespace_needs_another_connection() {
    let server = with_tenants().await.unwrap();
    for token in ["ada other", "ada"] {
        let mut acme = client(&server, "ada acme").await;
        let token = Token::new(token).unwrap();
        acme.send(RefreshToken { token }).await;
        assert_eq!(acme.closed().await.0, Code::NOT_AUTHORISED);
    }
}

#[tokio::test]
async fn keys_of_one_name_in_two_namespaces_are_two_keys() {
    let server = with_tenants().await.unwrap();
    for (token, events) in [
        ("ada acme", 1),
        ("ada other", 2),
        ("ada", 3),
        ("ada acme", 3),
    ] {
        let client = client(&server, token).await;
        let mut publisher = client.publisher(false).await;
        let key = Key::new("k").unwrap();
        let publish = Publish::new(false, "a", &Kind::MESSAGE, bytes::Bytes::from_static(b"x"));
        publisher.writer.queue(publish.keyed(key, None).encode());
        assert!(matches!(publisher.next().await, AckFrame::Acknowledged(_)));
        assert_eq!(server.status().last_event.seq(), events, "{token}");
    }
}
