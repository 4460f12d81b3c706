//! What the measurements share: processes on a core of their own, and medians.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Bytes of data in an event.
pub(crate) const EVENT_BYTES: usize = 128;

/// A program on one core, where that can be had.
pub(crate) fn pinned(program: &Path, core: Option<usize>) -> Command {
    let Some(core) = core else {
        return Command::new(program);
    };
    let taskset = Command::new("taskset")
        .args(["-c", &core.to_string(), "true"])
        .output();
    if !taskset.is_ok_and(|output| output.status.success()) {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// A part of this program that runs until this value is dropped.
pub(crate) struct Part {
    child: Child,
    /// The first line that it printed.
    pub(crate) said: String,
    _input: Option<ChildStdin>,
}

impl Part {
    /// Starts a part and waits for its first line.
    pub(crate) fn start<S: AsRef<OsStr>>(
        core: usize,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let mut child = pinned(&std::env::current_exe()?, Some(core))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let input = child.stdin.take();
        let said = lines.next();
        let part = |said| Self {
            child,
            said,
            _input: input,
        };
        match said {
            Some(said) => Ok(part(said?)),
            None => {
                drop(part(String::new()));
                anyhow::bail!("a part of the measurement did not start")
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a part to its end; the figure that it printed.
pub(crate) fn figure<S: AsRef<OsStr>>(
    core: Option<usize>,
    arguments: impl IntoIterator<Item = S>,
) -> Result<f64> {
    let output = pinned(&std::env::current_exe()?, core)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "a part of the measurement failed");
    let text = String::from_utf8(output.stdout)?;
    text.trim()
        .parse()
        .with_context(|| format!("a part said {text:?}"))
}

/// Figures of one kind, from several rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The one added last.
    pub(crate) fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Each as a part of the other of the same round.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// The least and the greatest.
    pub(crate) fn spread(&self) -> (f64, f64) {
        let sorted = self.sorted();
        let at = |at: Option<&f64>| at.copied().unwrap_or(f64::NAN);
        (at(sorted.first()), at(sorted.last()))
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}
