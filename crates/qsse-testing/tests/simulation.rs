//! Servers and clients on a simulated network: nothing is lost, and a seed replays the same run.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use qsse_client::{Client, Item, StateStream, Subscription};
use qsse_proto::Timestamp;
use qsse_server::{Action, Authorizer, Clock, Principal, Scope, Server};
use qsse_testing::net::{Conditions, Network};
use qsse_testing::{endpoints, fixtures};
use qsse_topic::PatternRef;

const SUBSCRIBERS: u16 = 17;
const PUBLISHERS: u16 = 3;
/// Subscribers that the partition cuts off.
const CUT: usize = 5;
/// Events of each publisher.
const EVENTS: usize = 300;

/// What a run looked like from outside.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    trace: u64,
    /// How often a client lost its connection.
    losses: usize,
    /// The events of each subscriber, as they came.
    seen: Vec<Vec<(u64, String)>>,
}

struct AllowAll;

#[async_trait::async_trait]
impl Authorizer for AllowAll {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        true
    }
}

/// Twenty clients, 5 % loss, jitter, a partition longer than the idle timeout, publishers in
/// parallel.
fn run(seed: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let network = Network::new(seed);
        let delay = (Duration::from_millis(5), Duration::from_millis(25));
        network.set_conditions(Conditions::lossy(0.05).delay(delay.0, delay.1));
        let server = Server::bind(network.server_address())
            .endpoint(endpoints::server(&network).unwrap())
            .clock(Clock::simulated(Timestamp::from_micros(
                1_700_000_000_000_000,
            )))
            .epoch(seed)
            .authorizer(AllowAll)
            .await
            .unwrap();

        let mut subscribers = Vec::new();
        let losses = Arc::new(AtomicUsize::new(0));
        for n in 0..SUBSCRIBERS {
            let pattern = ["*", "ride.*", "people"][usize::from(n) % 3];
            let client = connect(&network, n).await;
            tokio::spawn(count_losses(client.state(), Arc::clone(&losses)));
            subscribers.push((pattern, client.subscribe(pattern).await.unwrap()));
        }
        let publishers =
            join_all((0..PUBLISHERS).map(|n| connect(&network, SUBSCRIBERS + n))).await;

        let publish = join_all(publishers.iter().enumerate().map(|(n, client)| async move {
            let publisher = client.publisher();
            for event in 0..EVENTS {
                let topic = if event % 3 == 0 { "people" } else { "ride.7" };
                publisher.send(topic, format!("{n}/{event}")).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            publisher.flush().await.unwrap();
        }));
        let partition = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let cut: Vec<_> = (0..CUT as u16).map(|n| network.client_address(n)).collect();
            network.partition(cut, [network.server_address()]);
            // Longer than the idle timeout: these clients lose their connection.
            tokio::time::sleep(Duration::from_secs(45)).await;
            network.heal();
        };
        let read = join_all(
            subscribers
                .iter_mut()
                .map(|(pattern, subscription)| async move {
                    let expected = match *pattern {
                        "*" => EVENTS,
                        "people" => EVENTS / 3,
                        _ => EVENTS - EVENTS / 3,
                    };
                    read(subscription, expected * usize::from(PUBLISHERS)).await
                }),
        );
        let (seen, (), _) = tokio::join!(read, partition, publish);
        assert_eq!(
            server.log_stats().head,
            (EVENTS * usize::from(PUBLISHERS)) as u64
        );
        Outcome {
            trace: network.trace_hash(),
            losses: losses.load(Ordering::SeqCst),
            seen,
        }
    })
}

async fn connect(network: &Network, n: u16) -> Client {
    Client::connect(network.server_address().to_string())
        .tls(fixtures::client_tls())
        .endpoint(endpoints::client(network, n).unwrap())
        .seed(u64::from(n))
        .await
        .unwrap()
}

async fn count_losses(mut states: StateStream, losses: Arc<AtomicUsize>) {
    let mut connected = true;
    while let Some(state) = states.next().await {
        losses.fetch_add(
            usize::from(connected && !state.is_connected()),
            Ordering::SeqCst,
        );
        connected = state.is_connected();
    }
}

async fn read(subscription: &mut Subscription, count: usize) -> Vec<(u64, String)> {
    let mut seen = Vec::with_capacity(count);
    while seen.len() < count {
        let item = subscription.next_item().await;
        let Some(Ok(Item::Event(event))) = item else {
            panic!("{item:?} is no event")
        };
        seen.push((event.id().seq(), event.text().unwrap().to_owned()));
    }
    seen
}

#[test]
fn nothing_is_lost_through_loss_and_a_partition() {
    let Outcome { seen, losses, .. } = run(1);
    assert_eq!(
        losses, CUT,
        "each client that was cut off lost its connection, no other did"
    );
    for events in seen {
        assert!(
            events.is_sorted_by(|(one, _), (two, _)| one < two),
            "in order and once"
        );
        let mut publishers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (_, text) in &events {
            let (publisher, event) = text.split_once('/').unwrap();
            publishers
                .entry(publisher)
                .or_default()
                .push(event.parse().unwrap());
        }
        assert_eq!(publishers.len(), usize::from(PUBLISHERS));
        for events in publishers.values() {
            assert!(events.is_sorted(), "a publisher's events keep their order");
        }
    }
}

#[test]
fn a_seed_replays_the_same_run() {
    let first = run(7);
    assert_eq!(first, run(7));
    assert_ne!(first.trace, run(8).trace);
}
