//! `cargo xtask fanout`: fan-out throughput against a raw QUIC writer, in the same run.

use anyhow::Result;

use crate::command::{Shown, cargo};

/// Arguments of `fanout`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For the benchmark: `--subscribers 1,10 --rounds 9 --seconds 2 --json FILE`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the benchmark for speed and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let example = cargo("run --release --package qsse-testing --example fanout --");
    let run = |command: Shown, argument: &String| command.arg(argument);
    args.arguments.iter().fold(example, run).run()
}
