//! `cargo xtask crash`, `restart`, `stalled`, `replay`, `synced` and `retried`: that nothing is
//! lost, and what it costs.
//!
//! Each is a subcommand of the program of `qsse-soak`. Three of them also run the program `qsse`.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{artifacts, command::program, forwarded::Forwarded};

/// The tasks that start `qsse serve`.
const WITH_SERVER: [&str; 3] = ["crash", "restart", "stalled"];

/// Builds both programs in release mode and runs one task.
pub(crate) fn run(task: &str, args: &Forwarded) -> Result<()> {
    let [soak, qsse] = artifacts::released(["qsse-soak", "qsse"])?;
    run_task(task, args, &soak, &qsse)
}

/// Runs one task with programs that share their dependencies with the tests: a loss shows at any
/// speed.
pub(crate) fn run_as_test(task: &str, args: &Forwarded) -> Result<()> {
    let soak = artifacts::program("bin", "qsse-soak")?;
    run_task(task, args, &soak, &artifacts::program("bin", "qsse")?)
}

fn run_task(task: &str, args: &Forwarded, soak: &Path, qsse: &Path) -> Result<()> {
    let mut soak = program(soak).arg(task);
    if WITH_SERVER.contains(&task) {
        soak = soak
            .arg("--qsse")
            .arg(qsse.to_str().context("a path that is not UTF-8")?);
    }
    args.run(soak)
}
