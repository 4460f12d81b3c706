//! `cargo xtask interleave`: what threads share in the log, run by a checker in many interleavings.
//!
//! The log is built with the locks and atomics of shuttle in place of its own
//! (`qsse-log/src/sync.rs`), so that the checker decides at each of them which thread goes on. A
//! wake-up that is lost shows as a deadlock.

use anyhow::Result;

use crate::{command::cargo, with_cfg::with_cfg};

/// Arguments of `interleave`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many interleavings of each test
    #[arg(long, value_name = "COUNT", default_value_t = 20_000)]
    pub(crate) iterations: usize,
    /// Only tests with this in their name
    #[arg(long, value_name = "NAME")]
    pub(crate) test: Option<String>,
}

/// Builds the log for the checker, on the crates that all tests are built on, and runs the tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    let tests = cargo("test --features qsse-log/shuttle --test interleavings --")
        .env("SHUTTLE_ITERATIONS", &args.iterations.to_string());
    let tests = with_cfg(tests, "shuttle")?;
    match &args.test {
        Some(name) => tests.arg(name).run(),
        None => tests.run(),
    }
}
