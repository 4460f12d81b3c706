//! `cargo xtask sim`: runs random programs in a simulated network, judged by a model.

mod shuffled;

use anyhow::Result;

use crate::{command::cargo, forwarded::Forwarded, with_cfg::with_cfg};

/// Builds the judge in release mode and runs it.
pub(crate) fn run(args: &Forwarded) -> Result<()> {
    judge("run --release --package qsse-sim --config", args)
}

/// Builds the judge with the profile of the tests and runs it. For a short run a release build
/// would take longer than it saves.
pub(crate) fn run_as_test(args: &Forwarded) -> Result<()> {
    judge("run --bin qsse-sim --config", args)
}

fn judge(command: &str, args: &Forwarded) -> Result<()> {
    // With this tokio and the cfg, the seed also decides what the runtime draws, and the order in
    // which ready tasks run.
    let tokio = format!("paths=[{:?}]", shuffled::tokio()?);
    let judge = cargo(command).arg(&tokio).arg("--");
    let judge = with_cfg(judge, "tokio_unstable")?;
    args.run(judge)
}
