//! Storm: how late events reach those who are there while others keep connecting.

use anyhow::Result;
use serde_json::{Value, json};

use super::bench::Bench;
use super::compare::{Row, compare};
use super::figures::{P50, P99, P999};
use super::report::{Figure, key};
use super::run::Order;
use crate::work::{Peer, Role, Task};

const PEERS: [Peer; 3] = [Peer::Qsse, Peer::RawQuinn, Peer::SseH2];

/// Subscribers that are there, and events a second.
const SUBSCRIBERS: usize = 100;
const EVENTS_PER_S: f64 = 100.0;

/// Clients that are connecting at any time, without and with a storm: two thousand come within a
/// second or two.
const NEWCOMERS: [usize; 2] = [0, 64];

const FIGURES: [Figure; 3] = [P99, P50, P999];

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    let [calm, mut storm] = NEWCOMERS.map(|newcomers| of(bench, newcomers));
    for peer in bench.peers(&PEERS) {
        let key = key(peer, &peer.key(), &P99);
        let at = |row: &Value| row.get(&key).and_then(Value::as_f64);
        if let (Some(without), Some(with)) = (at(&calm), at(&storm)) {
            let ratio = with / without;
            println!(
                "{}: p99 with newcomers {ratio:.2} x that without",
                peer.name()
            );
            storm[format!("{key}_ratio_to_without")] = json!(ratio);
        }
    }
    Ok(vec![calm, storm])
}

fn of(bench: &Bench<'_>, newcomers: usize) -> Value {
    let order = Order {
        newcomers,
        ..Order::new(
            Task::Steady {
                events_per_s: EVENTS_PER_S,
            },
            Role::Receive,
            SUBSCRIBERS,
        )
    };
    let row = Row {
        title: format!(
            "storm: {SUBSCRIBERS} subscribers, {EVENTS_PER_S} events/s, {newcomers} connecting at a time"
        ),
        fields: &[
            ("subscribers", json!(SUBSCRIBERS)),
            ("events_per_s", json!(EVENTS_PER_S)),
            ("newcomers", json!(newcomers)),
        ],
        peers: &PEERS,
        figures: &FIGURES,
        rounds: bench.args.rounds,
    };
    compare(bench, &row, &order)
}
