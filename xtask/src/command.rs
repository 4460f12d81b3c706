//! Runs cargo and other programs. Shows each command line, and names the one that fails.

use std::{
    env,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// A command that runs in the workspace's root and is shown first.
pub(crate) struct Shown {
    command: Command,
    line: String,
}

/// Returns a cargo command with these arguments, separated by spaces.
pub(crate) fn cargo(arguments: &str) -> Shown {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command
        .current_dir(workspace::root())
        .args(arguments.split_whitespace());
    forget_outer_cargo(&mut command);
    Shown {
        command,
        line: format!("cargo {arguments}"),
    }
}

/// Returns a command for a program: a path, or a name in `PATH`.
pub(crate) fn program(path: impl AsRef<Path>) -> Shown {
    let mut command = Command::new(path.as_ref());
    command.current_dir(workspace::root());
    Shown {
        command,
        line: path.as_ref().display().to_string(),
    }
}

/// Runs `program` and returns its standard output. Fails unless the program succeeds.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.current_dir(workspace::root()).args(arguments);
    Shown {
        command,
        line: format!("{program} {}", arguments.join(" ")),
    }
    .output()
}

impl Shown {
    /// Adds an argument, which may contain spaces.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.line = format!("{} {argument}", self.line);
        self.command.arg(argument);
        self
    }

    /// Runs the command in this folder instead of the workspace's root.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.line = format!("cd {} && {}", folder.display(), self.line);
        self.command.current_dir(folder);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.line = format!("{name}='{value}' {}", self.line);
        self.command.env(name, value);
        self
    }

    /// Runs the command with its output passed through. Fails unless it succeeds.
    pub(crate) fn run(self) -> Result<()> {
        let line = self.line.clone();
        let status = self.status()?;
        if !status.success() {
            bail!("`{line}` failed ({status})");
        }
        Ok(())
    }

    /// Runs the command with its output passed through, and returns its exit status.
    pub(crate) fn status(mut self) -> Result<ExitStatus> {
        println!("$ {}", self.line);
        self.command
            .status()
            .with_context(|| format!("cannot run {}", self.line))
    }

    /// Runs the command and returns its standard output. Fails unless it succeeds.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run {}", self.line))?;
        if !output.status.success() {
            bail!("`{}` failed ({})", self.line, output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("output of `{}`", self.line))
    }
}

/// Removes the variables that the outer `cargo run` has set. Build scripts that watch them would
/// run again whenever cargo is called from here and from a shell in turn.
fn forget_outer_cargo(command: &mut Command) {
    let is_ours = |name: &str| {
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR"
    };
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_ours) {
            command.env_remove(name);
        }
    }
}
