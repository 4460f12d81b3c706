//! Programs under test: each in a home of its own, none outliving its test.
#![expect(
    clippy::unwrap_used,
    reason = "where the harness fails, so does the test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Far beyond what anything here takes; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// So long that no connection goes away by itself while a test waits.
const IDLE: &str = "1h";

/// With connections that silence does not end.
pub(crate) fn patient(mut command: Command) -> Command {
    command
        .env("QSSE_LIMITS_IDLE_TIMEOUT", IDLE)
        .env("QSSE_CLIENT_IDLE_TIMEOUT", IDLE);
    command
}

/// A user's home: two of them share no certificate.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file in it with this text.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qsse"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("QSSE_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("QSSE_STATE_DIR", self.path().join("state"))
            // A machine with much else to do may take longer than the default.
            .env("QSSE_CONNECT_TIMEOUT", "1m")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, b"")
    }

    /// Runs it to its end with this on standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Done {
        let mut running = Running::start(self.command(args).stdin(Stdio::piped()));
        running.input(input);
        running.close_input();
        running.done()
    }

    /// Starts it and goes on.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args).stdin(Stdio::piped()))
    }

    /// A server on a free port.
    pub(crate) fn serve(&self, args: &[&str]) -> Server {
        let args = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        Server::start(&mut self.command(&args))
    }

    /// A subscriber that is subscribed.
    pub(crate) fn subscribe(&self, server: &Server, args: &[&str]) -> Running {
        let args = [&["sub", "-s", &server.address], args].concat();
        let mut running = self.start(&args);
        running.error_line("subscribed to");
        running
    }
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// Fails unless it ended with this status and said all of this on standard error.
    #[track_caller]
    pub(crate) fn expect(&self, status: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "lacks {part:?}: {self:?}");
        }
        self
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A program that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    out: Lines,
    err: Lines,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().map_or_else(Lines::none, Lines::of);
        let err = child.stderr.take().map_or_else(Lines::none, Lines::of);
        Self { child, out, err }
    }

    /// Waits for a line of standard output that has this in it.
    #[track_caller]
    pub(crate) fn line(&mut self, part: &str) -> String {
        self.out.wait(part)
    }

    /// Whether a line of standard output that has this in it has come.
    pub(crate) fn has_line(&mut self, part: &str) -> bool {
        self.out.has(part)
    }

    /// Waits for a line of standard error that has this in it.
    #[track_caller]
    pub(crate) fn error_line(&mut self, part: &str) -> String {
        self.err.wait(part)
    }

    pub(crate) fn input(&mut self, bytes: &[u8]) {
        // A program that has ended by itself reads no more.
        let stdin = self.child.stdin.as_mut().unwrap();
        let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
    }

    pub(crate) fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end; with all of its output.
    #[track_caller]
    pub(crate) fn done(mut self) -> Done {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not end: {:?}",
                self.err.seen
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        let (out, err) = (self.out.rest(), self.err.rest());
        Done {
            status: status.code(),
            out,
            err,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe, as they come.
struct Lines {
    lines: Receiver<String>,
    seen: String,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    return;
                }
                line.clear();
            }
        });
        Self {
            lines,
            seen: String::new(),
        }
    }

    /// Those of an output that goes elsewhere.
    fn none() -> Self {
        Self::of(std::io::empty())
    }

    #[track_caller]
    fn wait(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {part:?} came, only: {}", self.seen);
            };
            self.seen.push_str(&line);
            if line.contains(part) {
                return line.trim_end().into();
            }
        }
    }

    fn has(&mut self, part: &str) -> bool {
        self.seen.extend(self.lines.try_iter());
        self.seen.contains(part)
    }

    fn rest(&mut self) -> String {
        self.seen.extend(self.lines.iter());
        std::mem::take(&mut self.seen)
    }
}

/// A server that listens.
pub(crate) struct Server {
    pub(crate) running: Running,
    /// What it listens on, as HOST:PORT.
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut running = Running::start(command);
        let line = running.line("listening on ");
        let address = line.strip_prefix("listening on ").unwrap().into();
        Self { running, address }
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }
}
