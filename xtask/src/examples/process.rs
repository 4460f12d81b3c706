//! A child process with a time limit, whose lines are passed on and searched.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// How long [`Program::prints_soon`] waits.
const MOMENT: Duration = Duration::from_millis(500);

/// A running program. Dropping it kills the process.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    deadline: Instant,
}

impl Program {
    /// Starts the program, which has to exit within `limit`.
    pub(crate) fn start(path: &Path, arguments: &[&str], limit: Duration) -> Result<Self> {
        let mut child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", path.display()))?;
        let stdout = BufReader::new(child.stdout.take().expect("piped above"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                println!("  {line}");
                // The receiver is gone once the line was found. Reading continues, so that a full
                // pipe never blocks the program.
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            child,
            lines,
            deadline: Instant::now() + limit,
        })
    }

    /// Waits for a line that contains `part`. Returns false if the program ends or its time is up
    /// first.
    pub(crate) fn wait_for_line(&mut self, part: &str) -> bool {
        self.prints_before(part, self.deadline)
    }

    /// Waits a moment for a line that contains `part`.
    pub(crate) fn prints_soon(&mut self, part: &str) -> bool {
        self.prints_before(part, Instant::now() + MOMENT)
    }

    fn prints_before(&mut self, part: &str, end: Instant) -> bool {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(part) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// Sends the signal of Ctrl-C.
    pub(crate) fn interrupt(&self) -> Result<()> {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-INT", &id])
            .status()
            .context("running kill")?;
        ensure!(status.success(), "kill -INT {id} failed");
        Ok(())
    }

    /// Waits for the exit status; `None` if the time is up first.
    pub(crate) fn wait(&mut self) -> Result<Option<ExitStatus>> {
        while Instant::now() < self.deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.stop();
        Ok(None)
    }

    /// Kills the process.
    pub(crate) fn stop(&mut self) {
        // An error means that the process has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Program {
        Program::start(Path::new("/bin/sh"), &["-c", script], limit).expect("there is a shell")
    }

    #[test]
    fn lines_are_found_and_the_status_comes_through() {
        let mut program = shell("echo one; echo two; exit 3", Duration::from_secs(10));
        assert!(program.wait_for_line("tw"));
        assert!(!program.wait_for_line("three"));
        assert_eq!(
            program.wait().expect("waits").and_then(|s| s.code()),
            Some(3)
        );
    }

    #[test]
    fn what_does_not_end_is_ended() {
        let mut program = shell("exec sleep 600", Duration::from_millis(50));
        assert!(!program.wait_for_line("anything"));
        assert!(program.wait().expect("waits").is_none());
    }

    /// Whether this process ignores interrupts, as a shell makes its background jobs do. A child
    /// inherits that, and a shell cannot undo it with a trap.
    fn interrupts_are_ignored() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let signals = ignored.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
        signals.is_some_and(|signals| signals & 0b10 != 0)
    }

    #[test]
    fn an_interrupt_arrives() {
        if interrupts_are_ignored() {
            eprintln!("skipped: interrupts are ignored here");
            return;
        }
        let script = "trap 'exit 7' INT; echo ready; while :; do sleep 0.01; done";
        let mut program = shell(script, Duration::from_secs(10));
        assert!(program.wait_for_line("ready"));
        program.interrupt().expect("kill works");
        assert_eq!(
            program.wait().expect("waits").and_then(|s| s.code()),
            Some(7)
        );
    }
}
