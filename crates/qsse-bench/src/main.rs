//! The benchmark suite: a judge, and the server's and clients' processes that it starts.
//!
//! `cargo xtask bench` builds and runs it, see [`args`]. Each run is one server process on one core
//! and one clients' process on another; what they are told is in [`work`], and they are this
//! program too. [`serve`] has the servers, [`load`] the clients, a module for each system;
//! [`judge`] has the scenarios.

mod args;
mod filters;
mod judge;
mod load;
mod payload;
mod serve;
mod settings;
mod tls;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[..] {
        [_, part, orders] if part == SERVE => serve::run(&serde_json::from_str(orders)?),
        [_, part, orders] if part == LOAD => load::run(&serde_json::from_str(orders)?),
        [_, part, filters, seconds] if part == FILTERS => {
            let window = Duration::from_secs_f64(seconds.parse()?);
            filters::run(filters.parse()?, window)
        }
        _ => judge::run(&args::Args::parse()),
    }
}

/// The first argument of a server's process; its orders follow.
const SERVE: &str = "serve";

/// The first argument of a clients' process; its orders follow.
const LOAD: &str = "load";

/// The first argument of a process that publishes with many filters; their number and seconds
/// follow.
const FILTERS: &str = "publish-part";

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn no_scenario_is_taken_for_a_part() {
        for scenario in args::Scenario::value_variants() {
            let name = scenario.name();
            assert!(![SERVE, LOAD, FILTERS].contains(&name), "{name}");
        }
    }
}
