//! A program under watch: its lines are passed on and looked at, and it gets a time limit.

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

/// A program that was started. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    deadline: Instant,
}

impl Program {
    /// Starts it; it has to end within `limit`.
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
                // Nobody listens any more once the line has been found; reading goes on, so that
                // the program is never blocked by a full pipe.
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            child,
            lines,
            deadline: Instant::now() + limit,
        })
    }

    /// Waits until it prints a line with `part` in it. False when it ends, or its time does,
    /// before that.
    pub(crate) fn wait_for_line(&mut self, part: &str) -> bool {
        self.prints_before(part, self.deadline)
    }

    /// Whether it prints a line with `part` in it within a moment.
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

    /// What Ctrl-C does.
    pub(crate) fn interrupt(&self) -> Result<()> {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-INT", &id])
            .status()
            .context("running kill")?;
        ensure!(status.success(), "kill -INT {id} failed");
        Ok(())
    }

    /// Waits for its end; `None` if its time is over first.
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

    /// Ends it at once.
    pub(crate) fn stop(&mut self) {
        // An error means that it has ended already.
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

    /// Whether whoever started this has interrupts ignored, as a shell does for what it runs in the
    /// background. A shell cannot undo that with a trap; a program can.
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
