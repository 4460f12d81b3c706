//! Who may read and write what.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use qsse_proto::control::{RefreshToken, ServerFrame, Start, Token};
use qsse_proto::publish::AckFrame;
use qsse_proto::{Code, Epoch, EventId};
use qsse_server::{
    Action, Authenticator, Authorizer, ByGrants, Config, Credentials, Denied, Grants, Principal,
    Scope,
};
use qsse_topic::{Filter, Pattern, PatternRef};
use qsse_transport::ReadError;
use support::{RawClient, server};
use tokio::sync::watch;

// QP-5.9: a wildcard never yields what may not be read by name.
#[tokio::test]
async fn go_s_closure_is_asked_for_names_under_a_wildcard_live_and_from_history() {
    let allow = |token: &str, topic: &str| token == "ada" && !topic.ends_with("secret");
    let server = server()
        .authenticator_fn(|_| true)
        .authorizer_fn(allow)
        .await
        .unwrap();
    let (mut client, _) = RawClient::connect_with(&server, Some("ada")).await;
    let publish = async || {
        for topic in ["a.open", "a.secret", "b", "b.secret"] {
            server.publish(topic, topic).await.unwrap();
        }
    };
    publish().await;
    let mut live = client.subscribe(1, &["*"], Start::Live).await;
    publish().await;
    assert_eq!(live.topics(2).await, ["a.open", "b"]);
    let mut history = client.subscribe(2, &["*"], Start::Earliest).await;
    assert_eq!(history.topics(4).await, ["a.open", "b", "a.open", "b"]);

    let (code, message) = client.refused(3, &["a.secret"], Start::Live).await;
    assert_eq!(code, Code::NOT_AUTHORISED);
    assert!(message.contains("a.secret"), "{message}");

    let (mut stranger, _) = RawClient::connect_with(&server, Some("bob")).await;
    let mut nothing = stranger.subscribe(1, &["*"], Start::Earliest).await;
    publish().await;
    let item = tokio::time::timeout(Duration::from_millis(100), nothing.item()).await;
    assert!(item.is_err(), "a stranger sees nothing: {item:?}");
}

// QP-8.10: publishing has to be allowed by somebody who was asked about it.
#[tokio::test]
async fn go_s_closure_opens_no_publishing() {
    let server = server().authorizer_fn(|_, _| true).await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    publisher.queue("a", false, b"x");
    match publisher.next().await {
        AckFrame::PublishRefused(refused) => assert_eq!(refused.code, Code::NOT_AUTHORISED),
        other => panic!("a refusal, not {other:?}"),
    }
    assert_eq!(server.log_stats().head, 0);
}

/// Allows what a filter contains.
struct Within(Filter);

#[async_trait]
impl Authorizer for Within {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        self.0.contains(what)
    }
}

#[tokio::test]
async fn an_authorizer_of_patterns_answers_for_the_whole_pattern() {
    let allowed = Filter::from(Pattern::new("ride.*").unwrap());
    let server = server().authorizer(Within(allowed)).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut rides = client.subscribe(1, &["ride.*.start"], Start::Live).await;
    assert_eq!(
        client.refused(2, &["*"], Start::Live).await.0,
        Code::NOT_AUTHORISED
    );
    let both = client.refused(3, &["ride.1", "people"], Start::Live).await;
    assert_eq!(both.0, Code::NOT_AUTHORISED);

    let mut publisher = client.publisher(false).await;
    publisher.queue("ride.1.start", false, b"go");
    assert!(matches!(publisher.next().await, AckFrame::Acknowledged(_)));
    assert_eq!(rides.topics(1).await, ["ride.1.start"]);
    publisher.queue("people", false, b"no");
    assert!(matches!(
        publisher.next().await,
        AckFrame::PublishRefused(_)
    ));
}

/// Panics, hangs or answers, by the topic's name.
struct Moody {
    asked: Arc<AtomicBool>,
}

#[async_trait]
impl Authorizer for Moody {
    fn scope(&self) -> Scope {
        Scope::Names
    }

    async fn authorize(&self, _: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        self.asked.store(true, Ordering::SeqCst);
        match what.as_str() {
            "panics" => panic!("a bug"),
            "hangs" => std::future::pending().await,
            _ => true,
        }
    }
}

#[tokio::test]
async fn an_authorizer_that_panics_or_hangs_means_no_and_holds_up_only_its_own_stream() {
    let asked = Arc::new(AtomicBool::default());
    let config = Config::default().auth_timeout(Duration::from_millis(200));
    let authorizer = Moody {
        asked: Arc::clone(&asked),
    };
    let server = server()
        .config(config)
        .authorizer(authorizer)
        .await
        .unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut all = client.subscribe(1, &["*"], Start::Live).await;
    let mut named = client.subscribe(2, &["fine"], Start::Live).await;
    for topic in ["hangs", "panics", "fine"] {
        server.publish(topic, topic).await.unwrap();
    }
    assert_eq!(named.topics(1).await, ["fine"]);
    assert_eq!(all.topics(1).await, ["fine"]);
    assert!(asked.load(Ordering::SeqCst));
    assert_eq!(
        client.refused(3, &["panics"], Start::Live).await.0,
        Code::NOT_AUTHORISED
    );
    assert_eq!(
        client.refused(4, &["hangs"], Start::Live).await.0,
        Code::NOT_AUTHORISED
    );
}

// QP-8.7: all topics or none.
#[tokio::test]
async fn a_publish_to_a_pattern_is_refused_as_a_whole_for_one_denied_topic() {
    let allowed = ["a.x", "a.y"].map(|text| Pattern::new(text).unwrap());
    let authorizer = Within(Filter::new(allowed).unwrap());
    let topics = ["a.x", "a.y", "a.z"];
    let server = server()
        .topics(topics)
        .authorizer(authorizer)
        .await
        .unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(false).await;
    publisher.queue("a.*", true, b"x");
    assert!(matches!(
        publisher.next().await,
        AckFrame::PublishRefused(_)
    ));
    assert_eq!(server.log_stats().head, 0);
}

/// Allows what the token says: a pattern.
struct ByToken;

#[async_trait]
impl Authorizer for ByToken {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, who: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        let allowed = Pattern::new(who.token().unwrap_or_default());
        allowed.is_ok_and(|allowed| allowed.contains(what))
    }
}

// QP-5.5: a subscription may also end later. QP-4.8: it has, once the token is accepted.
#[tokio::test]
async fn a_refreshed_token_that_allows_less_ends_what_it_does_not_allow() {
    let server = server().authorizer(ByToken).await.unwrap();
    let (mut client, _) = RawClient::connect_with(&server, Some("*")).await;
    let mut all = client.subscribe(1, &["*"], Start::Live).await;
    let mut rides = client.subscribe(2, &["ride.*"], Start::Live).await;
    let token = Token::new("ride.*").unwrap();
    client.send(RefreshToken { token }).await;
    assert_eq!(client.refusal(1).await.0, Code::NOT_AUTHORISED);
    assert!(matches!(client.next().await, ServerFrame::TokenAccepted(_)));
    server.publish("ride.1", "x").await.unwrap();
    assert_eq!(rides.topics(1).await, ["ride.1"]);
    // The reset says it too, as it may come first.
    assert!(matches!(
        all.item().await,
        Err(ReadError::Reset(Code::NOT_AUTHORISED))
    ));
}

/// Says yes until it is told otherwise, and counts what it is asked.
#[derive(Clone, Default)]
struct Revocable {
    revoked: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Authorizer for Revocable {
    fn scope(&self) -> Scope {
        Scope::Names
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        !self.revoked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_topic_is_asked_for_once_and_a_subscription_each_time() {
    let authorizer = Revocable::default();
    let server = server().authorizer(authorizer.clone()).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut all = client.subscribe(1, &["*"], Start::Live).await;
    let mut named = client.subscribe(2, &["a"], Start::Live).await;
    assert_eq!(authorizer.asked.load(Ordering::SeqCst), 1);

    for _ in 0..3 {
        server.publish("a", "x").await.unwrap();
        assert_eq!(all.topics(1).await, ["a"]);
        assert_eq!(named.topics(1).await, ["a"]);
    }
    assert_eq!(authorizer.asked.load(Ordering::SeqCst), 2);

    authorizer.revoked.store(true, Ordering::SeqCst);
    let (code, _) = client.refused(3, &["a"], Start::Live).await;
    assert_eq!(code, Code::NOT_AUTHORISED);
}

async fn soon<F: Future>(future: F) -> F::Output {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, future)
        .await
        .expect("it came in time")
}

/// Moves the clock, while real sockets go on.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

const ANSWERS: u8 = 0;
const HANGS: u8 = 1;
const PANICS: u8 = 2;

/// Allows everything when it answers; about `fine` it always does.
#[derive(Clone, Default)]
struct Unwell {
    mode: Arc<AtomicU8>,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Authorizer for Unwell {
    fn scope(&self) -> Scope {
        Scope::Names
    }

    async fn authorize(&self, _: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        if what.as_str() == "fine" {
            return true;
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.mode.load(Ordering::SeqCst) {
            HANGS => std::future::pending().await,
            PANICS => panic!("a bug"),
            _ => true,
        }
    }
}

#[tokio::test]
async fn no_answer_denies_what_waited_and_is_no_answer_for_ever() {
    for fault in [HANGS, PANICS] {
        let authorizer = Unwell::default();
        let asked = || authorizer.asked.load(Ordering::SeqCst);
        let config = Config::default().auth_timeout(Duration::from_millis(100));
        let server = server().config(config).authorizer(authorizer.clone());
        let server = server.await.unwrap();
        let mut client = RawClient::connect(&server).await;
        let mut all = client.subscribe(1, &["*"], Start::Live).await;
        let mut publisher = client.publisher(false).await;
        let publish = async || {
            for topic in ["a", "fine"] {
                server.publish(topic, "x").await.unwrap();
            }
        };
        authorizer.mode.store(fault, Ordering::SeqCst);
        publish().await;
        assert_eq!(soon(all.topics(1)).await, ["fine"]);
        publisher.queue("b", false, b"x");
        let refused = |frame| match frame {
            AckFrame::PublishRefused(refused) => refused.code,
            other => panic!("a refusal, not {other:?}"),
        };
        assert_eq!(refused(soon(publisher.next()).await), Code::BUSY);
        assert_eq!(asked(), 2);

        // It is not asked for each event, and neither is a stream held up by each.
        publish().await;
        assert_eq!(soon(all.topics(1)).await, ["fine"]);
        publisher.queue("b", false, b"x");
        assert_eq!(refused(soon(publisher.next()).await), Code::BUSY);
        assert_eq!(asked(), 2);

        // A subscription that comes back is not ended by it.
        let resumed = Start::After(EventId::new(Epoch::new(1), 1));
        assert_eq!(client.refused(2, &["a"], resumed).await.0, Code::BUSY);
        let new = client.refused(3, &["a"], Start::Live).await;
        assert_eq!(new.0, Code::NOT_AUTHORISED);

        // Still without an answer, it takes twice as long to the next question.
        later(Duration::from_secs(6)).await;
        publish().await;
        assert_eq!(soon(all.topics(1)).await, ["fine"]);
        assert_eq!(asked(), 5);
        authorizer.mode.store(ANSWERS, Ordering::SeqCst);
        later(Duration::from_secs(6)).await;
        publish().await;
        assert_eq!(soon(all.topics(1)).await, ["fine"]);
        later(Duration::from_secs(5)).await;
        publish().await;
        assert_eq!(soon(all.topics(2)).await, ["a", "fine"]);
        publisher.queue("b", false, b"x");
        let taken = soon(publisher.next()).await;
        assert!(matches!(taken, AckFrame::Acknowledged(_)), "{taken:?}");
    }
}

#[tokio::test]
async fn topics_of_one_batch_are_asked_about_together() {
    let authorizer = Unwell::default();
    authorizer.mode.store(HANGS, Ordering::SeqCst);
    let timeout = Duration::from_secs(1);
    let config = Config::default().auth_timeout(timeout);
    let server = server().config(config).authorizer(authorizer.clone());
    let server = server.await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut all = client.subscribe(1, &["*"], Start::Live).await;
    let names: Vec<_> = (0..20).map(|n| format!("t.{n}")).collect();
    let mut events: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    events.push(("fine", "x"));
    let began = std::time::Instant::now();
    server.publish_all(&events).await.unwrap();
    assert_eq!(soon(all.topics(1)).await, ["fine"]);
    assert!(began.elapsed() < 5 * timeout, "{:?}", began.elapsed());
}

/// Allows the topics that the token lists. About `a` it answers a principal of the token `old` once it may.
#[derive(Clone)]
struct Listed {
    may: watch::Sender<bool>,
    asked: watch::Sender<bool>,
}

impl Listed {
    fn new(may: bool) -> Self {
        Self {
            may: watch::Sender::new(may),
            asked: watch::Sender::new(false),
        }
    }
}

#[async_trait]
impl Authorizer for Listed {
    fn scope(&self) -> Scope {
        Scope::Names
    }

    async fn authorize(&self, who: &Principal, _: Action, what: PatternRef<'_>) -> bool {
        let token = who.token().unwrap_or_default();
        if what.as_str() == "a" && token.starts_with("old") {
            self.asked.send_replace(true);
            let mut may = self.may.subscribe();
            may.wait_for(|may| *may).await.unwrap();
        }
        token.split(' ').any(|topic| topic == what.as_str())
    }
}

async fn refresh(client: &mut RawClient, token: &str) {
    let token = Token::new(token).unwrap();
    client.send(RefreshToken { token }).await;
    let accepted = soon(client.next()).await;
    assert!(
        matches!(accepted, ServerFrame::TokenAccepted(_)),
        "{accepted:?}"
    );
}

#[tokio::test]
async fn what_an_older_token_could_read_is_forgotten_with_it() {
    let server = server().authorizer(Listed::new(true)).await.unwrap();
    let (mut client, _) = RawClient::connect_with(&server, Some("old a b")).await;
    let mut all = client.subscribe(1, &["*"], Start::Live).await;
    let publish = async || {
        for topic in ["a", "b"] {
            server.publish(topic, "x").await.unwrap();
        }
    };
    publish().await;
    assert_eq!(soon(all.topics(2)).await, ["a", "b"]);
    refresh(&mut client, "new b").await;
    publish().await;
    publish().await;
    assert_eq!(soon(all.topics(2)).await, ["b", "b"]);
}

#[tokio::test]
async fn an_answer_about_an_older_token_is_worth_nothing_for_the_newer_one() {
    let authorizer = Listed::new(false);
    let server = server().authorizer(authorizer.clone()).await.unwrap();
    let (mut client, _) = RawClient::connect_with(&server, Some("old a b")).await;
    let mut all = client.subscribe(1, &["*"], Start::Live).await;
    client.ask(2, &["a"], Start::Live).await;
    let publish = async || {
        for topic in ["a", "b"] {
            server.publish(topic, "x").await.unwrap();
        }
    };
    publish().await;
    let mut asked = authorizer.asked.subscribe();
    soon(asked.wait_for(|asked| *asked)).await.unwrap();
    refresh(&mut client, "new b").await;
    authorizer.may.send_replace(true);
    publish().await;
    assert_eq!(soon(all.topics(2)).await, ["b", "b"]);
    // It is not let in on the older token's behalf.
    assert_eq!(soon(client.refusal(2)).await.0, Code::NOT_AUTHORISED);
}

/// Grants what the token says: a pattern to subscribe to and one to publish on. No token, no grants.
struct GrantsOfToken;

#[async_trait]
impl Authenticator for GrantsOfToken {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let Some(token) = credentials.token else {
            return Ok(Principal::new("no grants"));
        };
        let mut filters = token.split(' ').map(|text| Pattern::new(text).unwrap());
        let mut filter = || Filter::from(filters.next().unwrap());
        let grants = Grants::new().subscribe(filter()).publish(filter());
        Ok(Principal::new("ada").with_grants(grants))
    }
}

/// Publishes one event as the client, and returns the code of the refusal.
async fn refusal_of_publish(client: &RawClient, topic: &str) -> Option<Code> {
    let mut publisher = client.publisher(false).await;
    publisher.queue(topic, false, b"x");
    match publisher.next().await {
        AckFrame::Acknowledged(_) => None,
        AckFrame::PublishRefused(refused) => Some(refused.code),
        other => panic!("an answer, not {other:?}"),
    }
}

#[tokio::test]
async fn without_an_authorizer_the_grants_of_the_principal_decide_until_its_token_changes() {
    let server = server().authenticator(GrantsOfToken).await.unwrap();
    let (mut client, _) = RawClient::connect_with(&server, Some("ride.* ride.7")).await;
    let _rides = client.subscribe(1, &["ride.*.start"], Start::Live).await;
    let (code, _) = client.refused(2, &["*"], Start::Live).await;
    assert_eq!(code, Code::NOT_AUTHORISED);
    assert_eq!(refusal_of_publish(&client, "ride.7").await, None);
    let refused = Some(Code::NOT_AUTHORISED);
    assert_eq!(refusal_of_publish(&client, "ride.8").await, refused);

    let token = Token::new("people ride.8").unwrap();
    client.send(RefreshToken { token }).await;
    assert_eq!(client.refusal(1).await.0, Code::NOT_AUTHORISED);
    assert!(matches!(client.next().await, ServerFrame::TokenAccepted(_)));
    assert_eq!(refusal_of_publish(&client, "ride.8").await, None);

    let (mut plain, _) = RawClient::connect_with(&server, None).await;
    plain.subscribe(1, &["*"], Start::Live).await;
    assert_eq!(refusal_of_publish(&plain, "ride.8").await, refused);
}

#[tokio::test]
async fn by_grants_allows_nothing_without_grants() {
    let server = server()
        .authenticator(GrantsOfToken)
        .authorizer(ByGrants)
        .await
        .unwrap();
    let (mut plain, _) = RawClient::connect_with(&server, None).await;
    let (code, _) = plain.refused(1, &["ride.7"], Start::Live).await;
    assert_eq!(code, Code::NOT_AUTHORISED);
    let (mut ada, _) = RawClient::connect_with(&server, Some("* *")).await;
    ada.subscribe(1, &["*"], Start::Live).await;
    assert_eq!(refusal_of_publish(&ada, "ride.8").await, None);
}
