//! `cargo xtask sim`: random programs against a simulated world, judged by a model.

mod shuffled;

use anyhow::Result;

use crate::command::{Shown, cargo};

/// Arguments of `sim`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For the judge: `--seeds N --seed S`, `--program FILE`, `--verbose`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Args {
    /// These, as if they had been given.
    pub(crate) fn of<const N: usize>(arguments: [&str; N]) -> Self {
        let arguments = arguments.map(str::to_owned).into();
        Self { arguments }
    }
}

/// Builds the judge for speed and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    // With these, what the runtime draws is drawn from the seed, too, and so is the order in which ready tasks run. In a folder of
    // its own nothing else is built anew for it.
    let flags = "--cfg tokio_unstable";
    let tokio = format!("paths=[{:?}]", shuffled::tokio()?);
    let judge = cargo(
        "run --release --target-dir target/sim --package qsse-testing --example sim --config",
    )
    .arg(&tokio)
    .arg("--")
    .env("RUSTFLAGS", flags);
    let run = |command: Shown, argument: &String| command.arg(argument);
    args.arguments.iter().fold(judge, run).run()
}
