//! Servers and clients together, over loopback.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use qsse_client::{
    Client, Config, Connect, ConnectError, ConnectionState, Dialect, Item, Notice, PublishError,
    Start, StateStream, Subscription,
};
use qsse_server::{Code, LogConfig, Server, ServerBuilder, ServerTls, TestServer, WebTransport};
use qsse_testing::fixtures;

/// Every wait in these tests is for a condition; this only ends one that never comes.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it took a minute")
}

async fn text(subscription: &mut Subscription) -> String {
    let Some(Ok(Item::Event(event))) = soon(subscription.next_item()).await else {
        panic!("an event, and no notice")
    };
    event.text().unwrap().to_owned()
}

fn bind(address: SocketAddr) -> ServerBuilder {
    Server::bind(address).web_transport(WebTransport::default())
}

/// A client that trusts the certificates of both bindings.
fn client_of(server: &Server, binding: Dialect) -> Connect {
    let connect = Client::connect(server.url()).dialect(binding);
    let others = server.browser_fingerprints().into_iter();
    others.fold(connect, Connect::fingerprint)
}

async fn state(states: &mut StateStream, wanted: impl Fn(&ConnectionState) -> bool) {
    while !wanted(&soon(states.next()).await.expect("a client that is open")) {}
}

async fn events_flow_from_a_publisher_to_every_subscriber_in_order(binding: Dialect) {
    let server = TestServer::start().await.unwrap();
    let publisher = client_of(&server, binding).await.unwrap().publisher();
    let subscribers = join_all((0..20).map(|n| {
        let connecting = client_of(&server, binding);
        async move {
            let client = connecting.await.unwrap();
            client
                .subscribe(if n % 2 == 0 { "*" } else { "ride.*" })
                .await
                .unwrap()
        }
    }));
    let mut subscribers = subscribers.await;
    for n in 0..10_000 {
        publisher.send("ride.7", n.to_string()).await.unwrap();
    }
    assert_eq!(publisher.flush().await.unwrap().unwrap().seq(), 10_000);
    soon(join_all(subscribers.iter_mut().map(async |subscriber| {
        for n in 0..10_000 {
            assert_eq!(text(subscriber).await, n.to_string());
        }
    })))
    .await;
}

async fn a_publish_tells_its_id_or_what_is_wrong(binding: Dialect) {
    let server = TestServer::start().await.unwrap();
    let client = client_of(&server, binding).await.unwrap();
    assert_eq!(client.publish("a", "1").await.unwrap().seq(), 1);
    assert_eq!(
        client.publish("b", vec![0; 1 << 20]).await.unwrap().seq(),
        2
    );
    let published = client.publish_matching("*", "to both").await.unwrap();
    assert_eq!(published.count(), 2);
    let large = client
        .publish("a", vec![0; (1 << 20) + 1])
        .await
        .unwrap_err();
    assert!(
        large.to_string().contains("1048576"),
        "the limit is named: {large}"
    );
    let pattern = client.publish("a.*", "x").await.unwrap_err().to_string();
    assert!(pattern.contains("publish_matching"), "{pattern}");
    assert_eq!(client.publish("a", "after it all").await.unwrap().seq(), 5);
}

async fn a_client_without_a_right_to_publish_is_told(binding: Dialect) {
    let server = bind(([127, 0, 0, 1], 0).into())
        .authorizer_fn(|_, _| true)
        .await
        .unwrap();
    let client = client_of(&server, binding).await.unwrap();
    let refused = client.publish("a", "x").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::NOT_AUTHORISED));
    assert!(!refused.is_retryable());
}

/// A server on a known address with a known certificate, so that it can come back.
async fn start(address: SocketAddr, epoch: u64) -> Server {
    let (certificate, key) = fixtures::ed25519_cert();
    let tls = ServerTls::pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    // The socket of the one before is given back when its last task ends.
    soon(async {
        loop {
            let server = bind(address).tls(tls.clone()).epoch(epoch);
            match server.await {
                Ok(server) => return server,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

async fn connect(server: &Server, binding: Dialect) -> Client {
    let address = server.local_addr().to_string();
    Client::connect(address)
        .tls(fixtures::client_tls())
        .dialect(binding)
        .await
        .unwrap()
}

async fn a_server_that_restarts_is_found_again_and_its_new_log_is_told(binding: Dialect) {
    let server = start("127.0.0.1:0".parse().unwrap(), 1).await;
    let address = server.local_addr();
    let client = connect(&server, binding).await;
    let mut states = client.state();
    let mut events = client.subscribe("*").await.unwrap();
    server.publish("a", "of the first log").await.unwrap();
    assert_eq!(text(&mut events).await, "of the first log");

    // Nobody polls the subscription meanwhile, so its stream is not read to the end.
    server.shutdown(Duration::from_millis(100)).await;
    drop(server);
    state(&mut states, |state| !state.is_connected()).await;
    let server = start(address, 2).await;
    state(&mut states, ConnectionState::is_connected).await;
    server.publish("a", "of the second").await.unwrap();
    match soon(events.next_item()).await {
        Some(Ok(Item::Notice(Notice::Reset(_)))) => {}
        other => panic!("the reset comes first, not {other:?}"),
    }
    assert_eq!(text(&mut events).await, "of the second");
}

async fn a_cursor_goes_on_where_another_client_stopped(binding: Dialect) {
    let server = TestServer::start().await.unwrap();
    let first = client_of(&server, binding).await.unwrap();
    let mut events = first.subscribe("*").await.unwrap();
    for n in 0..100 {
        server.publish("a", n.to_string()).await.unwrap();
    }
    for n in 0..40 {
        assert_eq!(text(&mut events).await, n.to_string());
    }
    let cursor: qsse_client::Cursor = events.cursor().to_string().parse().unwrap();
    drop((events, first));
    let second = client_of(&server, binding).await.unwrap();
    let mut resumed = second.subscribe("*").start(cursor).await.unwrap();
    for n in 40..100 {
        assert_eq!(text(&mut resumed).await, n.to_string());
    }
}

async fn what_is_no_longer_kept_is_a_gap_and_the_rest_follows(binding: Dialect) {
    let config = qsse_server::Config::default().log(LogConfig::default().history_events(5));
    let server = bind(([127, 0, 0, 1], 0).into())
        .config(config)
        .await
        .unwrap();
    let first = server.publish("a", "0").await.unwrap();
    for n in 1..20 {
        server.publish("a", n.to_string()).await.unwrap();
    }
    let client = client_of(&server, binding).await.unwrap();
    let mut events = client
        .subscribe("*")
        .start(Start::After(first))
        .await
        .unwrap();
    let before = events.cursor();
    match soon(events.next_item()).await {
        Some(Ok(Item::Notice(Notice::Gap(gap)))) => assert_eq!(gap.at_most, 14),
        other => panic!("a gap, not {other:?}"),
    }
    assert_eq!(events.cursor(), before, "a gap does not move the cursor");
    assert_eq!(text(&mut events).await, "15");
}

async fn a_quiet_subscriber_stays_connected_beyond_the_idle_timeout(binding: Dialect) {
    let transport = qsse_server::TransportConfig::server().idle_timeout(Duration::from_millis(300));
    let config = qsse_server::Config::default().transport(transport);
    let server = bind(([127, 0, 0, 1], 0).into())
        .config(config)
        .await
        .unwrap();
    let client = client_of(&server, binding).await.unwrap();
    let mut states = client.state();
    let mut events = client.subscribe("quiet").await.unwrap();
    // Three idle timeouts of real silence are what this is about.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert!(states.current().is_connected());
    server.publish("quiet", "at last").await.unwrap();
    assert_eq!(text(&mut events).await, "at last");
    let lost = tokio::time::timeout(Duration::ZERO, async {
        state(&mut states, |state| !state.is_connected()).await;
    });
    assert!(lost.await.is_err(), "it never lost its connection");
}

#[tokio::test]
async fn ten_thousand_subscriptions_get_the_events_of_their_own_topics() {
    let server = TestServer::start().await.unwrap();
    let clients = join_all((0..100).map(|_| Client::connect(server.url()).into_future())).await;
    let mut subscriptions = Vec::new();
    for (n, client) in clients.iter().enumerate() {
        let client = client.as_ref().unwrap();
        let own = (0..100).map(|m| {
            client
                .subscribe(format!("t{}.*", n * 100 + m))
                .into_future()
        });
        subscriptions.extend(join_all(own).await.into_iter().map(Result::unwrap));
    }
    assert_eq!(server.log_stats().feeds, 10_000);
    for n in 0..10_000 {
        server
            .publish(format!("t{n}.x"), n.to_string())
            .await
            .unwrap();
    }
    for (n, subscription) in subscriptions.iter_mut().enumerate() {
        assert_eq!(text(subscription).await, n.to_string());
    }
    let stats = server.log_stats();
    assert_eq!(stats.topics, 10_000);
    assert!(
        stats.feed_bytes <= 64 << 20,
        "within the bound of all feeds: {stats:?}"
    );
}

// QP-8.8: a lost answer is said to be lost.
async fn a_publish_that_was_not_acknowledged_is_not_called_done(binding: Dialect) {
    let server = TestServer::start().await.unwrap();
    let config = Config::default().reconnect(qsse_client::ReconnectPolicy::never());
    let client = client_of(&server, binding).config(config).await.unwrap();
    client.publish("a", "1").await.unwrap();
    let publisher = client.publisher();
    drop(server);
    let error = soon(async {
        loop {
            if let Err(error) = publisher.send("a", "2").await {
                return error;
            }
            if let Err(error) = publisher.flush().await {
                return error;
            }
        }
    })
    .await;
    assert!(!matches!(error, PublishError::TooLarge { .. }), "{error}");
}

/// Runs each of these tests over every binding of the protocol.
macro_rules! over_each_binding {
    ($($test:ident)*) => {
        mod over_quic {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Dialect::Qsse).await;
            })*
        }

        mod over_web_transport {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Dialect::WebTransport).await;
            })*
        }
    };
}

over_each_binding! {
    events_flow_from_a_publisher_to_every_subscriber_in_order
    a_publish_tells_its_id_or_what_is_wrong
    a_client_without_a_right_to_publish_is_told
    a_server_that_restarts_is_found_again_and_its_new_log_is_told
    a_cursor_goes_on_where_another_client_stopped
    what_is_no_longer_kept_is_a_gap_and_the_rest_follows
    a_quiet_subscriber_stays_connected_beyond_the_idle_timeout
    a_publish_that_was_not_acknowledged_is_not_called_done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_and_server_work_on_both_runtimes() {
    let server = TestServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let mut events = client.subscribe("*").await.unwrap();
    let publishing = tokio::spawn(async move {
        for n in 0..1_000 {
            server.publish("a", n.to_string()).await.unwrap();
        }
        server
    });
    for n in 0..1_000 {
        assert_eq!(text(&mut events).await, n.to_string());
    }
    publishing.await.unwrap();
}

#[tokio::test]
async fn a_certificate_refused_on_one_family_is_not_hidden_by_silence_on_the_other() {
    let server = start("127.0.0.1:0".parse().unwrap(), 1).await;
    let other = ServerTls::self_signed(["localhost"]).unwrap();
    let url = format!("localhost:{}", server.local_addr().port());
    let config = Config::default().connect_timeout(Duration::from_secs(30));
    let refused = Client::connect(url)
        .config(config)
        .fingerprint(other.fingerprint().unwrap())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ConnectError::Certificate(_)),
        "{refused:?}"
    );
}
