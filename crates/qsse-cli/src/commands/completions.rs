//! `qsse completions`: scripts for the shell's tab key.

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::console::print_blocking;
use crate::exit::Status;

/// Print a script that completes qsse's commands and flags
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse completions bash > ~/.local/share/bash-completion/completions/qsse
  qsse completions zsh > \"${fpath[1]}/_qsse\"
  qsse completions fish > ~/.config/fish/completions/qsse.fish")]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(options: &Options, mut command: Command) -> Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "qsse", &mut script);
    print_blocking(&String::from_utf8_lossy(&script))?;
    Ok(Status::Done)
}
