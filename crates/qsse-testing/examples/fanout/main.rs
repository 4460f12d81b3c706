//! Fan-out throughput of a qsse server against a raw QUIC writer with the same settings, in the same run.
//!
//! For each number of subscribers, rounds of both sides alternate; the server is a process on one core, the
//! subscribers are one on another (with `taskset`, where that is installed). Every event goes to every
//! subscriber, and only what arrives inside a fixed window after a warm-up counts. Figures are medians.
//!
//! `cargo xtask fanout` runs it.

mod load;
mod serve;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Bytes of one event.
const EVENT_BYTES: usize = 128;

#[derive(Parser)]
struct Args {
    /// Numbers of subscribers.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000])]
    subscribers: Vec<usize>,
    /// Pairs of runs for each number.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of the window that counts.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Where to write the figures as JSON.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The parts of a run, each a process.
#[derive(Subcommand)]
enum Part {
    /// The server's process.
    #[command(hide = true)]
    Serve { side: Side },
    /// The subscribers' process.
    #[command(hide = true)]
    Load {
        side: Side,
        url: String,
        count: usize,
        seconds: f64,
    },
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Side {
    /// A qsse server and its clients.
    Qsse,
    /// A writer of 64 KiB chunks on the same transport, and readers that count bytes.
    Raw,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.part {
        Some(Part::Serve { side }) => runtime()?.block_on(serve::run(side)),
        Some(Part::Load {
            side,
            ref url,
            count,
            seconds,
        }) => {
            let window = Duration::from_secs_f64(seconds);
            runtime()?.block_on(load::run(side, url, count, window))
        }
        None => compare(&args),
    }
}

/// QUIC on one thread is at its best on one thread.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let Args {
        rounds, seconds, ..
    } = *args;
    println!(
        "{EVENT_BYTES}-byte events, every event to every subscriber; median of {rounds} interleaved pairs of {seconds} s"
    );
    println!(
        "{:>11} {:>16} {:>16} {:>7} {:>15}",
        "subscribers", "qsse/s", "raw QUIC/s", "ratio", "ratios seen"
    );
    let mut rows = Vec::new();
    for &subscribers in &args.subscribers {
        let (mut ours, mut raw, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            // Each goes first every other time.
            let order = if round % 2 == 0 {
                [Side::Qsse, Side::Raw]
            } else {
                [Side::Raw, Side::Qsse]
            };
            for side in order {
                let rate = measure(side, subscribers, seconds)?;
                if side == Side::Qsse {
                    ours.push(rate)
                } else {
                    raw.push(rate)
                }
            }
            ratios.push(ours[round] / raw[round]);
        }
        let (ours, raw, ratio) = (median(&mut ours), median(&mut raw), median(&mut ratios));
        let spread = format!("{:.2}-{:.2}", ratios[0], ratios[ratios.len() - 1]);
        println!("{subscribers:>11} {ours:>16.0} {raw:>16.0} {ratio:>7.2} {spread:>15}");
        rows.push(serde_json::json!({
            "subscribers": subscribers,
            "event_bytes": EVENT_BYTES,
            "deliveries_per_s": ours,
            "raw_quinn_deliveries_per_s": raw,
            "ratio_to_raw_quinn": ratio,
            "ratios": ratios,
        }));
    }
    if let Some(path) = &args.json {
        std::fs::write(
            path,
            serde_json::to_string_pretty(&serde_json::json!({ "fanout": rows }))?,
        )?;
    }
    Ok(())
}

/// Deliveries per second of one run.
fn measure(side: Side, subscribers: usize, seconds: f64) -> anyhow::Result<f64> {
    let side = format!("{side:?}").to_lowercase();
    let mut server = Running(
        pinned(0)?
            .args(["serve", &side])
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()?,
    );
    let mut lines = BufReader::new(server.0.stdout.take().expect("it is piped")).lines();
    let url = lines
        .next()
        .ok_or_else(|| anyhow::anyhow!("the server did not start"))??;
    let (count, seconds) = (subscribers.to_string(), seconds.to_string());
    let load = pinned(1)?
        .args(["load", &side, &url, &count, &seconds])
        .stdin(Stdio::null())
        .output()?;
    anyhow::ensure!(
        load.status.success(),
        "the subscribers failed: {}",
        String::from_utf8_lossy(&load.stderr)
    );
    drop(server.0.stdin.take().map(|mut input| input.flush()));
    Ok(String::from_utf8(load.stdout)?.trim().parse()?)
}

/// This program on one core, where that can be had.
fn pinned(core: usize) -> anyhow::Result<Command> {
    let own = std::env::current_exe()?;
    let taskset = Command::new("taskset")
        .args(["-c", &core.to_string(), "true"])
        .output();
    if !taskset.is_ok_and(|output| output.status.success()) {
        return Ok(Command::new(own));
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(own);
    Ok(command)
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The middle one; sorts them.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
