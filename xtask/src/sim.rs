//! `cargo xtask sim`: runs random programs in a simulated network, judged by a model.

mod shuffled;

use anyhow::Result;

use crate::{
    command::{Shown, cargo},
    with_cfg::with_cfg,
};

/// Arguments of `sim`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For the judge: `--seeds N --seed S`, `--program FILE`, `--verbose`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Args {
    /// Returns these arguments as if they had been given.
    pub(crate) fn of<const N: usize>(arguments: [&str; N]) -> Self {
        let arguments = arguments.map(str::to_owned).into();
        Self { arguments }
    }
}

/// Builds the judge in release mode and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    judge("run --release --package qsse-sim --config", args)
}

/// Builds the judge with the profile of the tests and runs it. For a short run a release build
/// would take longer than it saves.
pub(crate) fn run_as_test(args: &Args) -> Result<()> {
    judge("run --bin qsse-sim --config", args)
}

fn judge(command: &str, args: &Args) -> Result<()> {
    // With this tokio and the cfg, the seed also decides what the runtime draws, and the order in
    // which ready tasks run.
    let tokio = format!("paths=[{:?}]", shuffled::tokio()?);
    let judge = cargo(command).arg(&tokio).arg("--");
    let judge = with_cfg(judge, "tokio_unstable")?;
    let run = |command: Shown, argument: &String| command.arg(argument);
    args.arguments.iter().fold(judge, run).run()
}
