//! Fan-out: as many deliveries as possible, each event to each subscriber.

use anyhow::Result;
use serde_json::{Value, json};

use super::bench::Bench;
use super::compare::{Row, compare};
use super::figures::{CLIENT_CORES, DELIVERIES, SERVER_CORES, SLOWEST_SHARE};
use super::report::Figure;
use super::run::Order;
use crate::work::{Peer, Role, Task};

const PEERS: [Peer; 9] = [
    Peer::Qsse,
    Peer::QsseShards,
    Peer::Wt,
    Peer::RawQuinn,
    Peer::RawQuinnBest,
    Peer::HttpH2,
    Peer::SseH2,
    Peer::Nats,
    Peer::GoQsse,
];

const FIGURES: [Figure; 5] = [
    DELIVERIES,
    SERVER_CORES,
    CLIENT_CORES,
    Figure {
        key: "server_us_per_delivery",
        title: "CPU µs each",
        of: |sample| sample.server_us_each,
        digits: 2,
        more_is_better: false,
    },
    SLOWEST_SHARE,
];

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for &event_bytes in &bench.args.event_bytes {
        for &subscribers in &bench.args.subscribers {
            rows.push(of(bench, subscribers, event_bytes));
        }
    }
    Ok(rows)
}

fn of(bench: &Bench<'_>, subscribers: usize, event_bytes: usize) -> Value {
    let title = format!("fanout: {subscribers} subscribers, {event_bytes}-byte events");
    let order = Order {
        event_bytes,
        ..Order::new(Task::Flood, Role::Receive, subscribers)
    };
    let row = Row {
        title,
        fields: &[("subscribers", json!(subscribers))],
        peers: &PEERS,
        figures: &FIGURES,
        rounds: bench.args.rounds,
    };
    compare(bench, &row, &order)
}
