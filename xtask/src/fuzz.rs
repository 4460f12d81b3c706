//! `cargo xtask fuzz`: what reads hostile bytes, on random ones.
//!
//! The targets are in `qsse-fuzz`, which says how to run them under cargo-fuzz too.

use std::path::Path;

use anyhow::Result;

use crate::{artifacts, command::program, forwarded::Forwarded};

/// Builds the driver in release mode and runs it.
pub(crate) fn run(args: &Forwarded) -> Result<()> {
    let [driver] = artifacts::released(["qsse-fuzz"])?;
    drive(args, &driver)
}

/// Runs a driver that shares its dependencies with the tests.
pub(crate) fn run_as_test(args: &Forwarded) -> Result<()> {
    drive(args, &artifacts::program("bin", "qsse-fuzz")?)
}

fn drive(args: &Forwarded, driver: &Path) -> Result<()> {
    args.run(program(driver))
}
