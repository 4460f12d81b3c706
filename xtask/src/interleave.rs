//! `cargo xtask interleave`: runs the code that threads share in the log in many interleavings.
//!
//! The log is built with shuttle's locks and atomics (`qsse-log/src/sync.rs`), so that the checker
//! decides at each of them which thread continues. A lost wake-up shows as a deadlock.

use anyhow::Result;

use crate::{command::cargo, with_cfg::with_cfg};

/// Arguments of `interleave`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The number of interleavings of each test
    #[arg(long, value_name = "COUNT", default_value_t = 20_000)]
    pub(crate) iterations: usize,
    /// Only tests with this in their name
    #[arg(long, value_name = "NAME")]
    pub(crate) test: Option<String>,
}

/// Builds the log for the checker, with the same dependencies as all tests, and runs the tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    let tests = cargo("test --features qsse-log/shuttle --test interleavings --")
        .env("SHUTTLE_ITERATIONS", &args.iterations.to_string());
    let tests = with_cfg(tests, "shuttle")?;
    match &args.test {
        Some(name) => tests.arg(name).run(),
        None => tests.run(),
    }
}
