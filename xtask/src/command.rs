//! Running cargo and other programs: what runs is shown, what fails says so.

use std::{
    env,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// A command that is shown before it runs, in the workspace's root.
pub(crate) struct Shown {
    command: Command,
    line: String,
}

/// Cargo with these arguments, separated by spaces.
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

/// A program that is in the path, or at this one.
pub(crate) fn program(path: impl AsRef<Path>) -> Shown {
    let mut command = Command::new(path.as_ref());
    command.current_dir(workspace::root());
    Shown {
        command,
        line: path.as_ref().display().to_string(),
    }
}

/// What `program` prints on standard output; an error unless it succeeds.
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
    /// With one more argument, which may have spaces in it.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.line = format!("{} {argument}", self.line);
        self.command.arg(argument);
        self
    }

    /// In this folder instead of the workspace's root.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.line = format!("cd {} && {}", folder.display(), self.line);
        self.command.current_dir(folder);
        self
    }

    /// With an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.line = format!("{name}='{value}' {}", self.line);
        self.command.env(name, value);
        self
    }

    /// Runs it with its output passed through; an error unless it succeeds.
    pub(crate) fn run(self) -> Result<()> {
        let line = self.line.clone();
        let status = self.status()?;
        if !status.success() {
            bail!("`{line}` failed ({status})");
        }
        Ok(())
    }

    /// Runs it with its output passed through, and returns how it ended.
    pub(crate) fn status(mut self) -> Result<ExitStatus> {
        println!("$ {}", self.line);
        self.command
            .status()
            .with_context(|| format!("cannot run {}", self.line))
    }

    /// Runs it and returns what it prints on standard output; an error unless it succeeds.
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

/// Removes what the `cargo run` around this program has set. Build scripts that watch those
/// variables would run again each time cargo is called from here and from a shell in turn.
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
