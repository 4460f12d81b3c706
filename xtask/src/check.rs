//! `cargo xtask check`: the steps of ci that a contributor runs between edits.

use anyhow::Result;

use crate::ci;

/// Arguments of `check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Stop at the first step that fails
    #[arg(long)]
    fail_fast: bool,
}

/// The names of the steps: quick ones first, and the tests at the end.
const STEPS: [&str; 5] = ["fmt", "tidy", "api", "clippy", "test"];

/// Runs the steps. Fails, after having run them all, when one has failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    ci::run_steps(&STEPS.map(str::to_owned), args.fail_fast)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_one_of_ci() {
        assert!(ci::are_steps(&STEPS.map(str::to_owned)));
    }
}
