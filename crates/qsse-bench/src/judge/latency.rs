//! Latency: how late events arrive when they are published at a fixed rate, with all packets or
//! without some.
//!
//! The age of an event counts from when it was due, not from when its turn came: a stall shows in
//! every event that it has delayed.

use anyhow::Result;
use serde_json::{Value, json};

use super::bench::Bench;
use super::compare::{Row, compare};
use super::figures::{P50, P99, P999};
use super::report::Figure;
use super::run::Order;
use crate::work::{Peer, Role, Task};

const PEERS: [Peer; 5] = [
    Peer::Qsse,
    Peer::QsseShards,
    Peer::RawQuinn,
    Peer::SseH2,
    Peer::Nats,
];

/// Subscribers, and events a second.
const CROWDS: [(usize, f64); 2] = [(100, 100.0), (1_000, 10.0)];

const FIGURES: [Figure; 5] = [
    P50,
    P99,
    P999,
    Figure {
        key: "max_us",
        title: "longest µs",
        of: |sample| sample.latency.max,
        digits: 0,
        more_is_better: false,
    },
    Figure {
        key: "server_us_per_delivery",
        title: "CPU µs each",
        of: |sample| sample.server_us_each,
        digits: 1,
        more_is_better: false,
    },
];

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for &loss_percent in &bench.args.loss {
        for (subscribers, events_per_s) in CROWDS {
            rows.push(of(bench, subscribers, events_per_s, loss_percent));
        }
    }
    Ok(rows)
}

fn of(bench: &Bench<'_>, subscribers: usize, events_per_s: f64, loss_percent: f64) -> Value {
    let title = format!(
        "latency: {subscribers} subscribers, {events_per_s} events/s, {loss_percent} % lost each way"
    );
    let order = Order {
        loss_percent,
        ..Order::new(Task::Steady { events_per_s }, Role::Receive, subscribers)
    };
    let row = Row {
        title,
        fields: &[
            ("subscribers", json!(subscribers)),
            ("events_per_s", json!(events_per_s)),
            ("loss_percent", json!(loss_percent)),
        ],
        peers: &PEERS,
        figures: &FIGURES,
        rounds: bench.args.rounds,
    };
    compare(bench, &row, &order)
}
