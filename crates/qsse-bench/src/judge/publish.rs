//! Publishing over the network, pipelined, to a server without subscribers.

use anyhow::Result;
use serde_json::{Value, json};

use super::bench::Bench;
use super::compare::{Row, compare};
use super::figures::{CLIENT_CORES, SERVER_CORES, SLOWEST_SHARE};
use super::report::Figure;
use super::run::Order;
use crate::payload::USUAL_BYTES;
use crate::work::{Peer, Role, Task};

const PEERS: [Peer; 7] = [
    Peer::Qsse,
    Peer::QsseShards,
    Peer::RawQuinn,
    Peer::RawQuinnBest,
    Peer::HttpH2,
    Peer::HttpLines,
    Peer::Nats,
];

const PUBLISHERS: [usize; 2] = [1, 100];

const FIGURES: [Figure; 4] = [
    Figure {
        key: "publishes_per_s",
        title: "publishes/s",
        of: |sample| sample.per_s,
        digits: 0,
        more_is_better: true,
    },
    SERVER_CORES,
    CLIENT_CORES,
    SLOWEST_SHARE,
];

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    Ok(PUBLISHERS.map(|publishers| of(bench, publishers)).into())
}

fn of(bench: &Bench<'_>, publishers: usize) -> Value {
    let title = format!("publish: {publishers} publishers, {USUAL_BYTES}-byte events");
    let order = Order::new(Task::Take, Role::Publish, publishers);
    let row = Row {
        title,
        fields: &[("publishers", json!(publishers))],
        peers: &PEERS,
        figures: &FIGURES,
        rounds: bench.args.rounds,
    };
    compare(bench, &row, &order)
}
