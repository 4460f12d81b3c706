//! The Go dialect: its connections, which are lost and restored one by one. The server is scripted.

mod support;

use std::time::Duration;

use qsse_client::{
    Client, CloseReason, Code, ConnectError, Item, Loss, Notice, ReconnectPolicy, SubscribeError,
    SubscriptionError, TransportConfig,
};
use support::go::*;
use support::*;

// QP-12.18
#[tokio::test]
async fn a_server_that_comes_back_is_found_and_the_loss_is_told() {
    let server = GoServer::start();
    let (client, mut events, peer) = server.subscribed(["a"]).await;
    let mut feed = peer.open().await;
    feed.event("a", "before").await;
    feed.event("a", "unread").await;
    assert_eq!(event(&mut events).await.text(), Ok("before"));
    let mut states = client.state();
    let url = server.url();
    let address = server.stop(Code::UNKNOWN, "down").await;
    // They keep the socket open.
    drop((peer, feed));
    while !matches!(
        soon(states.next()).await.unwrap(),
        qsse_client::ConnectionState::Reconnecting { .. }
    ) {}
    let server = GoServer::again(address, &[qsse_proto::GO_ALPN]).await;
    assert_eq!(server.url(), url);
    let mut peer = server.welcome().await;
    assert_eq!(peer.offer, "{\"topics\":[\"a\"]}\n");
    // It is reported at once, since the server's stream only opens with its next event.
    assert_eq!(event(&mut events).await.text(), Ok("unread"));
    let news = notice(&mut events).await;
    assert!(matches!(news, Notice::Lost(Loss::Reconnected(_))), "{news}");
    assert!(
        news.is_loss() && news.to_string().contains("(down)"),
        "{news}"
    );
    until(|| match client.state().current() {
        state if state.is_connected() => Ok(()),
        state => Err(state),
    })
    .await;
    peer.feed().await.event("a", "after").await;
    assert_eq!(text(&event(&mut events).await), (3, "a", &b"after"[..]));
}

#[tokio::test]
async fn a_stream_that_ends_is_a_lost_connection() {
    let server = GoServer::start();
    let (_client, mut events, peer) = server.subscribed(["a"]).await;
    let mut feed = peer.open().await;
    feed.event("a", "1").await;
    feed.raw("{\"topic\":\"a\",\"da").await;
    feed.stream.finish();
    assert_eq!(event(&mut events).await.text(), Ok("1"));
    // The subscription reads concurrently.
    let (news, next) = tokio::join!(notice(&mut events), server.welcome());
    assert!(news.to_string().contains("ended the stream"), "{news}");
    // QP-12.14: a draining server waits for this.
    assert!(peer.closed().await.to_string().contains("no error"));
    let peer = next;
    let mut feed = peer.open().await;
    feed.event("a", "2").await;
    assert_eq!(event(&mut events).await.text(), Ok("2"));
    feed.stream.reset(Code::UNKNOWN);
    let (news, _peer) = tokio::join!(notice(&mut events), server.welcome());
    assert!(news.is_loss(), "{news}");
}

#[tokio::test]
async fn without_reconnecting_a_lost_connection_is_the_end_of_its_subscription() {
    let server = GoServer::start();
    let never = config().reconnect(ReconnectPolicy::never());
    let connecting = Client::connect(server.url()).config(never);
    let (client, connection) = tokio::join!(connecting, server.accept());
    let client = client.unwrap();
    let (first, first_peer) = tokio::join!(client.subscribe("a"), GoPeer::of(connection));
    let (second, mut second_peer) = tokio::join!(client.subscribe("b"), server.welcome());
    let (mut first, mut second) = (first.unwrap(), second.unwrap());
    first_peer.kill();
    let end = error(&mut first).await;
    assert!(
        matches!(end, SubscriptionError::Closed(CloseReason::Lost(_))),
        "{end}"
    );
    second_peer.feed().await.event("b", "x").await;
    assert_eq!(event(&mut second).await.text(), Ok("x"));
    second_peer.kill();
    error(&mut second).await;
    assert!(matches!(soon(client.closed()).await, CloseReason::Lost(_)));
}

#[tokio::test]
async fn each_subscription_has_a_connection_and_dropping_it_closes_that() {
    let server = GoServer::start();
    let (client, first, first_peer) = server.subscribed(["a"]).await;
    let (second, second_peer) = tokio::join!(client.subscribe("b"), server.welcome());
    let mut second = second.unwrap();
    assert_eq!(second_peer.offer, "{\"topics\":[\"b\"]}\n");
    let mut feed = second_peer.open().await;
    feed.event("b", "1").await;
    assert_eq!(event(&mut second).await.text(), Ok("1"));
    drop(first);
    assert!(first_peer.closed().await.to_string().contains("no error"));
    assert!(second_peer.connection.close_reason().is_none());
    feed.event("b", "2").await;
    assert_eq!(event(&mut second).await.text(), Ok("2"));

    // Dropping the last handle closes the rest. A subscription is a handle.
    drop(client);
    feed.event("b", "3").await;
    assert_eq!(event(&mut second).await.text(), Ok("3"));
    drop(second);
    assert!(second_peer.closed().await.to_string().contains("no error"));
}

#[tokio::test]
async fn closing_ends_every_connection_and_subscriptions_read_what_had_come() {
    let server = GoServer::start();
    let (client, mut first, mut first_peer) = server.subscribed(["a"]).await;
    let (second, second_peer) = tokio::join!(client.subscribe("b"), server.welcome());
    let mut second = second.unwrap();
    first_peer.feed().await.event("a", "0").await;
    assert_eq!(event(&mut first).await.text(), Ok("0"));
    let reason = soon(client.shutdown(Duration::from_secs(5))).await;
    assert!(matches!(reason, CloseReason::Local));
    assert!(soon(first.next()).await.is_none() && soon(second.next()).await.is_none());
    first_peer.closed().await;
    second_peer.closed().await;
    let error = client.subscribe("c").await.unwrap_err();
    assert!(matches!(error, SubscribeError::Closed(_)), "{error}");
    assert!(client.state().current().is_closed());

    // Also a connection without a subscription.
    let (client, connection) = server.client().await;
    client.close();
    soon(client.closed()).await;
    soon(connection.closed()).await;
}

#[tokio::test]
async fn a_connection_that_ends_before_it_is_used_is_replaced() {
    let server = GoServer::start();
    let (client, connection) = server.client().await;
    connection.close(Code::HELLO_TIMEOUT, "no offer came");
    soon(connection.closed()).await;
    let (events, mut peer) = tokio::join!(client.subscribe("a"), async {
        // It may have used the old one just before the close arrived.
        server.welcome().await
    });
    let mut events = events.unwrap();
    peer.feed().await.event("a", "1").await;
    // If the offer was written to the old one, a loss is reported.
    let first = match soon(events.next_item()).await.unwrap().unwrap() {
        Item::Notice(Notice::Lost(_)) => event(&mut events).await,
        Item::Event(event) => event,
        other => panic!("{other:?}"),
    };
    assert_eq!(first.text(), Ok("1"));
}

#[tokio::test]
async fn a_quiet_connection_is_kept_alive_from_this_side() {
    // Like a Go server, which sends no keep-alives, but with a short timeout.
    let idle = Duration::from_millis(600);
    let quiet = TransportConfig::server()
        .idle_timeout(idle)
        .keep_alive(Duration::ZERO);
    let server = GoServer::start_with(quiet);
    let transport = TransportConfig::default().keep_alive(Duration::from_millis(100));
    let connecting = Client::connect(server.url()).config(config().transport(transport));
    let (client, connection) = tokio::join!(connecting, server.accept());
    let client = client.unwrap();
    let (first, first_peer) = tokio::join!(client.subscribe("a"), GoPeer::of(connection));
    let (second, second_peer) = tokio::join!(client.subscribe("b"), server.welcome());
    // The test is about silence, so time has to pass.
    tokio::time::sleep(3 * idle).await;
    for (subscription, mut peer) in [(first, first_peer), (second, second_peer)] {
        assert_eq!(peer.connection.close_reason(), None);
        peer.feed().await.event("x", "still here").await;
        let mut subscription = subscription.unwrap();
        assert_eq!(event(&mut subscription).await.text(), Ok("still here"));
    }
}

// QP-12.19
#[tokio::test]
async fn a_refused_token_ends_the_subscription_and_with_the_last_one_the_client() {
    let server = GoServer::start();
    let (client, mut first, first_peer) = server.subscribed(["a"]).await;
    let (second, second_peer) = tokio::join!(client.subscribe("b"), server.welcome());
    let mut second = second.unwrap();
    second_peer.refuse_token();
    let end = error(&mut second).await;
    assert!(!end.is_retryable(), "{end}");
    assert_eq!(end.code(), Some(Code::NOT_AUTHORISED));
    let told = end.to_string();
    assert!(
        told.contains("refused the token") && told.contains("not authorized"),
        "{told}"
    );
    assert!(soon(second.next()).await.is_none());

    let mut feed = first_peer.open().await;
    feed.event("a", "still here").await;
    assert_eq!(event(&mut first).await.text(), Ok("still here"));
    first_peer.refuse_token();
    assert_eq!(error(&mut first).await.code(), Some(Code::NOT_AUTHORISED));
    let reason = soon(client.closed()).await;
    assert!(
        matches!(
            reason,
            CloseReason::Failed(ConnectError::NotAuthorised { .. })
        ),
        "{reason}"
    );
}

#[tokio::test]
async fn what_had_come_before_a_loss_is_read_before_it_is_told() {
    let server = GoServer::start();
    let (client, mut events, mut peer) = server.subscribed(["a"]).await;
    // Nobody reads while the connection is lost six times.
    for round in 0..6 {
        let before = client.rtt();
        assert!(before.is_some());
        peer.feed().await.event("a", round.to_string()).await;
        // The client's transport acknowledges what it has received.
        peer.feed().await.delivered().await;
        peer.kill();
        peer = server.welcome().await;
    }
    peer.feed().await.event("a", "6").await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "6") {
        match soon(events.next_item()).await.unwrap().unwrap() {
            Item::Event(event) => seen.push(event.text().unwrap().to_owned()),
            Item::Notice(notice) => {
                assert!(notice.is_loss(), "{notice}");
                seen.push("lost".into());
            }
        }
    }
    // The oldest streams are dropped, and this is reported.
    let expected = ["lost", "3", "lost", "4", "lost", "5", "lost", "6"];
    assert!(seen.ends_with(&expected.map(String::from)), "{seen:?}");
    assert!(!seen.contains(&"0".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn an_offer_that_the_server_cannot_read_is_not_written_for_ever() {
    let server = GoServer::start();
    let (_client, mut events, peer) = server.subscribed(["a"]).await;
    peer.connection
        .close(Code::FRAME_TOO_LARGE, "an offer of 9 kB");
    let end = error(&mut events).await;
    assert!(end.to_string().contains("an offer of 9 kB"), "{end}");
}

#[tokio::test]
async fn a_second_stream_of_the_server_is_stopped() {
    let server = GoServer::start();
    let (_client, mut events, mut peer) = server.subscribed(["a"]).await;
    peer.feed().await.event("a", "1").await;
    assert_eq!(event(&mut events).await.text(), Ok("1"));
    let mut second = peer.open().await;
    second.event("a", "elsewhere").await;
    let stopped = soon(second.stream.stopped()).await;
    assert_eq!(stopped, Ok(Some(Code::PROTOCOL_VIOLATION)));
    peer.feed().await.event("a", "2").await;
    assert_eq!(event(&mut events).await.text(), Ok("2"));
}
