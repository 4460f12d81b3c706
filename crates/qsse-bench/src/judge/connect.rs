//! A storm of connects: from the first packet to subscribed, then goodbye, a bounded number at a
//! time.

use anyhow::Result;
use serde_json::{Value, json};

use super::bench::Bench;
use super::compare::{Row, compare};
use super::figures::{P50, P99};
use super::report::Figure;
use super::run::Order;
use crate::work::{Peer, Role, Task};

const PEERS: [Peer; 5] = [
    Peer::Qsse,
    Peer::QsseShards,
    Peer::RawQuinn,
    Peer::RawQuinnBest,
    Peer::SseH2,
];

/// Clients that are connecting at any time.
const AT_ONCE: usize = 64;

const FIGURES: [Figure; 5] = [
    Figure {
        key: "connects_per_s",
        title: "connects/s",
        of: |sample| sample.per_s,
        digits: 0,
        more_is_better: true,
    },
    Figure {
        key: "server_us_per_connect",
        title: "CPU µs each",
        of: |sample| sample.server_us_each,
        digits: 0,
        more_is_better: false,
    },
    Figure {
        key: "server_cores",
        title: "server's CPU",
        of: |sample| sample.server_cores,
        digits: 2,
        more_is_better: true,
    },
    P50,
    P99,
];

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    Ok([false, true].map(|resumed| of(bench, resumed)).into())
}

fn of(bench: &Bench<'_>, resumed: bool) -> Value {
    let handshakes = if resumed { "resumed" } else { "full" };
    let title = format!("connect: {AT_ONCE} at a time, {handshakes} handshakes");
    let order = Order {
        resumed,
        ..Order::new(Task::Welcome, Role::Storm, AT_ONCE)
    };
    let row = Row {
        title,
        fields: &[
            ("handshakes", json!(handshakes)),
            ("at_once", json!(AT_ONCE)),
        ],
        peers: &PEERS,
        figures: &FIGURES,
        rounds: bench.args.rounds,
    };
    compare(bench, &row, &order)
}
