//! Calm: what a delivery costs in CPU when there is little to do and nothing to batch.

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::report::{Figure, report};
use super::rounds::interleave;
use super::run::{Order, measure};
use crate::payload::USUAL_BYTES;
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
    Figure {
        key: "deliveries_per_s",
        title: "deliveries/s",
        of: |sample| sample.per_s,
        digits: 0,
        more_is_better: true,
    },
];

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    let title = format!("calm: {SUBSCRIBERS} subscribers, {EVENTS_PER_S} events/s");
    let order = Order {
        task: Task::Steady {
            events_per_s: EVENTS_PER_S,
        },
        role: Role::Receive,
        clients: SUBSCRIBERS,
        distinct: false,
        resumed: false,
        event_bytes: USUAL_BYTES,
    };
    let outcomes = interleave(
        &title,
        &bench.peers(&PEERS),
        bench.args.rounds,
        |peer| measure(bench, peer, &order),
        |sample| format!("{:.1} µs of CPU each", sample.server_us_each),
    );
    let fields = [
        ("subscribers", json!(SUBSCRIBERS)),
        ("events_per_s", json!(EVENTS_PER_S)),
        ("event_bytes", json!(USUAL_BYTES)),
        ("rounds", json!(bench.args.rounds)),
    ];
    Ok(vec![report(&title, &fields, &FIGURES, &outcomes)])
}
