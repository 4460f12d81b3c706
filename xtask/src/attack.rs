//! `cargo xtask attack`: what hostile clients cost honest ones.
//!
//! The judge is `qsse-attack`, which runs the program `qsse`.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{
    artifacts,
    command::{Shown, program},
};

/// Arguments of `attack`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Of the judge: `--help` lists the attacks and options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Args {
    /// Returns these arguments as if they had been given.
    pub(crate) fn of(arguments: &[impl ToString]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self { arguments }
    }
}

/// Builds both programs in release mode and runs the attacks.
pub(crate) fn run(args: &Args) -> Result<()> {
    let [attack, qsse] = artifacts::released(["qsse-attack", "qsse"])?;
    judge(args, &attack, &qsse)
}

/// Runs the attacks with programs that share their dependencies with the tests: counts and bytes
/// decide at any speed.
pub(crate) fn run_as_test(args: &Args) -> Result<()> {
    let attack = artifacts::program("bin", "qsse-attack")?;
    judge(args, &attack, &artifacts::program("bin", "qsse")?)
}

fn judge(args: &Args, attack: &Path, qsse: &Path) -> Result<()> {
    let judge = program(attack).arg("--qsse");
    let judge = judge.arg(qsse.to_str().context("a path that is not UTF-8")?);
    let with = |judge: Shown, argument: &String| judge.arg(argument);
    args.arguments.iter().fold(judge, with).run()
}
