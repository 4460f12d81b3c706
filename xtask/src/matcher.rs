//! `cargo xtask matcher`: measures the matcher against other matchers, on the same data.

use anyhow::Result;

use crate::command::{Shown, cargo};
use crate::workspace;

/// The folder of the comparison, which is a workspace of its own.
const FOLDER: &str = "crates/qsse-topic/peers";

/// Arguments of `matcher`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For the comparison:
    /// `--patterns 10000,1000000 --sets names,mixed,wild --rounds 9 --json FILE`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the comparison in release mode and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let target = workspace::root().join("target");
    let manifest = format!("{FOLDER}/Cargo.toml");
    let mut command = cargo("run --release --locked --manifest-path").arg(&manifest);
    if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        command = command
            .arg("--target-dir")
            .arg(&target.display().to_string());
    }
    let run = |command: Shown, argument: &String| command.arg(argument);
    args.arguments.iter().fold(command.arg("--"), run).run()
}
