//! Processes: what they say, what they use, and their end.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Kernel clock ticks that `/proc` counts in.
const TICKS_PER_S: f64 = 100.0;

/// A process that ends with this value.
pub(super) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a process")?;
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more when the process is done with.
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            input: child.stdin.take(),
            child,
            lines,
        })
    }

    /// Has it step back for the others on its core, which are to be as if they were alone; tells
    /// whether the system could.
    pub(super) fn step_back(&self) -> bool {
        let pid = self.child.id().to_string();
        let stepped = Command::new("renice")
            .args(["-n", "19", "-p", &pid])
            .output();
        stepped.is_ok_and(|output| output.status.success())
    }

    /// The next line that it prints.
    pub(super) fn line(&self, within: Duration) -> Result<String> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("it said nothing for {within:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("it ended"),
        }
    }

    /// Fails unless the next line is this word.
    pub(super) fn expect(&self, word: &str, within: Duration) -> Result<()> {
        let line = self.line(within)?;
        ensure!(line == word, "it said {line:?} instead of {word:?}");
        Ok(())
    }

    /// Gives it a line.
    pub(super) fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().expect("it is open while this lives");
        writeln!(input, "{line}").context("it listens no more")
    }

    /// The system's number of it.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Seconds of CPU so far; `taskset` becomes the program that it starts.
    pub(super) fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        cpu_of(&stat)
    }

    /// Bytes of memory that it has now.
    pub(super) fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        memory_of(&status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cpu_of(stat: &str) -> Result<f64> {
    let (_, fields) = stat.rsplit_once(')').context("no name in brackets")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("too short")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) as f64 / TICKS_PER_S)
}

fn memory_of(status: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.context("no VmRSS")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<f64>()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_kernel_are_read() {
        let stat = "7 (a ) b) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_of(stat).unwrap(), 2.0);
        assert!(cpu_of("7 (a) S 1").is_err());
        assert_eq!(memory_of("Name:\ta\nVmRSS:\t    2 kB\n").unwrap(), 2048.0);
        assert!(memory_of("Name:\ta\n").is_err());
    }
}
