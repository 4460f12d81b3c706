//! Going on from a position: in process, over the network, and from inside a handler.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qsse_client::{Client, Cursor, Event, Handlers, Item, Outcome, Start, Subscription};
use qsse_server::{Server, TestServer};
use qsse_testing::net::{Conditions, Network};
use qsse_testing::{endpoints, fixtures};

const EVENTS: u64 = 10_000;
const TOPICS: [&str; 3] = ["ride.1", "ride.2", "people"];

/// The topic of an event.
fn topic(seq: u64) -> &'static str {
    // Runs of one topic, and changes.
    TOPICS[(seq / 7 % 3) as usize]
}

/// Publishes all events, of differing sizes: some fill a batch, most share one.
async fn publish(server: &Server) {
    for seq in 1..=EVENTS {
        let len = if seq % 500 == 0 { 70_000 } else { 900 };
        let data = "x".repeat(len);
        assert_eq!(server.publish(topic(seq), data).await.unwrap().seq(), seq);
    }
}

/// Cuts all over the stream: every `step`th, and those beside large events.
fn cuts(step: usize) -> impl Iterator<Item = u64> {
    (0..EVENTS - 1).step_by(step).chain([499, 500, 501, 9_999])
}

/// Every wait in these tests is for a condition; this only ends one that never comes.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(120), future)
        .await
        .expect("it took too long")
}

async fn next(subscription: &mut Subscription) -> Event {
    match soon(subscription.next_item()).await {
        Some(Ok(Item::Event(event))) => event,
        other => panic!("{other:?} is no event"),
    }
}

#[tokio::test]
async fn in_process_every_cut_goes_on_with_the_next_event() {
    let server = TestServer::start().await.unwrap();
    // Who reads live keeps a feed of the newest events: later cuts are inside it, earlier ones
    // below.
    let live = server.subscribe("*").await.unwrap();
    publish(&server).await;
    let epoch = server.subscribe("*").await.unwrap().cursor().id().epoch();
    for filter in ["*", "ride.2"] {
        let matching = (1..=EVENTS).filter(|seq| filter == "*" || topic(*seq) == filter);
        let matching: BTreeSet<u64> = matching.collect();
        for cut in 0..EVENTS {
            let after = Start::After(qsse_client::EventId::new(epoch, cut));
            let mut resumed = server.subscribe(filter).start(after).await.unwrap();
            assert_eq!(resumed.cursor().id().seq(), cut);
            let Some(expected) = matching.range(cut + 1..).next() else {
                continue;
            };
            let item = resumed.next_item().await.unwrap().unwrap();
            let qsse_server::Item::Event(event) = item else {
                panic!("{item:?} is no event")
            };
            assert_eq!(event.id().seq(), *expected, "{filter} after {cut}");
            assert_eq!(event.topic(), topic(*expected));
        }
    }
    drop(live);
}

#[tokio::test]
async fn over_the_network_a_cut_goes_on_with_the_next_events() {
    let server = TestServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let mut first = client.subscribe("*").await.unwrap();
    publish(&server).await;
    let mut cursors = vec![first.cursor()];
    for seq in 1..=EVENTS {
        assert_eq!(next(&mut first).await.id().seq(), seq);
        cursors.push(first.cursor());
    }
    for cut in cuts(41) {
        let cursor: Cursor = cursors[cut as usize].to_string().parse().unwrap();
        let resumed = client.subscribe("*").start(cursor);
        let mut resumed = soon(resumed.into_future()).await.unwrap();
        assert_eq!(soon(resumed.outcome()).await, Some(Outcome::Resumed));
        for seq in (cut + 1..=EVENTS).take(100) {
            assert_eq!(next(&mut resumed).await.id().seq(), seq, "after {cut}");
        }
    }
}

#[tokio::test]
async fn inside_a_handler_a_cut_goes_on_with_the_next_event() {
    let server = TestServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let (seen, resumed) = (
        Arc::<Mutex<Vec<u64>>>::default(),
        Arc::<Mutex<Vec<u64>>>::default(),
    );
    let (inner, seen_by, resumed_by) = (client.clone(), seen.clone(), resumed.clone());
    let wanted: Arc<BTreeSet<u64>> = Arc::new(cuts(97).filter(|cut| *cut > 0).collect());
    let expected: Vec<u64> = wanted.iter().map(|cut| cut + 1).collect();
    let handlers = Handlers::new()
        .start(Start::Earliest)
        .on("*", move |event| {
            let (client, wanted) = (inner.clone(), wanted.clone());
            let (seen, resumed) = (seen_by.clone(), resumed_by.clone());
            async move {
                let seq = event.id().seq();
                seen.lock().unwrap().push(seq);
                if wanted.contains(&seq) {
                    let subscribe = client.subscribe("*").start(Cursor::after(event.id()));
                    let mut from_here = soon(subscribe.into_future()).await.unwrap();
                    let next = next(&mut from_here).await.id().seq();
                    resumed.lock().unwrap().push(next);
                }
            }
        });
    publish(&server).await;
    let handle = client.handle(handlers).await.unwrap();
    soon(async {
        while handle.cursor().id().seq() < EVENTS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(*resumed.lock().unwrap(), expected);
    assert!(seen.lock().unwrap().iter().copied().eq(1..=EVENTS));
}

#[tokio::test]
async fn handlers_stopped_at_any_moment_are_gone_on_with() {
    let server = TestServer::start().await.unwrap();
    publish(&server).await;
    let seen = Arc::<Mutex<Vec<u64>>>::default();
    let mut start = Start::Earliest;
    // Each client has its own connection, as each run of a program has.
    for round in 1.. {
        let client = Client::connect(server.url()).await.unwrap();
        let journal = seen.clone();
        let before = seen.lock().unwrap().len();
        let handlers = Handlers::new().start(start).on("*", move |event| {
            let journal = journal.clone();
            async move {
                tokio::task::yield_now().await;
                journal.lock().unwrap().push(event.id().seq());
            }
        });
        let handle = client.handle(handlers).await.unwrap();
        let enough = (before + round * 20).min(EVENTS as usize);
        soon(async {
            while seen.lock().unwrap().len() < enough {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let stood = soon(handle.stop()).await;
        assert_eq!(Some(&stood.id().seq()), seen.lock().unwrap().last());
        if stood.id().seq() == EVENTS {
            break;
        }
        start = stood.into();
    }
    assert!(seen.lock().unwrap().iter().copied().eq(1..=EVENTS));
}

const SNAPSHOT: u64 = 3_000;

/// A client whose connection is lost within the snapshot of `Last(1)`, while events are published.
async fn lost_within_a_snapshot(seed: u64, read_before: usize) {
    let network = Network::new(seed);
    network.set_conditions(Conditions::lossy(0.02));
    let server = Server::bind(network.server_address())
        .endpoint(endpoints::server(&network).unwrap())
        .epoch(seed)
        .await
        .unwrap();
    let put = async |topic: u64, round: u64| {
        let data = format!("{round:>1000}");
        let id = server.publish(format!("t{topic}"), data).await.unwrap();
        id.seq()
    };
    for round in 0..2 {
        for topic in 0..SNAPSHOT {
            put(topic, round).await;
        }
    }
    let client = Client::connect(network.server_address())
        .tls(fixtures::client_tls())
        .endpoint(endpoints::client(&network, 1).unwrap())
        .seed(seed)
        .await
        .unwrap();
    let mut events = client.subscribe("*").start(Start::Last(1)).await.unwrap();
    assert_eq!(events.outcome().await, Some(Outcome::Resumed));
    let mut seen = Vec::new();
    for _ in 0..read_before {
        seen.push(next_on(&mut events).await);
    }
    network.partition([network.client_address(1)], [network.server_address()]);
    let mut states = client.state();
    while states.current().is_connected() {
        states.next().await.unwrap();
    }
    // Two of one topic, so that the first is not the last of its topic any more.
    let mut published = 2 * SNAPSHOT;
    for topic in [5, 5, 2_999, SNAPSHOT] {
        published = put(topic, 2).await;
    }
    network.heal();
    if seed % 2 == 1 {
        // What had come unread is replaced by what comes now; otherwise it is read first.
        while !states.current().is_connected() {
            states.next().await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    while seen.last() != Some(&published) {
        seen.push(next_on(&mut events).await);
    }
    assert!(seen.is_sorted_by(|one, two| one < two), "in order, once");
    // The last of each topic when it subscribed, and all that came then.
    let expected: Vec<u64> = (SNAPSHOT + 1..=published).collect();
    assert_eq!(seen, expected, "seed {seed}, after {read_before}");
}

async fn next_on(subscription: &mut Subscription) -> u64 {
    let item = tokio::time::timeout(Duration::from_secs(3_600), subscription.next()).await;
    let item = item.expect("within an hour of the simulation");
    item.expect("no end").expect("no gap, no reset").id().seq()
}

#[test]
fn a_connection_lost_within_a_snapshot_loses_and_doubles_nothing() {
    for (seed, read_before) in [
        (1, 0),
        (2, 0),
        (3, 1),
        (4, 1),
        (5, 700),
        (6, 1_500),
        (7, 2_999),
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(lost_within_a_snapshot(seed, read_before));
    }
}
