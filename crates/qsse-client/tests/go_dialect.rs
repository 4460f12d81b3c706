//! The Go dialect: how it is negotiated, what clients offer, and what it lacks. The server is
//! scripted.

mod support;

use std::sync::{Arc, Mutex};

use qsse_client::{
    Client, Code, ConnectError, Cursor, Dialect, Epoch, EventId, Handlers, Loss, Notice, OnLag,
    PublishError, RefreshError, Start, SubscribeError,
};
use qsse_proto::stream::Outcome;
use support::go::*;
use support::*;

// QP-12.15: a subscription is made once its offer is written, before anything from the server.
#[tokio::test]
async fn the_offer_has_the_token_and_every_pattern() {
    let server = GoServer::start();
    let connecting = server.connect().token("sesame \"1\"");
    let (client, connection) = tokio::join!(connecting, server.accept());
    let client = client.unwrap();
    let (events, peer) = tokio::join!(
        client.subscribe(["ride.*", "people", "a.*.c"]),
        GoPeer::of(connection)
    );
    assert_eq!(
        peer.offer,
        "{\"token\":\"sesame \\\"1\\\"\",\"topics\":[\"a.*.c\",\"ride.*\",\"people\"]}\n"
    );
    let mut events = events.unwrap();
    let mut feed = peer.open().await;
    feed.event("ride.1", "x").await;
    feed.event("a.b.c", "y").await;
    assert_eq!(text(&event(&mut events).await), (1, "ride.1", &b"x"[..]));
    assert_eq!(text(&event(&mut events).await), (2, "a.b.c", &b"y"[..]));
}

// QP-12.17
#[tokio::test]
async fn what_the_dialect_lacks_is_an_error_and_never_ignored() {
    let server = GoServer::start();
    let (client, _connection) = server.client().await;
    let after = Cursor::after(EventId::new(Epoch::new(0), 3));
    for subscribe in [
        client.subscribe("a").start(Start::Earliest),
        client.subscribe("a").start(after),
        client.subscribe("a").on_lag(OnLag::Disconnect),
    ] {
        let error = soon(subscribe.into_future()).await.unwrap_err();
        assert!(
            matches!(error, SubscribeError::Unsupported { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("Go library"), "{error}");
        assert!(!error.is_retryable());
    }
    let refused = [
        soon(client.publish("a", "x").into_future()).await.map(drop),
        soon(client.publish_matching("*", "x").into_future())
            .await
            .map(drop),
        soon(client.publisher().send("a", "x")).await,
        soon(client.ping()).await.map(drop),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert!(matches!(error, PublishError::Unsupported), "{error}");
        assert!(!error.is_retryable());
    }
    let (events, peer) = tokio::join!(client.subscribe("a"), GoPeer::of(_connection));
    assert!(events.is_ok() && peer.offer.contains("\"a\""));
}

#[tokio::test]
async fn a_newer_token_is_for_later_connections() {
    let server = GoServer::start();
    let (client, connection) = tokio::join!(server.connect().token("old"), server.accept());
    let client = client.unwrap();
    let (_first, peer) = tokio::join!(client.subscribe("a"), GoPeer::of(connection));
    assert!(peer.offer.contains("\"old\""));
    let error = soon(client.refresh_token("new")).await.unwrap_err();
    assert!(matches!(error, RefreshError::Unsupported), "{error}");
    assert!(!error.to_string().contains("new\""));
    peer.kill();
    let peer = server.welcome().await;
    assert!(peer.offer.contains("\"new\""), "{}", peer.offer);
}

#[tokio::test]
async fn the_own_protocol_is_preferred_and_each_can_be_asked_for() {
    let both = GoServer::both();
    let connecting = tokio::spawn(both.connect().into_future());
    let connection = both.accept().await;
    assert_eq!(connection.alpn(), qsse_proto::ALPN);
    connecting.abort();

    let (client, connection) = tokio::join!(both.connect().dialect(Dialect::Go), both.accept());
    assert_eq!(connection.alpn(), qsse_proto::GO_ALPN);
    assert_eq!(client.unwrap().dialect(), Dialect::Go);

    let usual = FakeServer::start();
    let (client, _peer) = usual.pair().await;
    assert_eq!(client.dialect(), Dialect::Qsse);
}

#[tokio::test]
async fn a_server_of_another_dialect_is_an_error_that_says_what_to_do() {
    async fn handshakes(server: GoServer) {
        loop {
            let _ = server.refused().await;
        }
    }
    let go = GoServer::start();
    let connecting = go.connect().dialect(Dialect::Qsse);
    let failing = tokio::spawn(handshakes(go));
    let error = soon(connecting.into_future()).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Dialect {
                dialect: Dialect::Qsse,
                ..
            }
        ),
        "{error}"
    );
    let told = error.to_string();
    assert!(
        told.contains("qsse/1") && told.contains("--dialect auto"),
        "{told}"
    );
    failing.abort();

    let usual = FakeServer::start();
    let connecting = usual.connect().dialect(Dialect::Go);
    let failing = tokio::spawn(async move { usual.handshakes_failing().await });
    let told = soon(connecting.into_future())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("PROTOCOL_QUIC") && told.contains("--dialect auto"),
        "{told}"
    );
    failing.abort();
}

#[tokio::test]
async fn the_default_certificate_of_a_go_server_can_be_pinned_or_anybody_trusted() {
    let server = GoServer::start();
    let url = qsse_client::ServerUrl::from(server.address());
    let insecure = Client::connect(url.clone()).insecure();
    let (client, _connection) = tokio::join!(insecure, server.accept());
    assert_eq!(client.unwrap().dialect(), Dialect::Go);
    let pinned = Client::connect(server.url());
    let (client, _connection) = tokio::join!(pinned, server.accept());
    assert_eq!(client.unwrap().dialect(), Dialect::Go);
    let wrong = Client::connect(url).fingerprint("00".repeat(32).parse().unwrap());
    let (client, ()) = tokio::join!(wrong, server.refused());
    let error = client.unwrap_err();
    assert!(matches!(error, ConnectError::Certificate(_)), "{error}");
}

#[tokio::test]
async fn clients_move_to_the_own_protocol_and_back_with_their_server() {
    let go = GoServer::start();
    let (client, mut events, mut peer) = go.subscribed(["ride.7.start"]).await;
    peer.feed().await.event("ride.7.start", "go").await;
    assert_eq!(event(&mut events).await.text(), Ok("go"));
    let url = go.url();
    let address = go.stop(Code::UNKNOWN, "replaced").await;
    // It keeps the socket open.
    drop(peer);
    let (endpoint, _) = bind_again(address, &[qsse_proto::ALPN]).await;
    let ours = FakeServer::on(endpoint, url);
    // One connection shows the new dialect, and the next one is used.
    ours.handshake().await;
    let mut peer = ours.welcome().await;
    let (asked, mut feed) = peer.serve(40, Outcome::Live).await;
    assert_eq!(asked.start, Start::Live);
    let news = notice(&mut events).await;
    assert!(matches!(news, Notice::Lost(Loss::Dialect)), "{news}");
    feed.events([41]).await;
    assert_eq!(event(&mut events).await.id(), id(41));
    assert_eq!(client.dialect(), Dialect::Qsse);

    let address = ours.stop().await;
    drop((peer, feed));
    let go = GoServer::again(address, &[qsse_proto::GO_ALPN]).await;
    let mut peer = go.welcome().await;
    assert_eq!(peer.offer, "{\"topics\":[\"ride.7.start\"]}\n");
    let news = notice(&mut events).await;
    assert!(matches!(news, Notice::Lost(Loss::Dialect)), "{news}");
    peer.feed().await.event("ride.7.start", "back").await;
    assert_eq!(text(&event(&mut events).await).0, 1);
    assert_eq!(client.dialect(), Dialect::Go);
}

#[tokio::test]
async fn handlers_offer_every_pattern_by_the_letter_and_match_here() {
    let server = GoServer::start();
    let (client, connection) = server.client().await;
    let journal = Arc::new(Mutex::new(Vec::new()));
    let write = |name: &'static str| {
        let journal = journal.clone();
        move |event: qsse_client::Event| {
            let line = format!("{name} {}", event.topic());
            journal.lock().unwrap().push(line);
            async {}
        }
    };
    let (errors, notices) = (journal.clone(), journal.clone());
    let handlers = Handlers::new()
        .on("people.*", write("all"))
        .on("people.1.first", write("first"))
        .topics(["people.1.first", "rides"])
        .on_message(write("else"))
        .on_notice(move |notice| {
            notices.lock().unwrap().push(notice.to_string());
            async {}
        })
        .on_error(move |error| {
            errors.lock().unwrap().push(error.to_string());
            async {}
        });
    let (handle, mut peer) = tokio::join!(client.handle(handlers), GoPeer::of(connection));
    let handle = handle.unwrap();
    assert_eq!(
        peer.offer,
        "{\"topics\":[\"people.*\",\"people.1.first\",\"rides\"]}\n"
    );
    let feed = peer.feed().await;
    feed.refuse(Code::TOPIC_NOT_AVAILABLE, "people.*").await;
    feed.event("people.1.first", "Ada").await;
    feed.event("rides", "7").await;
    feed.refuse(Code::NOT_AUTHORISED, "rides").await;
    feed.refuse(Code::NOT_AUTHORISED, "people.1.first").await;
    let cursor = soon(handle.ended()).await;
    assert_eq!(cursor.to_string(), "0-2");
    let expected = [
        "the server refused people.*: topic not available; the other patterns go on",
        "all people.1.first",
        "first people.1.first",
        "else rides",
        "the server refused rides: not authorised; the other patterns go on",
        "the server ended the subscription: not authorised (people.1.first, the last of the patterns)",
    ];
    assert_eq!(*journal.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_subscription_that_the_go_dialect_cannot_hold_ends_when_its_server_changes() {
    let go = GoServer::start();
    let address = go.stop(Code::UNKNOWN, "later").await;
    let (endpoint, fingerprint) = bind_again(address, &[qsse_proto::ALPN]).await;
    let url = qsse_client::ServerUrl::from(address).with_fingerprint(fingerprint);
    let ours = FakeServer::on(endpoint, url);
    let (client, mut peer) = ours.pair().await;
    let subscribing = async {
        let strict = client.subscribe("a").on_lag(OnLag::Disconnect).await;
        let early = client.subscribe("b").start(Start::Earliest).await;
        (strict.unwrap(), early.unwrap())
    };
    let serving = async {
        let strict = peer.serve(3, Outcome::Live).await;
        (strict, peer.serve(3, Outcome::Resumed).await)
    };
    let ((mut strict, mut early), feeds) = tokio::join!(subscribing, serving);
    drop(feeds);
    drop(peer);
    let address = ours.stop().await;
    let go = GoServer::again(address, &[qsse_proto::GO_ALPN]).await;
    // It has already started.
    let mut peer = go.welcome().await;
    assert_eq!(peer.offer, "{\"topics\":[\"b\"]}\n");
    let end = error(&mut strict).await;
    assert_eq!(end.code(), Some(Code::UNSUPPORTED));
    assert!(end.to_string().contains("on_lag"), "{end}");
    assert!(notice(&mut early).await.is_loss());
    peer.feed().await.event("b", "x").await;
    assert_eq!(text(&event(&mut early).await), (1, "b", &b"x"[..]));
}
