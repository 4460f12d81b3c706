//! What connections may take. Clients are raw sockets, or hyper.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use common::{Hub, PATIENCE, server};
use qsse_http::{Config, Http, Listener, ListenerLimits};
use qsse_server::{PrincipalLimits, ServerTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

mod common;

/// A limit that is reached soon.
const SOON: Duration = Duration::from_millis(200);

async fn hub(limits: ListenerLimits) -> Hub {
    Hub::limited(server(), Config::default(), limits).await
}

/// Connects, and sends these bytes.
async fn raw(hub: &Hub, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(hub.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Reads until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end too.
    let read = timeout(PATIENCE, stream.read_to_end(&mut rest));
    let _ = read.await.expect("the server closes it");
    rest
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_a_connection() {
    let hub = hub(ListenerLimits::default().head_timeout(SOON)).await;
    for begun in [
        &b""[..],
        b"GET /topics HTT",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let mut stream = raw(&hub, begun).await;
        rest(&mut stream).await;
    }
    hub.ended("head").await;
}

#[tokio::test]
async fn a_handshake_that_does_not_complete_ends_a_connection() {
    let server = server().await.unwrap();
    let tls = ServerTls::self_signed(["localhost"]).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::tls(address, &tls).await.unwrap();
    let listener = listener.limits(ListenerLimits::default().head_timeout(SOON));
    let address = listener.local_addr().unwrap();
    let router = Http::new(server.clone()).router();
    let serving = tokio::spawn(listener.serve(server.clone(), router));
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\0\x01"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        rest(&mut stream).await;
    }
    let ended = "http_connections_ended{reason=\"handshake\"} 3";
    assert!(
        server.metrics_text().contains(ended),
        "{}",
        server.metrics_text()
    );
    serving.abort();
}

#[tokio::test]
async fn a_connection_without_a_request_ends_and_one_with_a_stream_stays() {
    let hub = hub(ListenerLimits::default().idle_timeout(SOON)).await;
    let mut busy = hub.h2().await;
    let mut events = busy.get("/events?topic=a").await;
    let [mut h1, mut h2] = hub.clients().await;
    for client in [&mut h1, &mut h2] {
        assert_eq!(client.get("/topics").await.status(), 200);
    }
    h1.closed().await;
    h2.closed().await;
    hub.ended("idle").await;
    hub.server.publish("a", "1").await.unwrap();
    assert!(events.event().await.ends_with("data: 1\n\n"));
}

#[tokio::test]
async fn the_connection_that_has_been_silent_for_longest_makes_room() {
    let hub = hub(ListenerLimits::default().connections(3)).await;
    let mut busy = hub.h1().await;
    let mut events = busy.get("/events?topic=a").await;
    let mut first = raw(&hub, b"GET /").await;
    let mut second = hub.h2().await;
    assert_eq!(second.get("/topics").await.status(), 200);
    // Until they count as silent, nobody gets in.
    let served = async {
        loop {
            let mut newcomer = raw(&hub, b"GET /topics HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let mut begin = [0; 15];
            if newcomer.read_exact(&mut begin).await.is_ok() {
                return (newcomer, begin);
            }
        }
    };
    let (_newcomer, begin) = timeout(PATIENCE, served).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    assert_eq!(rest(&mut first).await, b"");
    hub.ended("full").await;
    hub.ended("displaced").await;
    assert_eq!(second.get("/topics").await.status(), 200);
    hub.server.publish("a", "1").await.unwrap();
    assert!(events.event().await.ends_with("data: 1\n\n"));
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection_and_others_go_on() {
    let hub = hub(ListenerLimits::default().stall_timeout(SOON)).await;
    // More than all buffers hold.
    for _ in 0..24 {
        hub.server.publish("a", vec![b'x'; 1 << 20]).await.unwrap();
    }
    let mut reads = hub.h2().await;
    let mut live = reads.get("/events?topic=b").await;
    let get = b"GET /events?topic=a&start=earliest HTTP/1.1\r\nhost: a\r\n\r\n";
    let h1 = raw(&hub, get).await;
    hub.ended("stalled").await;
    let mut h2 = hub.h2().await;
    let unread = h2.get("/events?topic=a&start=earliest").await;
    h2.closed().await;
    hub.server.publish("b", "1").await.unwrap();
    assert!(live.event().await.ends_with("data: 1\n\n"));
    drop((h1, unread));
}

#[tokio::test]
async fn a_client_that_gives_up_requests_again_and_again_loses_its_connection() {
    let hub = hub(ListenerLimits::default().resets(20)).await;
    let mut client = hub.h2().await;
    for _ in 0..20 {
        drop(client.get("/events?topic=a").await);
    }
    let mut again = 0;
    while client.try_get("/events?topic=a").await.is_some() {
        again += 1;
        assert!(again < 10_000, "it may go on for ever");
    }
    hub.ended("resets").await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let hub = Hub::start().await;
    let long = "x".repeat(20 << 10);
    let request = format!("GET /topics HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n");
    let mut stream = raw(&hub, request.as_bytes()).await;
    let answer = String::from_utf8(rest(&mut stream).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let mut client = hub.h2().await;
    let headers = [("x", long.as_str())];
    assert_eq!(client.get_with("/topics", &headers).await.status(), 431);
    assert_eq!(client.get("/topics").await.status(), 200);
}

#[tokio::test]
async fn the_streams_of_a_network_are_counted_over_all_of_its_connections() {
    let mut config = qsse_server::Config::default();
    config.network_limits = PrincipalLimits::default().connections(3).subscriptions(2);
    let hub = Hub::with(server().config(config), Config::default()).await;
    let [mut first, mut second] = hub.clients().await;
    let streams = [
        first.get("/events?topic=a").await,
        second.get("/events?topic=a").await,
    ];
    let refused = second.get("/events?topic=a").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.header("retry-after"), "1");
    let mut third = hub.h1().await;
    assert_eq!(third.get("/topics").await.status(), 200);
    let mut fourth = hub.h1().await;
    let mut refused = fourth.get("/topics").await;
    assert_eq!(refused.status(), 503);
    assert!(
        refused
            .rest()
            .await
            .contains("your network has 3 connections")
    );
    drop(streams);
}
