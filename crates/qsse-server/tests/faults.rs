//! What goes wrong beside a server: a store that hangs, fails or panics.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "../../qsse-log/tests/support/mod.rs"]
mod storage;
mod support;

use std::time::Duration;

use storage::{Fault, Faulty, Memory, Shared};
use support::server;
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
