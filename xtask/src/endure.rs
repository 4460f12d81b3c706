//! `cargo xtask crash`, `restart`, `stalled`, `replay`, `synced` and `retried`: that nothing is lost, and what it costs.
//!
//! The judge is the example `endure` of `qsse-testing`; the server is the program.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{
    artifacts,
    command::{Shown, program},
};

/// Arguments of each of them.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For the judge: `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Args {
    /// These, as if they had been given.
    pub(crate) fn of(arguments: &[impl ToString]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self { arguments }
    }
}

/// The tasks that start the program themselves.
const WITH_PROGRAM: [&str; 3] = ["crash", "restart", "stalled"];

/// Builds the judge and the program for speed, and runs one of its tasks.
pub(crate) fn run(task: &str, args: &Args) -> Result<()> {
    let [endure, qsse] = artifacts::released([("example", "endure"), ("bin", "qsse")])?;
    judge(task, args, &endure, &qsse)
}

/// Runs one of its tasks with the programs that the tests are built with: what is lost shows at any speed.
pub(crate) fn run_as_test(task: &str, args: &Args) -> Result<()> {
    let endure = artifacts::program("example", "endure")?;
    judge(task, args, &endure, &artifacts::program("bin", "qsse")?)
}

fn judge(task: &str, args: &Args, endure: &Path, qsse: &Path) -> Result<()> {
    let mut judge = program(endure).arg(task);
    if WITH_PROGRAM.contains(&task) {
        judge = judge
            .arg("--qsse")
            .arg(qsse.to_str().context("a path that is not UTF-8")?);
    }
    let with = |judge: Shown, argument: &String| judge.arg(argument);
    args.arguments.iter().fold(judge, with).run()
}
