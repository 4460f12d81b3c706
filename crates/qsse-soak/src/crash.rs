//! A server that is killed again and again, under publishers and subscribers that connect again by
//! themselves.

mod judge;
mod load;
mod setup;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use qsse_testing::rng::Rng;

use crate::bench::Figures;
use judge::Judge;
use load::Load;
use qsse_testing::process::Program;
use setup::{Acknowledge, until};

/// Arguments of `crash`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program `qsse`.
    #[arg(long)]
    qsse: PathBuf,
    /// How often the server is killed.
    #[arg(long, default_value_t = 200)]
    cycles: u32,
    /// Events a second, of all publishers together.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// What an acknowledgement means: memory, written or synced.
    #[arg(long, default_value = "synced")]
    acknowledge: Acknowledge,
    /// Keys of publishes that the server remembers. It has to know those of about half a minute, or
    /// it cannot tell whether what is tried again is new, and the outcome is unknown.
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// Where the moments of death are drawn from; by default another one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// A folder on the disk to be used.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// The longest time from the server's readiness, or from the first acknowledgement, to its death.
const LIFE: Duration = Duration::from_millis(600);

pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(endure(args));
    runtime.shutdown_background();
    result
}

async fn endure(args: &Args) -> Result<()> {
    let Args {
        cycles,
        rate,
        acknowledge,
        ..
    } = *args;
    let how = format!("{acknowledge:?}").to_lowercase();
    let seed = args.seed.unwrap_or_else(random);
    println!("{cycles} kills at about {rate} events/s, acknowledged when {how}, --seed {seed}");
    let mut rng = Rng::new(seed);
    let mut program = Program::new(&args.qsse, args.dir.as_deref())?
        .store(&how)
        .limit("dedup_keys", &args.keys.to_string());
    let mut server = program.start()?;

    let judge = Arc::new(Judge::new(acknowledge));
    let watchers = watch::start(&program.url(), &judge).await?;
    let load = Load::start(&program.url(), &judge, rate).await?;
    let (mut recovery, mut lives) = (Figures::default(), Duration::ZERO);
    let begun = Instant::now();
    for cycle in 1..=cycles {
        let alive = Instant::now();
        // Mostly in full flow, sometimes while clients come back, or before they do.
        let (publishers, watchers) = (rng.chance(0.85), rng.chance(0.7));
        let (published, handled) = (judge.acknowledged(), judge.handled());
        let flows = || {
            let more = judge.acknowledged() > published + u64::from(rate / 100);
            let mut each = handled.iter().zip(judge.handled());
            let seen = each.all(|(before, now)| now > *before);
            (more || !publishers) && (seen || !watchers)
        };
        if let Err(error) = until("events to flow again", flows).await {
            bail!("{error}; the server's log ends:\n{}", program.log());
        }
        tokio::time::sleep(rng.duration(Duration::ZERO, LIFE)).await;
        ensure!(server.runs(), "the server died:\n{}", program.log());
        server.kill()?;
        lives += alive.elapsed();
        server = program.start()?;
        recovery.add(server.took.as_secs_f64() * 1e3);
        if cycle % (cycles / 10).max(1) == 0 || !judge.is_content() {
            println!("cycle {cycle:>4}: {}", judge.summary());
        }
        if !judge.is_content() {
            break;
        }
    }
    tokio::time::sleep(LIFE).await;
    load.stop().await?;
    if let Err(error) = watch::finish(&program.url(), watchers, &judge).await {
        judge.complain(error.to_string());
    }
    drop(server);

    let (least, most) = recovery.spread();
    println!(
        "{:.0} s, {} MiB stored; started again in {:.0} ms ({least:.0} to {most:.0}), {:.0} events/s acknowledged while it lived",
        begun.elapsed().as_secs_f64(),
        program.stored_bytes() >> 20,
        recovery.median(),
        judge.acknowledged() as f64 / lives.as_secs_f64(),
    );
    judge.conclude()
}

fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) % 1_000_000
}
