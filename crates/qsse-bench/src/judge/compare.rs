//! One row of a scenario: all systems in turn, then what they have shown.

use serde_json::{Value, json};

use super::bench::Bench;
use super::report::{Figure, report};
use super::rounds::interleave;
use super::run::{Order, measure};
use crate::work::Peer;

/// What is compared.
pub(super) struct Row<'r> {
    /// As it is shown.
    pub(super) title: String,
    /// What tells it from the scenario's other rows, in the machine-readable file.
    pub(super) fields: &'r [(&'static str, Value)],
    /// The systems.
    pub(super) peers: &'r [Peer],
    /// What is read off each run; ratios are of the first.
    pub(super) figures: &'r [Figure],
    /// How often each system has its turn.
    pub(super) rounds: u32,
}

/// Measures it with each system.
pub(super) fn compare(bench: &Bench<'_>, row: &Row<'_>, order: &Order) -> Value {
    let first = row.figures.first().expect("there is something to tell");
    let outcomes = interleave(
        &row.title,
        &bench.peers(row.peers),
        row.rounds,
        |peer| measure(bench, peer, order),
        |sample| format!("{:.*} {}", first.digits, (first.of)(sample), first.title),
    );
    let common = [
        ("event_bytes", json!(order.event_bytes)),
        ("rounds", json!(row.rounds)),
    ];
    let fields = [row.fields, &common].concat();
    report(&row.title, &fields, row.figures, &outcomes)
}
