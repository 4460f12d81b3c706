//! `cargo xtask deny`: known vulnerabilities, licences and sources of the dependencies, as
//! `deny.toml` wants them.
//!
//! `tidy` checks licences and duplicates too, without cargo-deny. Only this asks the database of
//! advisories, which takes the network.

use anyhow::Result;

use crate::command::cargo;

/// Arguments of `deny`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Checks the dependencies with cargo-deny.
///
/// Without cargo-deny it checks nothing, and without the database no advisories. It says so.
pub(crate) fn run(_: &Args) -> Result<()> {
    if cargo("deny --version").output().is_err() {
        println!("deny: SKIPPED, cargo-deny is missing: `cargo install --locked cargo-deny`");
        return Ok(());
    }
    cargo("deny check bans licenses sources").run()?;
    if let Err(error) = cargo("deny fetch db").run() {
        println!("deny: SKIPPED advisories, their database cannot be reached: {error:#}");
        return Ok(());
    }
    cargo("deny check --disable-fetch advisories").run()
}
