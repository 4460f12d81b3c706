//! `cargo xtask attack`: what hostile clients cost honest ones.
//!
//! The judge is `qsse-attack`, which runs the program `qsse`.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{artifacts, command::program, forwarded::Forwarded};

/// Builds both programs in release mode and runs the attacks.
pub(crate) fn run(args: &Forwarded) -> Result<()> {
    let [attack, qsse] = artifacts::released(["qsse-attack", "qsse"])?;
    judge(args, &attack, &qsse)
}

/// Runs the attacks with programs that share their dependencies with the tests: counts and bytes
/// decide at any speed.
pub(crate) fn run_as_test(args: &Forwarded) -> Result<()> {
    let attack = artifacts::program("bin", "qsse-attack")?;
    judge(args, &attack, &artifacts::program("bin", "qsse")?)
}

fn judge(args: &Forwarded, attack: &Path, qsse: &Path) -> Result<()> {
    let judge = program(attack).arg("--qsse");
    let judge = judge.arg(qsse.to_str().context("a path that is not UTF-8")?);
    args.run(judge)
}
