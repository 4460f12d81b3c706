//! Storages that hang, fail or panic: who waits hears of it.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use qsse_log::{Acknowledge, Config, Log, Now};
use support::{Fault, Faulty, Memory, Shared};

fn start(faulty: &Arc<Faulty>, acknowledge: Acknowledge) -> Log {
    let storage = Arc::new(Shared(Arc::clone(faulty)));
    let config = Config::default().acknowledge(acknowledge);
    let log = Log::stored(storage, config, Now::default());
    let keeper = log.clone();
    tokio::spawn(async move { keeper.keep(Now::default).await });
    log
}

fn at(seconds: u64) -> Now {
    Now {
        monotonic: Duration::from_secs(seconds),
        ..Now::default()
    }
}

#[tokio::test]
async fn a_storage_that_hangs_while_nothing_is_published_is_not_well() {
    let storage = Faulty::new(Memory::default());
    let log = start(&storage, Acknowledge::Synced);
    storage.set("retain", Fault::Hang);
    let retain = tokio::spawn({
        let log = log.clone();
        async move { log.retain(at(1)).await }
    });
    storage.begun("retain", 1).await;
    log.sweep(at(10));
    log.health().unwrap();
    log.sweep(at(11));
    let error = log.health().unwrap_err().to_string();
    assert!(error.contains("nothing for 10 s"), "{error}");
    storage.clear("retain");
    retain.await.unwrap();
    log.sweep(at(12));
    log.health().unwrap();

    let storage = Faulty::new(Memory::default());
    storage.set("reserve", Fault::Hang);
    let log = start(&storage, Acknowledge::Memory);
    storage.begun("reserve", 1).await;
    log.sweep(at(11));
    log.health().unwrap_err();
    storage.clear("reserve");
    log.room().await;
    log.sweep(at(12));
    log.health().unwrap();
}
