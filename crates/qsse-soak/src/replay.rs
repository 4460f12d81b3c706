//! How fast one subscriber is given history, from memory and from disk, against a raw QUIC writer
//! with the same settings.
//!
//! The servers are processes on one core, the subscriber one on another. Rounds of the sides
//! alternate.

mod side;
mod sides;

use std::path::PathBuf;

use anyhow::Result;

use crate::bench::{self, EVENT_BYTES, Figures};
use side::Side;

/// Arguments of `replay`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds, each of all sides.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Events of the history.
    #[arg(long, default_value_t = 3_000_000)]
    events: u64,
    /// Events in a batch on the disk: what publishers make of it, from one to about 400.
    #[arg(long, default_value_t = 400)]
    batch: u64,
    /// A folder on the disk to be used.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// One process of it.
#[derive(clap::Args)]
pub(crate) struct Part {
    #[command(subcommand)]
    which: Which,
}

#[derive(clap::Subcommand)]
enum Which {
    /// A server.
    Serve {
        side: Side,
        events: u64,
        batch: u64,
        dir: PathBuf,
    },
    /// The subscriber: prints events a second.
    Load {
        side: Side,
        url: String,
        events: u64,
    },
}

const SIDES: [Side; 3] = [Side::Raw, Side::Memory, Side::Disk];

pub(crate) fn run(args: &Args) -> Result<()> {
    let Args { rounds, batch, .. } = *args;
    let folder = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let events = args.events.to_string();
    println!(
        "{events} events of {EVENT_BYTES} bytes to one subscriber, {batch} in a batch on the disk; {rounds} rounds"
    );
    let mut servers = Vec::new();
    for side in SIDES {
        let dir = folder.path().display().to_string();
        let (side, batch) = (side.name(), batch.to_string());
        let arguments = ["replay-part", "serve", &side, &events, &batch, &dir];
        servers.push(bench::Part::start(0, arguments)?);
    }
    let mut figures = [Figures::default(), Figures::default(), Figures::default()];
    for round in 0..rounds {
        // Another one goes first each time.
        for turn in 0..SIDES.len() {
            let at = (turn + round) % SIDES.len();
            let (side, url) = (SIDES[at].name(), &servers[at].said);
            let load = ["replay-part", "load", &side, url, &events];
            figures[at].add(bench::figure(Some(1), load)?);
        }
        println!(
            "round {round}: {}",
            SIDES
                .iter()
                .zip(&figures)
                .map(|(side, figures)| format!("{} {:.0}/s", side.name(), figures.last()))
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let [raw, memory, disk] = &figures;
    println!("raw writer   {:>9.0} events/s", raw.median());
    for (name, side, target) in [("from memory", memory, 0.7), ("from disk", disk, 0.5)] {
        let ratio = side.over(raw);
        let (least, most) = ratio.spread();
        println!(
            "{name:<12} {:>9.0} events/s, ratio {:.2} ({least:.2} to {most:.2}), target {target}",
            side.median(),
            ratio.median(),
        );
    }
    Ok(())
}

pub(crate) fn part(part: &Part) -> Result<()> {
    // QUIC on one thread is at its best on one thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        match &part.which {
            Which::Serve {
                side,
                events,
                batch,
                dir,
            } => sides::serve(*side, *events, *batch, dir).await,
            Which::Load { side, url, events } => {
                let rate = sides::load(*side, url, *events).await?;
                println!("{rate}");
                Ok(())
            }
        }
    });
    runtime.shutdown_background();
    result
}
