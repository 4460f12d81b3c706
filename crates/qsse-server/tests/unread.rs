//! Clients that read nothing: what the server holds for them is bounded, counted in bytes where
//! they are allocated.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::time::Duration;

use qsse_proto::control::{ServerFrame, Start};
use qsse_proto::stream::Item;
use qsse_proto::{Code, limits};
use qsse_server::{Config, LogConfig, Server};
use qsse_transport::{ReadError, TransportConfig};
use support::{Events, RawClient, server};

const MIB: usize = 1 << 20;

/// A client whose streams give the server little credit.
async fn slow_client(server: &Server) -> RawClient {
    let mut transport = TransportConfig::client();
    transport.stream_receive_window = Some(2_000);
    let mut client = RawClient::hello_with(server, None, transport).await;
    assert!(matches!(client.next().await, ServerFrame::Welcome(_)));
    client
}

/// Subscribes to `h.*` as one feed of its own, and reads nothing but the beginning of the stream.
async fn subscribe(client: &mut RawClient, id: u32, start: Start) -> Events {
    let own = format!("none.{:p}.{id}", &raw const client.connection);
    let patterns = ["h.*", &own.replace("0x", "x")];
    client.subscribe(id, &patterns, start).await
}

/// Returns the value of a metric.
fn metric(server: &Server, name: &str) -> usize {
    let text = server.metrics_text();
    let line = text.lines().find_map(|line| {
        let line = line.strip_prefix("qsse_qsse_")?.strip_prefix(name)?;
        line.strip_prefix(' ')?.parse::<f64>().ok()
    });
    line.unwrap_or(0.0) as usize
}

/// Waits until something holds. It fails if that takes so long that the test hangs.
async fn until(what: &str, server: &Server, mut holds: impl FnMut(&Server) -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !holds(server) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: {}", server.metrics_text());
}

async fn publish(server: &Server, bytes: usize) {
    server.publish("h.1", vec![b'x'; bytes]).await.unwrap();
}

#[tokio::test]
async fn clients_that_do_not_read_hold_a_large_event_once_from_history_and_live() {
    const CLIENTS: usize = 4;
    const EACH: usize = 16;
    let server = server().await.unwrap();
    publish(&server, limits::EVENT_BYTES).await;
    let history = metric(&server, "memory_bytes");
    let mut kept = Vec::new();
    for start in [Start::Earliest, Start::Live] {
        for _ in 0..CLIENTS {
            let mut client = slow_client(&server).await;
            for id in 0..EACH {
                let events = subscribe(&mut client, id as u32 + 1, start).await;
                kept.push(events);
            }
            kept.push(subscribe(&mut client, 100, Start::Live).await);
            std::mem::forget(client);
        }
    }
    publish(&server, limits::EVENT_BYTES).await;
    let live = 2 * CLIENTS + CLIENTS * EACH;
    let all = live + CLIENTS * EACH;
    let taken = |server: &Server| metric(server, "delivered_events") >= all;
    until("all subscriptions hold an event", &server, taken).await;
    let (unread, memory) = (
        server.log_stats().unread_bytes,
        metric(&server, "memory_bytes"),
    );
    assert!(unread < MIB / 2, "{unread} bytes for {all} subscriptions");
    // Both events once. What a feed has besides is little.
    assert!(
        memory < 2 * history + MIB,
        "{memory} bytes, and {history} before"
    );
    assert_eq!(metric(&server, "shed_subscriptions"), 0);
}

/// Settings with which small events that only subscriptions hold count soon.
fn tight() -> Config {
    let log = LogConfig::default().feeds_bytes(64 << 10);
    Config::default().log(log)
}

#[tokio::test]
async fn beyond_the_limit_the_slowest_subscriptions_end_and_those_that_read_go_on() {
    const EVENTS: usize = 200;
    let server = server()
        .config(tight().max_unread_bytes(256 << 10))
        .await
        .unwrap();
    for _ in 0..EVENTS {
        publish(&server, 1_000).await;
    }
    let mut honest = RawClient::connect(&server).await;
    let mut read = honest.subscribe(1, &["h.*"], Start::Earliest).await;
    let mut slow = slow_client(&server).await;
    let mut first = subscribe(&mut slow, 1, Start::Earliest).await;
    let mut others = Vec::new();
    for id in 2..=12 {
        others.push(subscribe(&mut slow, id, Start::Earliest).await);
    }
    let ended = |server: &Server| {
        let unread = server.log_stats().unread_bytes;
        metric(server, "shed_subscriptions") >= 4 && unread <= 256 << 10
    };
    until("the slowest are ended", &server, ended).await;
    assert!(metric(&server, "shed_subscriptions") < 12, "not all are");
    assert_eq!(lagged(&mut first).await, Code::LAGGED);
    for _ in 0..EVENTS {
        read.event().await;
    }
    publish(&server, 1_000).await;
    assert_eq!(read.event().await.id().seq(), EVENTS as u64 + 1);
}

#[tokio::test]
async fn a_connection_that_holds_too_much_loses_its_own_subscriptions_only() {
    let config = tight().max_connection_unread_bytes(160 << 10);
    let server = server().config(config).await.unwrap();
    for _ in 0..200 {
        publish(&server, 1_000).await;
    }
    let mut other = slow_client(&server).await;
    let mut before = subscribe(&mut other, 1, Start::Earliest).await;
    let mut greedy = slow_client(&server).await;
    let mut first = subscribe(&mut greedy, 1, Start::Earliest).await;
    let mut rest = Vec::new();
    for id in 2..=4 {
        rest.push(subscribe(&mut greedy, id, Start::Earliest).await);
    }
    assert_eq!(lagged(&mut first).await, Code::LAGGED);
    until("two of them are too many", &server, |server| {
        metric(server, "shed_subscriptions") == 2
    })
    .await;
    // The other one was blocked for longer, on a connection of its own.
    for _ in 0..200 {
        before.event().await;
    }
}

/// Reads until the stream is reset.
async fn lagged(events: &mut Events) -> Code {
    let end = async {
        loop {
            match events.item().await {
                Ok(Some(Item::Event(_))) => {}
                Err(ReadError::Reset(code)) => return code,
                other => panic!("an event or the end, not {other:?}"),
            }
        }
    };
    let end = tokio::time::timeout(Duration::from_secs(60), end).await;
    end.expect("the stream is reset")
}

#[tokio::test]
async fn connections_count_for_the_limit_of_memory_until_they_end() {
    let server = server().await.unwrap();
    let before = server.log_stats().memory_bytes;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(RawClient::connect(&server).await);
    }
    assert_eq!(server.log_stats().memory_bytes, before + 5 * (40 << 10));
    drop(clients);
    until("they end", &server, |server| {
        server.log_stats().memory_bytes == before
    })
    .await;
}

#[tokio::test]
async fn a_lower_limit_of_memory_is_in_force_at_once() {
    let server = server().await.unwrap();
    for _ in 0..40 {
        publish(&server, MIB / 2).await;
    }
    assert!(metric(&server, "memory_bytes") > 20 * MIB);
    let log = LogConfig::default().memory_bytes(16 * MIB);
    server.set_limits(&Config::default().log(log)).unwrap();
    until("the oldest history goes", &server, |server| {
        metric(server, "memory_bytes") <= 14 * MIB
    })
    .await;
    // And a higher one again.
    server.set_limits(&Config::default()).unwrap();
    for _ in 0..40 {
        publish(&server, MIB / 2).await;
    }
    assert!(metric(&server, "memory_bytes") > 30 * MIB);
}

#[tokio::test]
async fn near_the_limit_of_memory_the_oldest_history_goes() {
    let log = LogConfig::default().memory_bytes(16 * MIB);
    let server = server().config(Config::default().log(log)).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut events = client.subscribe(1, &["h.*"], Start::Live).await;
    for n in 1..=64 {
        publish(&server, MIB / 2).await;
        assert_eq!(events.event().await.id().seq(), n);
        assert!(metric(&server, "memory_bytes") <= 16 * MIB);
    }
    until("it goes below seven eighths", &server, |server| {
        metric(server, "memory_bytes") <= 14 * MIB
    })
    .await;
    assert!(metric(&server, "shed_history_bytes") > 10 * MIB);
    assert!(server.log_stats().history_events > 8, "not all of it");
}
