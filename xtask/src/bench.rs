//! `cargo xtask bench`: throughput, latency and memory against raw QUIC and against the peers, in
//! the same run.
//!
//! The suite is `qsse-bench`. This builds it in release mode, and where Go is installed also the
//! peers that are written in it.

mod nats;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::command::{Shown, cargo};
use crate::interop::peers;

/// Arguments of `bench`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Options of the suite (`--help` lists them), and `--go-qsse DIR`: a copy of the Go
    /// library's repository, to measure it too
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the programs to measure and runs the suite. Reports the ones that cannot be built, and
/// leaves them out.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut arguments = args.arguments.clone();
    let library = take_option(&mut arguments, "--go-qsse")?;
    let mut suite = cargo("run --release --package qsse-bench --");
    let is_help = arguments.iter().any(|one| one == "--help" || one == "-h");
    if !is_help {
        suite = with_program(suite, "--nats-server", nats::server());
        if let Some(library) = library {
            suite = with_program(suite, "--go-peer", go_peer(&library));
        }
    }
    let with = |suite: Shown, argument: &String| suite.arg(argument);
    arguments.iter().fold(suite, with).run()
}

fn with_program(suite: Shown, option: &str, program: Result<PathBuf>) -> Shown {
    match program {
        Ok(program) => suite.arg(option).arg(&program.display().to_string()),
        Err(error) => {
            eprintln!("\nSKIPPED: {error:#}");
            eprintln!(
                "SKIPPED: without that there is no {option}, and its system is not measured.\n"
            );
            suite
        }
    }
}

fn go_peer(library: &str) -> Result<PathBuf> {
    peers::version().context("there is no Go on this machine")?;
    let library = PathBuf::from(library).canonicalize();
    peers::real(&library.context("--go-qsse")?)
}

/// Takes `--option VALUE` or `--option=VALUE` out of the arguments.
fn take_option(arguments: &mut Vec<String>, option: &str) -> Result<Option<String>> {
    let is_it = |argument: &String| {
        let rest = argument.strip_prefix(option);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let Some(at) = arguments.iter().position(is_it) else {
        return Ok(None);
    };
    let argument = arguments.remove(at);
    if let Some((_, value)) = argument.split_once('=') {
        return Ok(Some(value.to_owned()));
    }
    if at == arguments.len() {
        bail!("{option} needs a value");
    }
    Ok(Some(arguments.remove(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(arguments: &[&str]) -> (Option<String>, String) {
        let mut arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let value = take_option(&mut arguments, "--go-qsse").expect("it has a value");
        (value, arguments.join(" "))
    }

    #[test]
    fn an_option_is_taken_out_wherever_it_is() {
        let value = || Some("d".to_owned());
        assert_eq!(taken(&["fanout"]), (None, "fanout".to_owned()));
        assert_eq!(taken(&["--go-qsse", "d", "x"]), (value(), "x".to_owned()));
        assert_eq!(taken(&["x", "--go-qsse=d"]), (value(), "x".to_owned()));
        assert!(take_option(&mut vec!["--go-qsse".to_owned()], "--go-qsse").is_err());
    }
}
