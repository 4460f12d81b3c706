//! Runs servers and clients of this workspace against Go programs, and judges the runs.
//!
//! Every case runs with every peer, in a direction of its own: a Go client and our server, or our
//! client and a Go server. A case waits for conditions, under a deadline.
//!
//! `cargo xtask interop` builds the peers and runs it.

mod cases;
mod go;
mod http;
mod line;
mod ours;
mod program;
mod record;
mod throughput;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use cases::{CASES, Case};
use go::{Log, Peer};
use throughput::Throughput;

#[derive(Parser)]
struct Args {
    /// A peer: its name and its program.
    #[arg(long = "peer", value_name = "NAME=PATH")]
    peers: Vec<Peer>,
    /// Only cases with this in their name.
    #[arg(long)]
    case: Option<String>,
    /// The program `qsse`.
    #[arg(long, value_name = "PATH")]
    qsse: Option<PathBuf>,
    /// How long nothing is said in the case about silence; by default a short time, with short
    /// timeouts.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    quiet: Option<Duration>,
    /// Write what the peer and a plain endpoint say to each other into this folder.
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(clap::Subcommand)]
enum Part {
    /// Measure our server against the peers' servers, all to Go clients.
    Throughput(Throughput),
    /// The server's process of a measurement.
    #[command(hide = true)]
    Serve { event_bytes: usize },
}

/// What a case works with.
struct Bench {
    peer: Peer,
    qsse: Option<PathBuf>,
    quiet: Option<Duration>,
    /// What the peers of this case say on standard error.
    log: Log,
}

impl Bench {
    fn qsse(&self) -> Result<&Path> {
        let path = self.qsse.as_deref();
        path.context("the case needs the program: --qsse PATH")
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    match &args.part {
        Some(Part::Serve { event_bytes }) => {
            return one_thread()?.block_on(throughput::serve(*event_bytes));
        }
        Some(Part::Throughput(throughput)) => return throughput.run(&args.peers),
        None => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    ensure!(!args.peers.is_empty(), "no --peer NAME=PATH is given");
    if let Some(folder) = &args.record {
        let peer = args.peers.last().expect("there is one");
        return runtime.block_on(record::run(peer, folder));
    }
    let result = runtime.block_on(judge(&args));
    // A stopped reader of a dead case must not hold up the end.
    runtime.shutdown_background();
    result
}

/// QUIC on one thread is at its best on one thread.
fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

async fn judge(args: &Args) -> Result<()> {
    let chosen = |case: &&Case| {
        let name = case.name();
        args.case.as_ref().is_none_or(|part| name.contains(part))
    };
    let (started, mut ran, mut failed) = (Instant::now(), 0, 0);
    for peer in &args.peers {
        for case in CASES.iter().filter(chosen) {
            let bench = Bench {
                peer: peer.clone(),
                qsse: args.qsse.clone(),
                quiet: args.quiet,
                log: Log::default(),
            };
            ran += 1;
            failed += usize::from(!passes(case, &bench).await);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{} of {ran} cases passed in {seconds:.1} s", ran - failed);
    ensure!(ran > 0, "no case has that in its name");
    if failed > 0 {
        bail!("{failed} of {ran} cases failed");
    }
    Ok(())
}

async fn passes(case: &Case, bench: &Bench) -> bool {
    let started = Instant::now();
    let limit = case.limit + bench.quiet.unwrap_or_default();
    let result = match tokio::time::timeout(limit, (case.run)(bench)).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("not done after {limit:?}")),
    };
    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
    println!(
        "{verdict:>6} {:>8.2} s  {:<5} {}",
        started.elapsed().as_secs_f64(),
        bench.peer.name,
        case.name(),
    );
    if let Err(error) = &result {
        println!("         {error:#}");
        for line in bench.log.last(12) {
            println!("         | {line}");
        }
    }
    result.is_ok()
}
