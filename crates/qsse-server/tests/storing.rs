//! Servers whose events are in a store.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use qsse_log::disk::{self, Disk};
use qsse_proto::publish::AckFrame;
use qsse_proto::stream::{Item, Outcome};
use qsse_proto::{Code, Epoch, EventId, Timestamp};
use qsse_server::{
    Acknowledge, Authorizer, BindError, Clock, Config, DiskRetention, LogConfig, OnLag,
    PublishError, Server, ServerBuilder, Start,
};
use qsse_store::Store;
use qsse_store::io::mem::{Failure, MemIo};
use qsse_transport::{FrameError, ReadError};
use support::{RawClient, server};

/// Lets everybody do everything.
struct Open;

#[async_trait::async_trait]
impl Authorizer for Open {
    fn scope(&self) -> qsse_server::Scope {
        qsse_server::Scope::Patterns
    }

    async fn authorize(
        &self,
        _: &qsse_server::Principal,
        _: qsse_server::Action,
        _: qsse_topic::PatternRef<'_>,
    ) -> bool {
        true
    }
}

/// A server with little history in memory, on these files.
fn on(io: &MemIo, acknowledge: Acknowledge) -> ServerBuilder {
    let options = disk::options(Epoch::new(3), acknowledge).segment_bytes(64 << 10);
    let (store, recovered) = Store::open(Arc::new(io.clone()), options).unwrap();
    let disk = Disk::inline(store, recovered, DiskRetention::default());
    let log = LogConfig::default()
        .history_bytes(16 << 10)
        .feed_bytes(16 << 10)
        .acknowledge(acknowledge);
    let config = Config::default().log(log);
    server().config(config).storage(disk).authorizer(Open)
}

async fn publish(server: &Server, count: usize) {
    for n in 0..count {
        let topic = ["ride.1", "ride.2", "people"][n % 3];
        server.publish(topic, [7; 100]).await.unwrap();
    }
}

/// Reads events until this seq: all seqs.
async fn seqs(events: &mut support::Events, last: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.last() != Some(&last) {
        seqs.push(events.event().await.id().seq());
    }
    seqs
}

// QP-5.3, QP-2.7: after each restart the clock shows something else.
#[tokio::test]
async fn a_clock_that_was_ahead_once_spoils_no_start_at_a_time() {
    const HOUR: u64 = 3_600_000_000;
    let io = MemIo::default();
    let begin = Timestamp::from_micros(500_000 * HOUR);
    let after = |hours| Timestamp::from_micros(begin.as_micros() + hours * HOUR);
    let at = |hours| on(&io, Acknowledge::Synced).clock(Clock::simulated(after(hours)));
    // A year ahead, twice.
    for hours in [0, 9_000, 9_001, 1, 2] {
        let server = at(hours).await.unwrap();
        publish(&server, 2).await;
        server.shutdown(Duration::from_secs(5)).await;
    }
    let server = at(3).await.unwrap();
    publish(&server, 2).await;

    let mut client = RawClient::connect(&server).await;
    let mut lately = client.subscribe(1, &["*"], Start::Since(after(3))).await;
    let event = lately.event().await;
    assert_eq!(event.id().seq(), 11);
    assert!((after(3)..after(4)).contains(&event.time()));
    let mut longer = client.subscribe(2, &["*"], Start::Since(after(2))).await;
    assert_eq!(longer.event().await.id().seq(), 9);
    let mut all = client.subscribe(3, &["*"], Start::Since(after(0))).await;
    assert_eq!(all.event().await.id().seq(), 1);
}

#[tokio::test]
async fn a_log_outlasts_its_server_and_every_start_reaches_back() {
    let io = MemIo::default();
    let first = on(&io, Acknowledge::Synced).await.unwrap();
    publish(&first, 900).await;
    first.shutdown(Duration::from_secs(5)).await;
    let server = on(&io, Acknowledge::Synced).await.unwrap();
    publish(&server, 3).await;

    let mut client = RawClient::connect(&server).await;
    let mut all = client.subscribe(1, &["*"], Start::Earliest).await;
    assert_eq!(all.header.outcome, Outcome::Resumed);
    assert_eq!(seqs(&mut all, 903).await, (1..=903).collect::<Vec<_>>());
    let after = Start::After(qsse_proto::EventId::new(Epoch::new(3), 10));
    let mut resumed = client.subscribe(2, &["ride.*"], after).await;
    assert_eq!(resumed.header.outcome, Outcome::Resumed);
    let rides: Vec<u64> = (11..=903).filter(|seq| seq % 3 != 0).collect();
    assert_eq!(seqs(&mut resumed, 902).await, rides);
    let mut last = client.subscribe(3, &["*"], Start::Last(2)).await;
    assert_eq!(seqs(&mut last, 903).await, (898..=903).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_killed_server_loses_nothing_that_was_acknowledged() {
    for seed in 0..20 {
        let io = MemIo::default();
        let first = on(&io, Acknowledge::Synced).await.unwrap();
        publish(&first, 50).await;
        let killed = io.snapshot();
        killed.crash(seed);
        let server = on(&killed, Acknowledge::Synced).await.unwrap();
        let mut client = RawClient::connect(&server).await;
        let mut all = client.subscribe(1, &["*"], Start::Earliest).await;
        server.publish("people", "after").await.unwrap();
        let seqs = seqs(&mut all, 51).await;
        assert_eq!(seqs, (1..=51).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_publishing_and_reading_goes_on() {
    let io = MemIo::default();
    let server = on(&io, Acknowledge::Synced).await.unwrap();
    publish(&server, 10).await;
    io.set_capacity(Some(io.used()));
    let error = server.publish("people", [0; 10_000]).await.unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    assert!(server.health().is_err());

    let mut client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(true).await;
    publisher.queue("people", false, &[0; 10_000]);
    let AckFrame::PublishRefused(refused) = publisher.next().await else {
        panic!("a refusal")
    };
    assert_eq!(refused.code, Code::STORE_UNAVAILABLE);
    assert!(refused.message.contains("full"), "{}", refused.message);
    let mut all = client.subscribe(1, &["*"], Start::Earliest).await;
    assert_eq!(seqs(&mut all, 10).await.len(), 10);

    io.set_capacity(None);
    assert_eq!(server.publish("people", "again").await.unwrap().seq(), 11);
    assert_eq!(all.event().await.id().seq(), 11);
    assert!(server.health().is_ok());
}

#[tokio::test]
async fn a_failed_sync_ends_publishing_and_health_says_so() {
    let io = MemIo::default();
    let server = on(&io, Acknowledge::Synced).await.unwrap();
    publish(&server, 5).await;
    // The next operation is a write, the one after it the sync.
    io.fail_at(io.operations() + 1, Failure::Io);
    assert!(matches!(
        server.publish("people", "lost").await,
        Err(PublishError::Store(_))
    ));
    let again = server.publish("people", "refused").await.unwrap_err();
    assert!(again.to_string().contains("started again"), "{again}");
    assert!(server.health().is_err());
    let mut client = RawClient::connect(&server).await;
    let mut all = client.subscribe(1, &["*"], Start::Earliest).await;
    assert_eq!(seqs(&mut all, 5).await.len(), 5, "reading goes on");
}

#[tokio::test]
async fn without_waiting_only_what_is_acknowledged_in_memory_can_be_published() {
    let server = on(&MemIo::default(), Acknowledge::Synced).await.unwrap();
    assert!(matches!(
        server.try_publish("people", "x"),
        Err(PublishError::NeedsAwait)
    ));
    let server = on(&MemIo::default(), Acknowledge::Memory).await.unwrap();
    let published = async {
        while server.try_publish("people", "x").is_err() {
            tokio::task::yield_now().await;
        }
    };
    let published = tokio::time::timeout(Duration::from_secs(10), published);
    published.await.unwrap();
}

#[tokio::test]
async fn the_latest_of_each_topic_may_be_older_than_memory() {
    let io = MemIo::default();
    let server = on(&io, Acknowledge::Written).await.unwrap();
    let mut client = RawClient::connect(&server).await;
    let patterns = vec!["*".to_owned()];
    let (start, on_lag) = (Start::Live, OnLag::Latest);
    let subscribe = qsse_proto::control::Subscribe {
        id: 1,
        patterns,
        start,
        on_lag,
    };
    client.send(subscribe).await;
    let mut events = support::Events::accept(&client.connection).await;
    server.publish("people", "first").await.unwrap();
    assert_eq!(events.event().await.id().seq(), 1);
    // The stream is not read any more; `old` has its last event long before the others.
    server.publish("old", "x").await.unwrap();
    let old = server.publish("old", "last").await.unwrap().seq();
    for _ in 0..3_000 {
        server.publish("people", [0; 1_000]).await.unwrap();
    }
    let last = server.publish("people", "newest").await.unwrap().seq();
    let (mut seen, mut gaps) = (Vec::new(), 0);
    while seen.last() != Some(&last) {
        match events.item().await.unwrap().unwrap() {
            Item::Event(event) => seen.push(event.id().seq()),
            Item::Gap(_) => gaps += 1,
            _ => {}
        }
    }
    assert!(
        gaps > 0 && seen.len() < 3_000,
        "{gaps} gaps, {}",
        seen.len()
    );
    assert!(seen.contains(&old), "{seen:?}");
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn a_directory_is_open_to_one_server_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = server().store(folder.path()).await.unwrap();
    let id = first.publish("people", "x").await.unwrap();
    let error = server().store(folder.path()).await.unwrap_err();
    assert!(matches!(error, BindError::Store { .. }));
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("in use by a qsse server"), "{source}");
    first.shutdown(Duration::from_secs(5)).await;
    let second = server().store(folder.path()).await.unwrap();
    let next = second.publish("people", "y").await.unwrap();
    assert_eq!(next.seq(), id.seq() + 1);
    assert_ne!(
        next.epoch(),
        id.epoch(),
        "each start has an epoch of its own"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_acknowledged_once_the_folder_of_the_store_is_gone() {
    for acknowledge in [
        Acknowledge::Synced,
        Acknowledge::Written,
        Acknowledge::Memory,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let log = LogConfig::default().acknowledge(acknowledge);
        let config = Config::default().log(log);
        let builder = server().config(config).authorizer(Open);
        let server = builder.store(&path).await.unwrap();
        publish(&server, 3).await;
        std::fs::remove_dir_all(&path).unwrap();

        let mut client = RawClient::connect(&server).await;
        let refused = loop {
            let mut publisher = client.publisher(true).await;
            publisher.queue("people", false, b"lost");
            publisher.writer.flush().await.unwrap();
            match publisher.reader.next().await {
                Ok(frame) => match AckFrame::decode(frame.unwrap()).unwrap() {
                    AckFrame::PublishRefused(refused) => break refused,
                    // A crash may cost what is acknowledged in memory.
                    _ => assert_eq!(acknowledge, Acknowledge::Memory),
                },
                // What was on its way is in doubt.
                Err(FrameError::Read(ReadError::Reset(code))) => {
                    assert_eq!(code, Code::STORE_UNAVAILABLE);
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(refused.code, Code::STORE_UNAVAILABLE);
        let message = refused.message;
        assert!(message.contains("folder was removed"), "{message}");
        let here = path.to_str().unwrap();
        assert!(!message.contains(here), "clients need not know: {message}");
        let health = server.health().unwrap_err().to_string();
        assert!(health.contains("folder was removed"), "{health}");
        let error = server.publish("people", "refused").await.unwrap_err();
        assert!(matches!(error, PublishError::Store(_)), "{error}");
        let mut all = client.subscribe(1, &["*"], Start::Earliest).await;
        assert_eq!(seqs(&mut all, 3).await.len(), 3, "reading goes on");
        assert!(!path.exists(), "nothing is made in its place");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn health_tells_of_a_lost_folder_also_when_nothing_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let first = server().store(&path).await.unwrap();
    first.publish("people", "x").await.unwrap();
    std::fs::remove_file(path.join("LOCK")).unwrap();
    let second = server().store(&path).await.unwrap_err();
    assert!(matches!(second, BindError::Store { .. }), "{second}");
    let told = async {
        loop {
            match first.health() {
                Ok(()) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => return error.to_string(),
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await;
    let told = told.expect("upkeep looks after it");
    assert!(told.contains("LOCK in its folder"), "{told}");
}

// QP-2.6, QP-7.7, QP-7.9
#[tokio::test]
async fn ids_outlast_a_restart_and_a_position_of_a_lost_future_is_a_reset() {
    let folder = tempfile::tempdir().unwrap();
    let first = server().store(folder.path()).await.unwrap();
    let one = first.publish("people", "1").await.unwrap();
    first.shutdown(Duration::from_secs(5)).await;
    let second = server().store(folder.path()).await.unwrap();
    let two = second.publish("people", "2").await.unwrap();
    let mut client = RawClient::connect(&second).await;
    let lost = EventId::new(one.epoch(), two.seq());
    for (id, start, outcome, expected) in [
        (1, Start::Earliest, Outcome::Resumed, vec![one, two]),
        (2, Start::After(one), Outcome::Resumed, vec![two]),
        (3, Start::After(lost), Outcome::Reset, vec![one, two]),
    ] {
        let mut events = client.subscribe(id, &["people"], start).await;
        assert_eq!(events.header.outcome, outcome);
        let mut seen = Vec::new();
        for _ in &expected {
            seen.push(events.event().await.id());
        }
        assert_eq!(seen, expected);
    }
    // In the server's own process too.
    let mut own = second.subscribe("*").start(Start::Earliest).await.unwrap();
    let ids = [
        own.next().await.unwrap().unwrap(),
        own.next().await.unwrap().unwrap(),
    ];
    assert_eq!(ids.map(|event| event.id()), [one, two]);
}
