//! Memory: what an idle subscriber costs the server's process. Buffers of the kernel, which TCP has
//! many of, are not in it.

use anyhow::Result;
use serde_json::{Value, json};

use super::bench::Bench;
use super::compare::{Row, compare};
use super::report::Figure;
use super::run::Order;
use crate::work::{Peer, Role, Task};

const PEERS: [Peer; 7] = [
    Peer::Qsse,
    Peer::QsseShards,
    Peer::RawQuinn,
    Peer::RawQuinnBest,
    Peer::HttpH2,
    Peer::SseH2,
    Peer::Nats,
];

/// Memory hardly differs from one round to the next.
const MOST_ROUNDS: u32 = 3;

const FIGURES: [Figure; 1] = [Figure {
    key: "kib_per_subscriber",
    title: "KiB each",
    of: |sample| sample.bytes_each / 1024.0,
    digits: 1,
    more_is_better: false,
}];

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    Ok([false, true].map(|distinct| of(bench, distinct)).into())
}

fn of(bench: &Bench<'_>, distinct: bool) -> Value {
    let (clients, rounds) = (bench.args.idle, bench.args.rounds.min(MOST_ROUNDS));
    let filters = if distinct { clients } else { 1 };
    let title = format!("memory: {clients} idle subscribers, {filters} distinct filters");
    let order = Order {
        distinct,
        ..Order::new(Task::Welcome, Role::Hold, clients)
    };
    let row = Row {
        title,
        fields: &[("subscribers", json!(clients)), ("filters", json!(filters))],
        peers: &PEERS,
        figures: &FIGURES,
        rounds,
    };
    compare(bench, &row, &order)
}
