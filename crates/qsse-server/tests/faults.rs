//! What goes wrong beside a server: a store that hangs, fails or panics.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "../../qsse-log/tests/support/mod.rs"]
mod storage;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};
use qsse_proto::control::{Start, Unsubscribe};
use qsse_proto::publish::AckFrame;
use qsse_proto::{Code, Timestamp};
use qsse_server::{
    Action, Authorizer, Clock, Closed, Config, PatternRef, Principal, PublishError, Scope, Server,
};
use qsse_transport::ReadError;
use storage::{Fault, Faulty, Memory, Shared};
use support::{RawClient, server};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn health_tells_of_a_store_that_hangs_and_upkeep_goes_on() {
    let storage = Faulty::new(Memory::default());
    let server = server()
        .storage(Shared(storage.clone()))
        .authorizer_fn(|_, _| true)
        .await
        .unwrap();
    server.publish("a", "x").await.unwrap();
    storage.begun("retain", 1).await;
    for call in ["append", "retain"] {
        storage.set(call, Fault::Hang);
    }
    drop(server.subscribe("idle").await.unwrap());
    assert_eq!(server.log_stats().feeds, 1);
    let publishing = tokio::spawn({
        let server = server.clone();
        async move { server.publish("a", "y").await }
    });
    let began = Instant::now();
    while server.health().is_ok() {
        assert!(began.elapsed() < Duration::from_secs(15), "it says nothing");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(8), "a short wait");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(server.log_stats().feeds, 0, "idle feeds go");
    for call in ["append", "retain"] {
        storage.clear(call);
    }
    publishing.await.unwrap().unwrap();
    sleep(Duration::from_secs(2)).await;
    server.health().unwrap();
}

/// Longer than anything here takes unless it hangs.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("it came in time")
}

#[tokio::test]
async fn a_store_that_panics_ends_publishing_and_neither_reading_nor_the_drain() {
    let storage = Faulty::new(Memory::default());
    let server = server()
        .storage(Shared(storage.clone()))
        .authorizer_fn(|_, _| true)
        .await
        .unwrap();
    server.publish("a", "x").await.unwrap();
    storage.set("append", Fault::Panic);
    let error = soon(server.publish("a", "y").into_future()).await;
    assert!(matches!(error, Err(PublishError::Store(_))), "{error:?}");
    assert!(server.health().is_err());
    let mut client = RawClient::connect(&server).await;
    let mut events = client.subscribe(1, &["a"], Start::Earliest).await;
    assert_eq!(soon(events.topics(1)).await, ["a"]);
    client.connection.close(Code::NO_ERROR, "");
    assert_eq!(
        soon(server.shutdown(Duration::from_secs(10))).await,
        Closed::Drained
    );
}

/// A recorder that panics whenever it can, and counts how often gauges were set.
#[derive(Default)]
struct Broken(Arc<AtomicUsize>);

struct Panics(Arc<AtomicUsize>);

impl CounterFn for Panics {
    fn increment(&self, _: u64) {
        panic!("a counter panics");
    }

    fn absolute(&self, _: u64) {
        panic!("a counter panics");
    }
}

impl GaugeFn for Panics {
    fn increment(&self, _: f64) {
        panic!("a gauge panics");
    }

    fn decrement(&self, _: f64) {
        panic!("a gauge panics");
    }

    fn set(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a gauge panics");
    }
}

impl Recorder for Broken {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        // Those that are registered late, in tasks.
        assert!(key.labels().len() == 0, "a label panics");
        Counter::from_arc(Arc::new(Panics(Arc::clone(&self.0))))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        assert!(key.labels().len() == 0, "a label panics");
        Gauge::from_arc(Arc::new(Panics(Arc::clone(&self.0))))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_recorder_that_panics_costs_nothing_but_its_metrics() {
    let recorder = Broken::default();
    let sets = Arc::clone(&recorder.0);
    let server = server()
        .recorder(Arc::new(recorder))
        .authorizer_fn(|_, _| true)
        .await
        .unwrap();
    let mut client = RawClient::connect(&server).await;
    let mut events = client.subscribe(1, &["a"], Start::Earliest).await;
    server.publish("a", "x").await.unwrap();
    assert_eq!(soon(events.topics(1)).await, ["a"]);
    // Clients may not publish here, which is counted as well.
    let mut publisher = client.publisher(false).await;
    publisher.queue("a", false, b"x");
    let answer = soon(publisher.next()).await;
    assert!(matches!(answer, AckFrame::PublishRefused(_)), "{answer:?}");
    // Upkeep collects every second.
    let before = sets.load(Ordering::SeqCst);
    let collected = async {
        while sets.load(Ordering::SeqCst) < before + 8 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(collected).await;
    client.connection.close(Code::NO_ERROR, "");
    let closed = soon(server.shutdown(Duration::from_secs(10))).await;
    assert_eq!(closed, Closed::Drained);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a future panics when it is dropped");
    }
}

/// Allows everything, but never answers about the topic `bad`: whoever asked gives up in time, and
/// drops a future that panics then, which takes its task with it.
struct Explosive;

#[async_trait]
impl Authorizer for Explosive {
    fn scope(&self) -> Scope {
        Scope::Names
    }

    async fn authorize(&self, _: &Principal, _: Action, topic: PatternRef<'_>) -> bool {
        if topic.as_str() == "bad" {
            let _bomb = Bomb;
            std::future::pending::<()>().await;
        }
        true
    }
}

/// A server with the authorizer above, on which a client may have this many subscriptions.
async fn explosive(subscriptions: u32) -> Server {
    let config = Config::default()
        .auth_timeout(Duration::from_millis(20))
        .max_subscriptions(subscriptions);
    server().config(config).authorizer(Explosive).await.unwrap()
}

/// Checks that the server serves this client, new ones and its own process, and drains in time.
async fn serves_and_drains(server: Server, mut client: RawClient) {
    let mut events = client.subscribe(9, &["after"], Start::Live).await;
    let mut other = RawClient::connect(&server).await;
    let mut others = other.subscribe(1, &["after"], Start::Live).await;
    let published = server.publish("after", "x").into_future();
    soon(published).await.unwrap();
    assert_eq!(soon(events.topics(1)).await, ["after"]);
    assert_eq!(soon(others.topics(1)).await, ["after"]);
    server.health().unwrap();
    for client in [client, other] {
        client.connection.close(Code::NO_ERROR, "");
    }
    let drained = server.shutdown(Duration::from_secs(10));
    assert_eq!(soon(drained).await, Closed::Drained);
}

#[tokio::test]
async fn a_delivery_that_panics_resets_its_stream_and_frees_its_place() {
    let server = explosive(1).await;
    let mut client = RawClient::connect(&server).await;
    let mut events = client.subscribe(1, &["*"], Start::Live).await;
    server.publish("good", "x").await.unwrap();
    assert_eq!(soon(events.topics(1)).await, ["good"]);
    server.publish("bad", "x").await.unwrap();
    let reset = soon(events.item()).await;
    assert!(matches!(reset, Err(ReadError::Reset(_))), "{reset:?}");
    serves_and_drains(server, client).await;
}

#[tokio::test]
async fn a_publishing_stream_that_panics_is_reset_and_leaves_its_connection_alone() {
    let server = explosive(2).await;
    let mut client = RawClient::connect(&server).await;
    let mut events = client.subscribe(1, &["good"], Start::Live).await;
    let mut failing = client.publisher(false).await;
    failing.queue("bad", false, b"x");
    failing.writer.flush().await.unwrap();
    let reset = soon(failing.reader.next()).await;
    assert!(reset.is_err(), "{reset:?}");
    let mut publisher = client.publisher(false).await;
    publisher.queue("good", false, b"x");
    let answer = soon(publisher.next()).await;
    assert!(matches!(answer, AckFrame::Acknowledged(_)), "{answer:?}");
    assert_eq!(soon(events.topics(1)).await, ["good"]);
    serves_and_drains(server, client).await;
}

#[tokio::test]
async fn a_session_that_panics_closes_its_connection_and_no_other() {
    let server = explosive(2).await;
    let mut client = RawClient::connect(&server).await;
    let mut events = client.subscribe(1, &["good"], Start::Live).await;
    let other = RawClient::connect(&server).await;
    client.ask(2, &["bad"], Start::Live).await;
    let (code, reason) = soon(client.closed()).await;
    assert_eq!((code, &*reason), (Code::UNKNOWN, "the server has failed"));
    // Without its session, a subscription would outlive the checks of its token.
    assert!(soon(events.item()).await.is_err());
    serves_and_drains(server, other).await;
}

#[tokio::test]
async fn upkeep_that_panics_closes_the_server_for_everybody_who_waits() {
    // The clock overflows at the end of its time.
    let end = Duration::from_secs(20);
    let start = Timestamp::from_micros(u64::MAX - end.as_micros() as u64);
    let server = server().clock(Clock::simulated(start)).await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut events = server.subscribe("*").await.unwrap();
    tokio::time::pause();
    tokio::time::advance(end).await;
    tokio::time::resume();
    assert_eq!(soon(server.closed()).await, Closed::Panicked);
    assert!(soon(events.next()).await.is_none());
    let published = soon(server.publish("a", "x")).await;
    assert!(
        matches!(published, Err(PublishError::ShuttingDown)),
        "{published:?}"
    );
    assert_eq!(soon(client.closed()).await.0, Code::SHUTTING_DOWN);
    let shut_down = server.shutdown(Duration::from_secs(3_600));
    assert_eq!(soon(shut_down).await, Closed::Panicked);
}

#[tokio::test]
async fn a_start_that_a_store_has_to_find_is_refused_when_the_store_hangs() {
    for (call, start) in [
        ("tail", Start::Last(1)),
        ("seq_at", Start::Since(Timestamp::from_micros(0))),
    ] {
        let storage = Faulty::new(Memory::default());
        let mut config = Config::default();
        // The first event has left memory.
        config.log.history_events = 1;
        let server = server().config(config).storage(Shared(storage.clone()));
        let server = server.authorizer_fn(|_, _| true).await.unwrap();
        for data in ["x", "y"] {
            soon(server.publish("a", data).into_future()).await.unwrap();
        }
        storage.set(call, Fault::Hang);
        let mut client = RawClient::connect(&server).await;
        let hangs = async {
            storage.begun(call, 1).await;
            // Nothing more will happen, so that the clock runs ahead to the deadline.
            tokio::time::pause();
        };
        let ((code, message), ()) = tokio::join!(client.refused(1, &["a"], start), hangs);
        assert_eq!(code, Code::BUSY, "{message}");
        assert!(message.contains("has not answered for 10 s"), "{message}");
        tokio::time::resume();
        storage.clear(call);
        let mut events = client.subscribe(2, &["a"], start).await;
        assert_eq!(soon(events.topics(1)).await, ["a"]);
    }
}

#[tokio::test]
async fn a_drain_waits_for_what_is_being_stored() {
    let storage = Faulty::new(Memory::default());
    let server = server().storage(Shared(storage.clone())).await.unwrap();
    storage.set("append", Fault::Hang);
    let spawn = || {
        let server = server.clone();
        tokio::spawn(async move { server.publish("a", "x").await })
    };
    let first = spawn();
    soon(storage.begun("append", 1)).await;
    // Behind the group that is being written.
    let second = spawn();
    while server.log_stats().head < 2 {
        tokio::task::yield_now().await;
    }
    let draining = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown(Duration::from_secs(10)).await }
    });
    for published in [first, second] {
        sleep(Duration::from_millis(50)).await;
        assert!(!draining.is_finished() && !published.is_finished());
        storage.pass("append");
        soon(published).await.unwrap().unwrap();
    }
    assert_eq!(soon(draining).await.unwrap(), Closed::Drained);
    soon(storage.begun("close", 1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_up_a_store_that_hangs() {
    for call in ["append", "close"] {
        let storage = Faulty::new(Memory::default());
        let server = server().storage(Shared(storage.clone())).await.unwrap();
        storage.set(call, Fault::Hang);
        let publishing = tokio::spawn({
            let server = server.clone();
            async move { server.publish("a", "x").await }
        });
        storage.begun("append", 1).await;
        let began = Instant::now();
        server.shutdown(Duration::from_secs(2)).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{call}");
        // Whoever waits for it hears of it.
        let published = soon(publishing).await.unwrap();
        assert_eq!(published.is_ok(), call == "close");
    }
}

#[test]
fn a_server_whose_runtime_has_ended_says_so_and_shuts_down_at_once() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let (servers, subscription) = first.block_on(async {
        let storage = Faulty::new(Memory::default());
        let server = server().storage(Shared(storage)).await.unwrap();
        let subscription = server.subscribe("*").await.unwrap();
        let other = support::server().await.unwrap();
        ([server, other], subscription)
    });
    let publish = servers[0].clone();
    drop(first);
    let second = runtime();
    second.block_on(async {
        for server in &servers {
            assert_eq!(soon(server.closed()).await, Closed::RuntimeEnded);
            let deadline = Duration::from_secs(3_600);
            assert_eq!(soon(server.shutdown(deadline)).await, Closed::RuntimeEnded);
        }
        let published = soon(publish.publish("a", "x").into_future()).await;
        assert!(published.is_err());
        let mut subscription = subscription;
        assert!(soon(subscription.next()).await.is_none());
    });
    drop(second);
    drop((servers, publish));
}

#[tokio::test]
async fn a_port_is_free_once_its_server_is_shut_down() {
    for shards in [1, 2] {
        if shards > 1 && !cfg!(target_os = "linux") {
            continue;
        }
        let first = server().shards(shards).await.unwrap();
        let client = RawClient::connect(&first).await;
        let address = first.local_addr();
        let waiting = tokio::spawn(async move { client.closed().await });
        first.shutdown(Duration::ZERO).await;
        let second = qsse_server::Server::bind(address)
            .shards(shards)
            .await
            .unwrap();
        assert_eq!(second.local_addr(), address);
        RawClient::connect(&second).await;
        soon(waiting).await.unwrap();
        drop(first);
    }
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn a_start_from_history_is_no_lag() {
    let log = qsse_server::LogConfig::default().feed_bytes(4 << 10);
    let config = qsse_server::Config::default().log(log);
    let server = server().config(config).await.unwrap();
    for _ in 0..1_000 {
        server.publish("a", [0; 100]).await.unwrap();
    }
    let mut client = RawClient::connect(&server).await;
    let mut events = client.subscribe(1, &["*"], Start::Earliest).await;
    soon(events.topics(1_000)).await;
    let metrics = server.metrics_text();
    assert!(metrics.contains("qsse_qsse_lag_total 0"), "{metrics}");
}

// QP-5.5: each request is answered, and a search ends when nobody wants it any more.
#[tokio::test]
async fn a_connection_has_a_few_searches_and_none_that_it_no_longer_wants() {
    let storage = Faulty::new(Memory::default());
    storage.set("tail", Fault::Hang);
    let server = server()
        .storage(Shared(storage.clone()))
        .config(Config::default().max_starts(1))
        .await
        .unwrap();
    let last = Start::Last(1);
    let mut client = RawClient::connect(&server).await;
    client.ask(1, &["a"], last).await;
    soon(storage.begun("tail", 1)).await;
    client.ask(2, &["a"], last).await;
    // A start that needs no search has to wait for none.
    let _live = soon(client.subscribe(3, &["a"], Start::Live)).await;
    let mut other = RawClient::connect(&server).await;
    other.ask(1, &["a"], last).await;
    soon(storage.begun("tail", 2)).await;
    let metrics = server.metrics_text();
    assert!(metrics.contains("qsse_qsse_starts_paced 1"), "{metrics}");

    client.send(Unsubscribe { id: 1 }).await;
    let refusal = soon(client.refusal(1)).await;
    assert_eq!(refusal.0, Code::UNSUBSCRIBED);
    soon(storage.begun("tail", 3)).await;
    let metrics = server.metrics_text();
    assert!(
        !metrics.contains("qsse_refused{"),
        "nobody was refused: {metrics}"
    );

    client.connection.close(Code::NO_ERROR, "");
    other.connection.close(Code::NO_ERROR, "");
    soon(storage.given_up()).await;
}
