//! Runs the targets for a while each: `cargo xtask fuzz`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;

use qsse_fuzz::{Target, drive, targets};

/// Runs what reads hostile bytes on mutants of a corpus. A failing input is made smaller and stored
/// in crates/qsse-fuzz/failures; add it to the corpus once it is fixed.
#[derive(Parser)]
#[command(name = "cargo xtask fuzz", after_help = targets_help())]
struct Args {
    /// The targets to run; by default all
    names: Vec<String>,
    /// How long to run each
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    minutes: u64,
    /// How long to run each, in seconds
    #[arg(long, value_name = "COUNT", conflicts_with = "minutes")]
    seconds: Option<u64>,
    /// The seed of the generator: the same one gives the same inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the corpus from valid frames and texts, and run nothing
    #[arg(long)]
    corpus: bool,
}

fn targets_help() -> String {
    let lines = targets::ALL
        .iter()
        .map(|target| format!("  {:<9} {}\n", target.name, target.about));
    format!("Targets:\n{}", lines.collect::<String>())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let time = match args.seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::from_secs(60 * args.minutes),
    };
    for target in chosen(&args.names)? {
        if args.corpus {
            drive::write_corpus(target)?;
            continue;
        }
        let begun = Instant::now();
        let count = drive::run(target, args.seed, time)?;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        println!(
            "{:<9} {count:>10} inputs, {rate:>7.0}/s, no failure",
            target.name
        );
    }
    Ok(())
}

/// Returns the targets with these names; all if there are none.
fn chosen(names: &[String]) -> Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(targets::ALL.iter().collect());
    }
    let find = |name: &String| {
        let unknown = || format!("no target is called {name:?}; `--help` lists them");
        targets::find(name).with_context(unknown)
    };
    names.iter().map(find).collect()
}
