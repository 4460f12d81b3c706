//! Calm: what a delivery costs in CPU when there is little to do and nothing to batch.

use anyhow::Result;
use serde_json::{Value, json};

use super::bench::Bench;
use super::compare::{Row, compare};
use super::figures::DELIVERIES;
use super::report::Figure;
use super::run::Order;
use crate::work::{Peer, Role, Task};

const PEERS: [Peer; 4] = [Peer::Qsse, Peer::RawQuinn, Peer::SseH2, Peer::Nats];

/// Ten thousand deliveries a second.
const SUBSCRIBERS: usize = 100;
const EVENTS_PER_S: f64 = 100.0;
const FIGURES: [Figure; 3] = [
    Figure {
        key: "server_us_per_delivery",
        title: "server's CPU µs each",
        of: |sample| sample.server_us_each,
        digits: 2,
        more_is_better: false,
    },
    Figure {
        key: "client_us_per_delivery",
        title: "clients' µs",
        of: |sample| sample.client_cores * 1e6 / sample.per_s,
        digits: 2,
        more_is_better: false,
    },
    DELIVERIES,
];

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    let title = format!("calm: {SUBSCRIBERS} subscribers, {EVENTS_PER_S} events/s");
    let order = Order::new(
        Task::Steady {
            events_per_s: EVENTS_PER_S,
        },
        Role::Receive,
        SUBSCRIBERS,
    );
    let row = Row {
        title,
        fields: &[
            ("subscribers", json!(SUBSCRIBERS)),
            ("events_per_s", json!(EVENTS_PER_S)),
        ],
        peers: &PEERS,
        figures: &FIGURES,
        rounds: bench.args.rounds,
    };
    Ok(vec![compare(bench, &row, &order)])
}
