//! `cargo xtask fuzz`: what reads hostile bytes, on random ones.
//!
//! The targets are in `qsse-fuzz`, which says how to run them under cargo-fuzz too.

use std::path::Path;

use anyhow::Result;

use crate::{
    artifacts,
    command::{Shown, program},
};

/// Arguments of `fuzz`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Of the driver: `--help` lists the targets and options
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

/// Builds the driver in release mode and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let [driver] = artifacts::released(["qsse-fuzz"])?;
    drive(args, &driver)
}

/// Runs a driver that shares its dependencies with the tests.
pub(crate) fn run_as_test(args: &Args) -> Result<()> {
    drive(args, &artifacts::program("bin", "qsse-fuzz")?)
}

fn drive(args: &Args, driver: &Path) -> Result<()> {
    let with = |driver: Shown, argument: &String| driver.arg(argument);
    args.arguments.iter().fold(program(driver), with).run()
}
