//! What one principal or one network may use.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use async_trait::async_trait;
use qsse_proto::Code;
use qsse_proto::control::{OnLag, ServerFrame, Start, Subscribe, Unsubscribe};
use qsse_proto::publish::AckFrame;
use qsse_server::{
    Action, Authenticator, Authorizer, Config, Credentials, Denied, Grants, LogConfig, Principal,
    PrincipalLimits, Scope,
};
use qsse_topic::PatternRef;
use qsse_transport::ReadError;
use support::{Events, RawClient, server};

/// Whoever shows a token is who it says; `small` has limits of its own, `wrong` is refused.
struct ByToken;

#[async_trait]
impl Authenticator for ByToken {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let principal = match credentials.token {
            Some("wrong") => return Err(Denied::new("this server does not know the token")),
            Some("small") => {
                let limits = PrincipalLimits::default().connections(1).subscriptions(1);
                Principal::new("small").with_limits(limits)
            }
            Some("few") => {
                Principal::new("few").with_limits(PrincipalLimits::default().patterns(4))
            }
            Some(name) => Principal::new(name),
            None => Principal::anonymous(),
        };
        Ok(principal.with_grants(Grants::everything()))
    }
}

/// Never answers.
struct Never;

#[async_trait]
impl Authorizer for Never {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_principal_has_as_many_connections_as_it_or_the_server_says() {
    let limits = PrincipalLimits::default().connections(2);
    let config = Config::default().principal_limits(limits);
    let server = server().authenticator(ByToken).config(config);
    let server = server.await.unwrap();
    for (token, most) in [("small", 1), ("ada", 2), ("bob", 2)] {
        let mut clients = Vec::new();
        for _ in 0..most {
            clients.push(RawClient::connect_with(&server, Some(token)).await.0);
        }
        let refused = RawClient::hello(&server, Some(token)).await;
        let (code, reason) = refused.closed().await;
        assert_eq!(code, Code::BUSY);
        assert!(reason.contains("close one"), "{reason}");
        // The others count elsewhere, and clients without a token nowhere.
        let _stranger = RawClient::connect(&server).await;
    }
    // Their places come back.
    loop {
        let client = RawClient::hello(&server, Some("small")).await;
        let mut client = client;
        if client
            .reader
            .next()
            .await
            .is_ok_and(|frame| frame.is_some())
        {
            break;
        }
    }
}

#[tokio::test]
async fn limits_that_are_set_while_the_server_runs_count_what_is_open() {
    let limits =
        |most| Config::default().principal_limits(PrincipalLimits::default().connections(most));
    let server = server().authenticator(ByToken).config(limits(1));
    let server = server.await.unwrap();
    let (_first, _) = RawClient::connect_with(&server, Some("ada")).await;
    server.set_limits(&limits(2)).unwrap();
    let (_second, _) = RawClient::connect_with(&server, Some("ada")).await;
    let refused = RawClient::hello(&server, Some("ada")).await;
    assert_eq!(refused.closed().await.0, Code::BUSY);
}

#[tokio::test]
async fn a_network_has_as_many_connections_as_the_server_says() {
    let limits = PrincipalLimits::default().connections(2);
    let config = Config::default().network_limits(limits);
    let server = server().config(config).await.unwrap();
    let _clients = (
        RawClient::connect(&server).await,
        // It counts before it says anything.
        RawClient::open(&server).await,
    );
    let refused = RawClient::hello(&server, None).await;
    let (code, reason) = refused.closed().await;
    assert_eq!(code, Code::BUSY);
    assert!(reason.contains("your network"), "{reason}");
}

#[tokio::test]
async fn subscriptions_count_over_all_connections_until_they_end() {
    let limits = PrincipalLimits::default().subscriptions(2);
    let config = Config::default().principal_limits(limits);
    let server = server().authenticator(ByToken).config(config);
    let server = server.await.unwrap();
    let (mut one, _) = RawClient::connect_with(&server, Some("ada")).await;
    let (mut other, _) = RawClient::connect_with(&server, Some("ada")).await;
    let _first = one.subscribe(1, &["a"], Start::Live).await;
    let _second = other.subscribe(1, &["a"], Start::Live).await;
    let (code, message) = other.refused(2, &["b"], Start::Live).await;
    assert_eq!(code, Code::TOO_MANY_SUBSCRIPTIONS);
    assert!(message.contains("on all connections"), "{message}");
    one.send(Unsubscribe { id: 1 }).await;
    // The frames of one connection are handled in order.
    let _third = one.subscribe(2, &["b"], Start::Live).await;
    let refused = other.refused(3, &["b"], Start::Live).await;
    assert_eq!(refused.0, Code::TOO_MANY_SUBSCRIPTIONS);
}

#[tokio::test]
async fn subscriptions_and_publishes_of_a_network_count_together() {
    let limits = PrincipalLimits::default()
        .subscriptions(1)
        .publishes_per_second(100);
    let config = Config::default().network_limits(limits);
    let server = server().authenticator(ByToken).config(config);
    let server = server.await.unwrap();
    let (mut ada, _) = RawClient::connect_with(&server, Some("ada")).await;
    let (mut bob, _) = RawClient::connect_with(&server, Some("bob")).await;
    let _stream = ada.subscribe(1, &["a"], Start::Live).await;
    let (code, message) = bob.refused(1, &["a"], Start::Live).await;
    assert_eq!(code, Code::TOO_MANY_SUBSCRIPTIONS);
    assert!(message.contains("network"), "{message}");
    // Each of them stays below the limit, and all together do not.
    let (eve, _) = RawClient::connect_with(&server, Some("eve")).await;
    for client in [&ada, &bob, &eve] {
        let mut publisher = client.publisher(false).await;
        for _ in 0..75 {
            publisher.queue("a", false, b"x");
        }
        let mut through = 0;
        while through < 74 {
            match publisher.next().await {
                AckFrame::Acknowledged(ack) => through = ack.through,
                other => panic!("an acknowledgement, not {other:?}"),
            }
        }
        // It is read when the events before it are earned.
        publisher.queue("a", false, b"x");
        assert!(matches!(publisher.next().await, AckFrame::Acknowledged(_)));
    }
    #[cfg(feature = "prometheus")]
    assert!(
        !server
            .metrics_text()
            .contains("qsse_qsse_publishes_paced 0")
    );
}

#[tokio::test]
async fn a_subscription_that_ends_by_itself_gives_its_place_back() {
    let limits = PrincipalLimits::default().subscriptions(1);
    let config = Config::default().principal_limits(limits);
    let server = server().authenticator(ByToken).config(config);
    let server = server.await.unwrap();
    let (mut one, _) = RawClient::connect_with(&server, Some("ada")).await;
    let (mut other, _) = RawClient::connect_with(&server, Some("ada")).await;
    // The client reads its stream no further.
    let mut stopped = one.subscribe(1, &["a"], Start::Live).await;
    stopped.stop();
    let mut id = 0;
    let place = loop {
        id += 1;
        other.ask(id, &["a"], Start::Live).await;
        match other.next().await {
            ServerFrame::Subscribed(_) => break Events::accept(&other.connection).await,
            ServerFrame::Refused(refused) => {
                assert_eq!(refused.code, Code::TOO_MANY_SUBSCRIPTIONS);
            }
            frame => panic!("an answer, not {frame:?}"),
        }
    };
    other.send(qsse_proto::control::Unsubscribe { id }).await;
    drop(place);

    // The server ends it because it falls behind.
    let subscribe = Subscribe {
        id: id + 1,
        patterns: vec!["a".into()],
        start: Start::Live,
        on_lag: OnLag::Disconnect,
    };
    other.send(subscribe).await;
    assert!(matches!(other.next().await, ServerFrame::Subscribed(_)));
    let mut lagging = Events::accept(&other.connection).await;
    for _ in 0..16 {
        server.try_publish("a", vec![7; 1_000_000]).unwrap();
    }
    let code = loop {
        match lagging.item().await {
            Ok(_) => {}
            Err(ReadError::Reset(code)) => break code,
            Err(error) => panic!("a reset, not {error:?}"),
        }
    };
    assert_eq!(code, Code::LAGGED);
    let _stream = one.subscribe(2, &["a"], Start::Live).await;
}

#[tokio::test]
async fn patterns_count_on_a_connection_and_over_all_of_a_principal() {
    let limits = PrincipalLimits::default().patterns(5);
    let config = Config::default().max_patterns(3).principal_limits(limits);
    let server = server().authenticator(ByToken).config(config);
    let server = server.await.unwrap();
    // Clients that are not identified count by their network.
    for (token, most) in [(Some("ada"), 5), (Some("few"), 4), (None, 5)] {
        let (mut one, _) = RawClient::connect_with(&server, token).await;
        let _first = one.subscribe(1, &["a", "b"], Start::Live).await;
        let (code, message) = one.refused(2, &["c", "d"], Start::Live).await;
        assert_eq!(code, Code::TOO_MANY_SUBSCRIPTIONS);
        assert!(message.contains("at most 3 patterns in all"), "{message}");
        let (mut other, _) = RawClient::connect_with(&server, token).await;
        let rest = &["c", "d", "e"][..most - 2];
        let _second = other.subscribe(1, rest, Start::Live).await;
        let (mut third, _) = RawClient::connect_with(&server, token).await;
        let (code, message) = third.refused(1, &["f"], Start::Live).await;
        assert_eq!(code, Code::TOO_MANY_SUBSCRIPTIONS);
        let limit = format!("may have {most} patterns on all connections");
        assert!(message.contains(&limit), "{message}");
        // What a refused subscription asked for is not in use, and an ended one gives back.
        one.send(Unsubscribe { id: 1 }).await;
        let _fourth = one.subscribe(3, &["a", "g"], Start::Live).await;
    }
}

#[tokio::test]
async fn a_set_of_patterns_beyond_the_limit_is_refused_until_another_is_gone() {
    let log = LogConfig::default().filters(2, 1 << 20);
    let server = server().config(Config::default().log(log)).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let _first = client.subscribe(1, &["a"], Start::Live).await;
    let mut second = client.subscribe(2, &["b"], Start::Live).await;
    let (code, message) = client.refused(3, &["c"], Start::Live).await;
    assert_eq!(code, Code::BUSY);
    assert!(message.contains("try again later"), "{message}");
    let _same = client.subscribe(4, &["a"], Start::Live).await;
    client.send(Unsubscribe { id: 2 }).await;
    assert!(second.item().await.is_err(), "it has ended");
    // Its reader leaves a moment after its stream has ended.
    for id in 5.. {
        client.ask(id, &["c"], Start::Live).await;
        match client.next().await {
            ServerFrame::Subscribed(_) => break,
            ServerFrame::Refused(refused) => assert_eq!(refused.code, Code::BUSY),
            other => panic!("{other:?}"),
        }
    }
}

// QP-5.5
#[tokio::test]
async fn a_subscription_that_the_client_ends_before_it_began_is_answered() {
    let server = server().authenticator(ByToken).authorizer(Never);
    let server = server.await.unwrap();
    let (mut client, _) = RawClient::connect_with(&server, Some("ada")).await;
    client.ask(1, &["a"], Start::Live).await;
    client.send(Unsubscribe { id: 1 }).await;
    let (code, _) = client.refusal(1).await;
    assert_eq!(code, Code::UNSUBSCRIBED);
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn a_subscription_with_many_patterns_counts_as_many_requests() {
    let mut config = Config::default();
    (config.control_burst, config.control_rate) = (20, 1_000);
    let server = server().config(config).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let many: Vec<_> = (0..700).map(|n| format!("t.{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let _few = client.subscribe(1, &many[..300], Start::Live).await;
    let paced = |text: String| text.contains("qsse_qsse_requests_paced 1");
    assert!(!paced(server.metrics_text()));
    let _many = client.subscribe(2, &many, Start::Live).await;
    assert!(paced(server.metrics_text()));
    let _next = client.subscribe(3, &["a"], Start::Live).await;
}

#[tokio::test]
async fn publishers_that_are_too_fast_wait_and_lose_nothing() {
    let limits = PrincipalLimits::default().publishes_per_second(200);
    let config = Config::default().principal_limits(limits);
    let server = server().authenticator(ByToken).config(config);
    let server = server.await.unwrap();
    let (client, _) = RawClient::connect_with(&server, Some("ada")).await;
    let mut publisher = client.publisher(false).await;
    for _ in 0..300 {
        publisher.queue("a", false, b"x");
    }
    let mut through = 0;
    while through < 299 {
        match publisher.next().await {
            AckFrame::Acknowledged(ack) => through = ack.through,
            other => panic!("an acknowledgement, not {other:?}"),
        }
    }
    assert_eq!(server.log_stats().head, 300);
    // Only those after a burst wait, so the first hundreds may come in one piece.
    publisher.queue("a", false, b"x");
    assert!(matches!(publisher.next().await, AckFrame::Acknowledged(_)));
    #[cfg(feature = "prometheus")]
    assert!(
        !server
            .metrics_text()
            .contains("qsse_qsse_publishes_paced 0")
    );
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn wrong_tokens_delay_those_that_follow_them() {
    let server = server().authenticator(ByToken).await.unwrap();
    for _ in 0..8 {
        let refused = RawClient::hello(&server, Some("wrong")).await;
        assert_eq!(refused.closed().await.0, Code::NOT_AUTHORISED);
    }
    let delayed = || {
        let text = server.metrics_text();
        let mut values = text
            .lines()
            .filter_map(|line| line.strip_prefix("qsse_qsse_tokens_delayed "));
        values.next().unwrap().parse::<u64>().unwrap()
    };
    let before = delayed();
    let (_client, _) = RawClient::connect_with(&server, Some("ada")).await;
    assert_eq!(delayed(), before + 1);
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn what_is_only_subscribed_to_makes_no_label() {
    let server = server().await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let _stream = client
        .subscribe(1, &["invented", "other"], Start::Live)
        .await;
    let text = server.metrics_text();
    assert!(!text.contains("invented"), "{text}");
    assert!(
        text.contains("subscriber_count{topic=\"_other\"} 1"),
        "{text}"
    );
    server.publish("real", "x").await.unwrap();
    assert!(
        server
            .metrics_text()
            .contains("event_count{topic=\"real\"} 1")
    );
    let _stream = client.subscribe(2, &["real"], Start::Live).await;
    let text = server.metrics_text();
    assert!(
        text.contains("subscriber_count{topic=\"real\"} 1"),
        "{text}"
    );
}
