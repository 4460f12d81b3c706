//! Abuses a server of qsse as hostile clients would, with honest clients beside, and judges what
//! that costs them: `cargo xtask attack`.
//!
//! Each attack is a file in `attacks` with the same interface, [`attack::Attack`]. It runs against
//! a process of its own of `qsse serve` on the loopback. The judge runs the honest clients alone,
//! then beside the attack, and then lets the server rest. Counts and bytes decide: no honest client
//! is refused, no event is lost, memory stays within the documented bound, and a metric shows the
//! attack. Times are reported with their targets.

mod attack;
mod attacks;
mod clients;
mod http;
mod judge;
mod metrics;
mod newcomers;
mod probe;
mod report;
mod setup;
mod spread;
mod target;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;

use attack::Attack;
use judge::Options;
use setup::Scale;

/// Abuses a server as hostile clients would, beside honest clients, and judges what that costs
/// them.
#[derive(Parser)]
#[command(name = "cargo xtask attack", after_help = attacks_help())]
struct Args {
    /// The program `qsse`
    #[arg(long)]
    qsse: PathBuf,
    /// The attacks to run; by default all
    names: Vec<String>,
    /// Small attacks of about two seconds each, instead of full-size ones of ten
    #[arg(long)]
    short: bool,
    /// Make each full-size attack for this many minutes, to see how fast the memory grows
    #[arg(long, value_name = "COUNT", conflicts_with = "short")]
    minutes: Option<u64>,
    /// Print one JSON object a line per attack instead of text; docs/security.md lists its keys
    #[arg(long)]
    json: bool,
    /// Fail also if a time misses its target; without it, only counts and bytes decide
    #[arg(long)]
    strict: bool,
}

fn attacks_help() -> String {
    let lines = attacks::ALL
        .iter()
        .map(|attack| format!("  {:<10} {}\n", attack.name(), attack.about()));
    format!("Attacks:\n{}", lines.collect::<String>())
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
    let options = Options {
        qsse: args.qsse.clone(),
        scale: if args.short {
            Scale::Short
        } else {
            Scale::Full
        },
        time: args
            .minutes
            .map(|minutes| Duration::from_secs(60 * minutes)),
    };
    let mut failed = Vec::new();
    for attack in chosen(&args.names)? {
        eprintln!("{}: {}", attack.name(), attack.about());
        let report = judge::run(attack, &options)?;
        if args.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            println!("{report}");
        }
        let missed = args.strict && !report.missed.is_empty();
        if missed || !report.failures.is_empty() {
            failed.push(attack.name());
        }
    }
    if !failed.is_empty() {
        bail!("the server does not withstand: {}", failed.join(", "));
    }
    Ok(())
}

/// Returns the attacks with these names; all if there are none.
fn chosen(names: &[String]) -> Result<Vec<&'static dyn Attack>> {
    if names.is_empty() {
        return Ok(attacks::ALL.to_vec());
    }
    let find = |name: &String| {
        let found = attacks::ALL.iter().find(|attack| attack.name() == name);
        match found {
            Some(attack) => Ok(*attack),
            None => bail!("no attack is called {name:?}; `--help` lists them"),
        }
    };
    names.iter().map(find).collect()
}
