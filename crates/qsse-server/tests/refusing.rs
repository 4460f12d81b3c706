//! What a refusal costs, and what it does not tell.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use qsse_proto::Code;
use qsse_proto::control::Start;
use qsse_proto::publish::AckFrame;
use qsse_server::{Action, Authorizer, Config, Principal, Scope};
use qsse_topic::{Filter, PatternRef};
use support::{RawClient, RawPublisher, server};

/// Allows what a filter contains, and counts the questions.
struct Within {
    allowed: Filter,
    asked: Arc<AtomicUsize>,
}

impl Within {
    fn new(patterns: &[&str]) -> Self {
        let patterns = patterns.iter().map(|pattern| pattern.parse().unwrap());
        Self {
            allowed: Filter::new(patterns).unwrap(),
            asked: Arc::default(),
        }
    }
}

#[async_trait]
impl Authorizer for Within {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.allowed.contains(what)
    }

    fn could_allow(&self, _: &Principal, _: Action, pattern: PatternRef<'_>) -> bool {
        self.allowed.intersects(pattern)
    }
}

async fn refused(publisher: &mut RawPublisher) -> (Code, String) {
    match publisher.next().await {
        AckFrame::PublishRefused(refused) => (refused.code, refused.message),
        other => panic!("a refusal, not {other:?}"),
    }
}

async fn refusal(publisher: &mut RawPublisher, topic: &str, matching: bool) -> (Code, String) {
    publisher.queue(topic, matching, b"x");
    refused(publisher).await
}

fn not_allowed(what: &str) -> (Code, String) {
    let message = format!("not allowed to publish on {what}");
    (Code::NOT_AUTHORISED, message)
}

// QP-8.7
#[tokio::test]
async fn who_may_not_publish_under_a_pattern_costs_no_search_and_learns_nothing() {
    let authorizer = Within::new(&["open.*"]);
    let asked = Arc::clone(&authorizer.asked);
    let names = (0..2_000).map(|n| format!("secret.{n}"));
    let server = server().topics(names).authorizer(authorizer);
    let server = server.await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    for pattern in ["secret.*", "secret.1", "secret.*.*", "none.*"] {
        let refusal = refusal(&mut publisher, pattern, true).await;
        assert_eq!(refusal, not_allowed(pattern));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

// QP-8.7
#[tokio::test]
async fn who_may_publish_on_some_topics_of_a_pattern_learns_no_name_and_no_number() {
    let authorizer = Within::new(&["a.1", "b.*"]);
    let asked = Arc::clone(&authorizer.asked);
    let names = (0..2_000).map(|n| format!("a.{n}"));
    let server = server().topics(names).authorizer(authorizer);
    let server = server.await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    // Topics on which it may not publish, and none at all: the answer is the same.
    for pattern in ["a.*", "*.none"] {
        let refusal = refusal(&mut publisher, pattern, true).await;
        assert_eq!(refusal, not_allowed(pattern));
    }
    // Twice about the pattern, and about the first topic, which is not among the allowed ones.
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    for (pattern, events) in [("b.*", 0), ("a.1", 1)] {
        publisher.queue(pattern, true, b"x");
        match publisher.next().await {
            AckFrame::Acknowledged(ack) => assert_eq!(ack.last + 1 - ack.first, events),
            other => panic!("an acknowledgement, not {other:?}"),
        }
    }
}

// QP-8.7
#[tokio::test]
async fn a_pattern_that_reaches_too_many_topics_does_not_tell_how_many() {
    let names = (0..2_000).map(|n| format!("a.{n}"));
    let server = server().topics(names).authorizer(Within::new(&["a.*"]));
    let server = server.await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    let (code, message) = refusal(&mut publisher, "a.*", true).await;
    assert_eq!(code, Code::TOO_MANY_TOPICS);
    assert!(message.contains("more than 1000 topics"), "{message}");
}

/// Allows `people`, and knows only names.
struct OnlyPeople;

#[async_trait]
impl Authorizer for OnlyPeople {
    fn scope(&self) -> Scope {
        Scope::Names
    }

    async fn authorize(&self, _: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        what.as_str() == "people"
    }
}

#[tokio::test]
async fn an_authorizer_of_names_tells_no_more_of_topics_that_exist_than_of_others() {
    let server = server().topics(["people", "secret.1"]);
    let server = server.authorizer(OnlyPeople).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    for (id, pattern) in ["secret.*", "nothing.*"].into_iter().enumerate() {
        client.subscribe(id as u32, &[pattern], Start::Live).await;
        let refusal = refusal(&mut publisher, pattern, true).await;
        assert_eq!(refusal, not_allowed(pattern));
    }
    for (id, name) in ["secret.1", "nothing.1"].into_iter().enumerate() {
        let refused = client.refused(10 + id as u32, &[name], Start::Live).await;
        assert_eq!(refused.0, Code::NOT_AUTHORISED);
        let refusal = refusal(&mut publisher, name, false).await;
        assert_eq!(refusal, not_allowed(name));
    }
}

#[tokio::test]
async fn the_wildcards_of_a_publish_are_limited_as_those_of_a_subscription() {
    let server = server().config(Config::default().max_wildcards(1));
    let server = server.authorizer(Within::new(&["*"])).await.unwrap();
    server.publish("a.b.c", "x").await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    let (code, message) = refusal(&mut publisher, "a.*.*", true).await;
    assert_eq!(code, Code::TOO_MANY_WILDCARDS);
    assert_eq!(message, "a.*.* has more than 1 wildcard");
    publisher.queue("a.*.c", true, b"x");
    assert!(matches!(publisher.next().await, AckFrame::Acknowledged(_)));
}

/// Allows everything but `ride.hidden`.
struct AllButHidden;

#[async_trait]
impl Authorizer for AllButHidden {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        what.as_str() != "ride.hidden"
    }
}

#[tokio::test]
async fn a_hint_names_only_what_the_client_may_use() {
    let server = server().topics(["ride.hidden", "person.seen"]);
    let server = server.authorizer(AllButHidden).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    for (wrong, hint) in [("ride.hiden", false), ("persn.seen", true)] {
        let (code, message) = refusal(&mut publisher, wrong, false).await;
        assert_eq!(code, Code::TOPIC_NOT_AVAILABLE);
        assert_eq!(message.contains("did you mean"), hint, "{message}");
    }
    for (id, (wrong, hint)) in [("ride.hiden", false), ("persn.seen", true)]
        .into_iter()
        .enumerate()
    {
        let (code, message) = client.refused(id as u32, &[wrong], Start::Live).await;
        assert_eq!(code, Code::TOPIC_NOT_AVAILABLE);
        assert_eq!(message.contains("did you mean"), hint, "{message}");
    }
}

#[tokio::test]
async fn who_has_no_right_does_not_learn_which_topics_there_are() {
    let server = server().topics(["people", "secret"]);
    let server = server.authorizer(Within::new(&["people"])).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    for (id, name) in ["secret", "secre", "nothing"].into_iter().enumerate() {
        let refusal = refusal(&mut publisher, name, false).await;
        assert_eq!(refusal, not_allowed(name));
        let expected = format!("not allowed to subscribe to {name}");
        let refused = client.refused(id as u32, &[name], Start::Live).await;
        assert_eq!(refused, (Code::NOT_AUTHORISED, expected));
    }
}

#[tokio::test]
async fn refusals_beyond_the_burst_are_paced_on_all_streams_and_those_behind_one_are_not() {
    let config = Config::default().refusal_burst(2).refusal_rate(1_000);
    let server = server().config(config).await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut ordered = client.publisher(true).await;
    for _ in 0..300 {
        ordered.queue("a", false, b"x");
    }
    assert_eq!(refused(&mut ordered).await, not_allowed("a"));
    for _ in 1..300 {
        assert_eq!(refused(&mut ordered).await.0, Code::FAILED_BEFORE);
    }
    #[cfg(feature = "prometheus")]
    assert!(server.metrics_text().contains("qsse_qsse_refusals_paced 0"));
    let mut publishers = [client.publisher(false).await, client.publisher(false).await];
    for _ in 0..50 {
        for publisher in &mut publishers {
            publisher.queue("a", false, b"x");
        }
    }
    for publisher in &mut publishers {
        for _ in 0..50 {
            assert_eq!(refused(publisher).await, not_allowed("a"));
        }
    }
    #[cfg(feature = "prometheus")]
    assert!(!server.metrics_text().contains("qsse_qsse_refusals_paced 0"));
}
