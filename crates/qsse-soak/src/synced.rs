//! How many events a second are published with acknowledgements that mean the disk, against the
//! store alone: groups of as many events as there are publishers, each appended and synced.

mod part;
mod sides;
mod slow;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::bench::{self, EVENT_BYTES, Figures};
pub(crate) use part::Part;

/// Arguments of `synced`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Publishers, each of which waits for an acknowledgement before its next event.
    #[arg(long, default_value_t = 100)]
    publishers: usize,
    /// Connections that the publishers share over the network.
    #[arg(long, default_value_t = 10)]
    connections: usize,
    /// Rounds, each of all sides.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Makes each sync take so much longer, as a slower disk would; on all sides.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    slower: Duration,
    /// A folder on the disk to be used.
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Args {
        publishers,
        connections,
        rounds,
        seconds,
        slower,
        ..
    } = *args;
    println!(
        "{publishers} publishers of {EVENT_BYTES}-byte events, over the network on {connections} connections; {rounds} rounds of {seconds} s, syncs slower by {slower:?}"
    );
    let folder = |dir: Option<&Path>| match dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let mut figures = [Figures::default(), Figures::default(), Figures::default()];
    for round in 0..rounds {
        for turn in 0..figures.len() {
            let at = (turn + round) % figures.len();
            let dir = folder(args.dir.as_deref())?;
            let shared = vec![
                publishers.to_string(),
                format!("--seconds={seconds}"),
                format!("--slower-us={}", slower.as_micros()),
                format!("--dir={}", dir.path().display()),
            ];
            let part = |which: &str| {
                let first = ["synced-part".to_owned(), which.to_owned()];
                first.into_iter().chain(shared.clone())
            };
            let rate = match at {
                0 => bench::figure(None, part("bare"))?,
                1 => bench::figure(None, part("inside"))?,
                _ => {
                    let server = bench::Part::start(0, part("serve"))?;
                    let load = [
                        format!("--connections={connections}"),
                        format!("--url={}", server.said),
                    ];
                    bench::figure(Some(1), part("load").chain(load))?
                }
            };
            figures[at].add(rate);
        }
        let [bare, inside, network] = figures.each_ref().map(Figures::last);
        println!(
            "round {round}: bare {bare:.0}/s, in process {inside:.0}/s, network {network:.0}/s"
        );
    }
    let [bare, inside, network] = &figures;
    println!("store alone  {:>9.0} events/s", bare.median());
    for (name, side) in [("in process", inside), ("network", network)] {
        let ratio = side.over(bare);
        let (least, most) = ratio.spread();
        println!(
            "{name:<12} {:>9.0} events/s, ratio {:.2} ({least:.2} to {most:.2}), target 0.7",
            side.median(),
            ratio.median(),
        );
    }
    Ok(())
}

pub(crate) fn part(part: &Part) -> Result<()> {
    sides::run(part)
}
