//! Publishing with many distinct filters, of which ten match: the cost should grow with the ten.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::bench::Bench;
use super::cores::{SERVER_CORE, pinned};
use super::process::Process;
use super::stats::Spread;
use crate::FILTERS;
use crate::filters::MATCHING;

/// Numbers of filters, from those that match alone.
const FILTERS_TO_TRY: [usize; 4] = [MATCHING, 100, 1_000, 10_000];

/// For all filters to be there, and for the window to pass.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(bench: &Bench<'_>) -> Result<Vec<Value>> {
    let mut figures = FILTERS_TO_TRY.map(|_| Vec::new());
    for round in 0..bench.args.rounds {
        for (filters, figures) in FILTERS_TO_TRY.iter().zip(&mut figures) {
            let nanos = publish_with(bench, *filters)?;
            eprintln!("filters: {filters}, round {}: {nanos:.0} ns", round + 1);
            figures.push(nanos);
        }
    }
    println!(
        "\nfilters: an event matches {MATCHING} of them; nanoseconds for each publish (least - most)"
    );
    let mut rows = Vec::new();
    for (filters, figures) in FILTERS_TO_TRY.iter().zip(figures) {
        let spread = Spread::of(figures).context("there was no round")?;
        let Spread { median, min, max } = spread;
        println!("{filters:>8} filters {median:>10.0} ({min:.0} - {max:.0})");
        rows.push(json!({
            "filters": filters,
            "matching": MATCHING,
            "rounds": bench.args.rounds,
            "publish_ns": median,
            "publish_ns_spread": [min, max],
        }));
    }
    Ok(rows)
}

fn publish_with(bench: &Bench<'_>, filters: usize) -> Result<f64> {
    let program = std::env::current_exe()?;
    let window = bench.args.window();
    let (filters, seconds) = (filters.to_string(), window.as_secs_f64().to_string());
    let mut command = pinned(bench.args, SERVER_CORE, None, &program);
    let process = Process::start(command.args([FILTERS, &filters, &seconds]))?;
    Ok(process.line(window + PATIENCE)?.parse()?)
}
