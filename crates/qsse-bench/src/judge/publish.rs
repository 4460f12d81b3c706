//! Publishing over the network, pipelined, to a server without subscribers.

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::report::{Figure, report};
use super::rounds::interleave;
use super::run::{Order, measure};
use crate::payload::USUAL_BYTES;
use crate::work::{Peer, Role, Task};

const PEERS: [Peer; 4] = [Peer::Qsse, Peer::RawQuinn, Peer::RawQuinnBest, Peer::Nats];

const PUBLISHERS: [usize; 2] = [1, 100];

const FIGURES: [Figure; 4] = [
    Figure {
        key: "publishes_per_s",
        title: "publishes/s",
        of: |sample| sample.per_s,
        digits: 0,
        more_is_better: true,
    },
    Figure {
        key: "server_cores",
        title: "server's CPU",
        of: |sample| sample.server_cores,
        digits: 2,
        more_is_better: false,
    },
    Figure {
        key: "client_cores",
        title: "clients' CPU",
        of: |sample| sample.client_cores,
        digits: 2,
        more_is_better: false,
    },
    Figure {
        key: "slowest_share",
        title: "slowest/mean",
        of: |sample| sample.slowest_share,
        digits: 2,
        more_is_better: true,
    },
];

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    Ok(PUBLISHERS.map(|publishers| of(bench, publishers)).into())
}

fn of(bench: &Bench<'_>, publishers: usize) -> Value {
    let title = format!("publish: {publishers} publishers, {USUAL_BYTES}-byte events");
    let order = Order {
        task: Task::Take,
        role: Role::Publish,
        clients: publishers,
        distinct: false,
        resumed: false,
        event_bytes: USUAL_BYTES,
    };
    let outcomes = interleave(
        &title,
        &bench.peers(&PEERS),
        bench.args.rounds,
        |peer| measure(bench, peer, &order),
        |sample| format!("{:.0} publishes/s", sample.per_s),
    );
    let fields = [
        ("publishers", json!(publishers)),
        ("event_bytes", json!(USUAL_BYTES)),
        ("rounds", json!(bench.args.rounds)),
    ];
    report(&title, &fields, &FIGURES, &outcomes)
}
