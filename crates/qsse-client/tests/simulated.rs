//! A simulated network: packet loss and a partition lose no event, and a run is reproducible.

use std::time::Duration;

use qsse_client::{Client, Subscription, Timestamp};
use qsse_server::{Clock, Server};
use qsse_testing::{Conditions, Network, endpoints, fixtures};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

const EVENTS: u64 = 400;

async fn client(network: &Network, n: u16) -> Client {
    Client::connect(network.server_address())
        .tls(fixtures::client_tls())
        .endpoint(endpoints::client(network, n).expect("an address"))
        .seed(u64::from(n))
        .await
        .expect("connected")
}

/// What the subscribers of one run received.
async fn simulate(network: &Network) -> Vec<Vec<u64>> {
    network.set_conditions(Conditions::lossy(0.05));
    let server = Server::bind("127.0.0.1:1")
        .endpoint(endpoints::server(network).expect("an address"))
        .clock(Clock::simulated(Timestamp::from_micros(1)))
        .epoch(7)
        .await
        .expect("the endpoint is bound");
    let mut reading = Vec::new();
    for n in 1..=3 {
        let client = client(network, n).await;
        let events = client.subscribe(["a", "b.*"]).await.expect("subscribed");
        reading.push(tokio::spawn(read(events)));
    }
    for i in 0..EVENTS {
        match i {
            // Longer than the first client's idle timeout.
            100 => network.partition([network.client_address(1)], [network.server_address()]),
            200 => network.heal(),
            _ => {}
        }
        let topic = if i % 2 == 0 { "a" } else { "b.c" };
        server
            .publish(topic, i.to_string())
            .await
            .expect("published");
        sleep(Duration::from_millis(500)).await;
    }
    let mut seen = Vec::new();
    for reading in reading {
        seen.push(reading.await.expect("no panic"));
    }
    seen
}

async fn read(mut events: Subscription) -> Vec<u64> {
    let mut seen = Vec::new();
    while (seen.len() as u64) < EVENTS {
        let item = timeout(Duration::from_secs(600), events.next()).await;
        let event = item.expect("in time").expect("no end").expect("no error");
        seen.push(event.id().seq());
    }
    seen
}

/// Runs the simulation, and returns the trace of all datagrams too.
fn run(seed: u64) -> (Vec<Vec<u64>>, u64) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let network = Network::new(seed);
        (simulate(&network).await, network.trace_hash())
    })
}

#[test]
fn loss_and_a_partition_lose_no_event_and_the_run_repeats_itself() {
    let (seen, trace) = run(11);
    for seen in &seen {
        assert_eq!(*seen, (1..=EVENTS).collect::<Vec<_>>());
    }
    assert_eq!(run(11), (seen, trace));
    assert_ne!(run(12).1, trace, "another seed is another run");
}
