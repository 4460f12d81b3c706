//! Fan-out: as many deliveries as possible, each event to each subscriber.

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::report::{Figure, report};
use super::rounds::interleave;
use super::run::{Order, measure};
use crate::work::{Peer, Role, Task};

const PEERS: [Peer; 6] = [
    Peer::Qsse,
    Peer::RawQuinn,
    Peer::RawQuinnBest,
    Peer::SseH2,
    Peer::Nats,
    Peer::GoQsse,
];

const FIGURES: [Figure; 5] = [
    Figure {
        key: "deliveries_per_s",
        title: "deliveries/s",
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
        key: "server_us_per_delivery",
        title: "CPU µs each",
        of: |sample| sample.server_us_each,
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
        task: Task::Flood,
        role: Role::Receive,
        clients: subscribers,
        distinct: false,
        resumed: false,
        event_bytes,
    };
    let rounds = bench.args.rounds;
    let outcomes = interleave(
        &title,
        &bench.peers(&PEERS),
        rounds,
        |peer| measure(bench, peer, &order),
        |sample| format!("{:.0} deliveries/s", sample.per_s),
    );
    let fields = [
        ("subscribers", json!(subscribers)),
        ("event_bytes", json!(event_bytes)),
        ("rounds", json!(rounds)),
    ];
    report(&title, &fields, &FIGURES, &outcomes)
}
