//! Standard output and standard error, each written by its own thread. So a reader that is slow,
//! stuck or gone delays neither the runtime's threads nor signals and timeouts.
//!
//! ```text
//! events, results ──▶ stdout: waits for room ──▶ thread ──▶ 1    an error ends the command;
//!                                                                a closed pipe ends it quietly
//! log, messages ────▶ stderr: never waits ─────▶ thread ──▶ 2    what does not fit is dropped
//!                                                                and counted
//! ```

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tracing::Level;

use crate::text;

mod pipe;

use pipe::OnError;
pub(crate) use pipe::Pipe;

/// The most bytes of log and messages that wait to be read.
const ERRORS_BYTES: usize = 1024 * 1024;
/// Above this, code that can wait for standard error does.
const ERRORS_CALM_BYTES: usize = 64 * 1024;

/// How long the end of the program waits for a standard error that accepts nothing.
const ERRORS_STUCK: Duration = Duration::from_secs(1);
/// How long a stopped command waits for a standard output that accepts nothing.
pub(crate) const STUCK: Duration = Duration::from_millis(250);
/// How long the end waits for a slow reader of either.
pub(crate) const SLOW: Duration = Duration::from_secs(2);

static STDOUT: OnceLock<Arc<Pipe>> = OnceLock::new();
static STDERR: OnceLock<Arc<Pipe>> = OnceLock::new();

/// Whether everything on standard error is JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Returns standard output.
pub(crate) fn stdout() -> &'static Pipe {
    STDOUT.get_or_init(|| Pipe::start("qsse-stdout", pipe::standard_output(), OnError::Stop))
}

fn stderr() -> &'static Pipe {
    STDERR.get_or_init(|| Pipe::start("qsse-stderr", pipe::standard_error(), OnError::Lose(lost)))
}

/// Sets whether everything on standard error is JSON, one object per line.
pub(crate) fn write_json(json: bool) {
    JSON.store(json, Ordering::Relaxed);
}

/// Returns whether everything on standard error is JSON.
pub(crate) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Prints a line on standard output and waits until it is written. Cancel-safe: the line is written
/// completely even then.
///
/// # Errors
/// [`OutputError`] if it cannot be written.
pub(crate) async fn print(text: impl Display) -> Result<(), OutputError> {
    stdout()
        .write(&mut format!("{text}\n").into_bytes())
        .await?;
    Ok(stdout().written().await?)
}

/// Prints on standard output and waits, for commands that have nothing else to wait for.
///
/// # Errors
/// [`OutputError`] if it cannot be written.
pub(crate) fn print_blocking(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct OutputError(#[from] io::Error);

impl OutputError {
    /// Returns whether the reader is gone. A command ends quietly then.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }

    pub(crate) fn unless_closed(self) -> Result<(), Self> {
        if self.is_closed() { Ok(()) } else { Err(self) }
    }
}

/// Prints lines on standard error. Never waits.
pub(crate) fn tell(text: impl Display) {
    let text = text.to_string();
    if is_json() {
        for line in text.lines().filter(|line| !line.is_empty()) {
            stderr().push(object(Level::INFO, line).as_bytes(), ERRORS_BYTES);
        }
    } else {
        stderr().push(format!("{text}\n").as_bytes(), ERRORS_BYTES);
    }
}

/// Prints a message of the program on standard error, in one line after its name. Never waits.
pub(crate) fn message(level: Level, text: impl Display) {
    stderr().push(formed(level, &text.to_string()).as_bytes(), ERRORS_BYTES);
}

/// Waits until standard error has room, for code that prefers to wait over losing lines.
pub(crate) async fn told() {
    stderr().below(ERRORS_CALM_BYTES).await;
}

/// The destination of the log.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        stderr().push(line, ERRORS_BYTES);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// On drop, gives both outputs a moment to be read. So this also works if a panic ends the program.
pub(crate) struct Finish;

impl Drop for Finish {
    fn drop(&mut self) {
        if let Some(stdout) = STDOUT.get() {
            stdout.finish(STUCK, SLOW);
        }
        if let Some(stderr) = STDERR.get() {
            stderr.finish(ERRORS_STUCK, SLOW);
        }
    }
}

/// Prints panics like everything else, so that they neither wait for standard error nor break its
/// format.
pub(crate) fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed").to_owned();
        let backtrace = Backtrace::capture();
        let backtrace = match backtrace.status() {
            BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        let text = format!("a fault of this program, in thread {thread}: {panic}{backtrace}");
        if is_json() {
            message(Level::ERROR, text);
        } else {
            tell(format!("qsse: {text}"));
        }
    }));
}

/// Returns a line that tells how many lines were lost.
fn lost(lines: u64) -> String {
    let counted = text::counted(lines, "line");
    let were = if lines == 1 { "was" } else { "were" };
    formed(
        Level::WARN,
        &format!(
            "{counted} {were} lost here: standard error could not be written, or was read too slowly"
        ),
    )
}

fn formed(level: Level, text: &str) -> String {
    if is_json() {
        object(level, text)
    } else {
        format!("qsse: {}\n", text::one_line(text))
    }
}

/// Returns a message in the format of the log's lines.
fn object(level: Level, message: &str) -> String {
    let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let object = serde_json::json!({
        "timestamp": now,
        "level": level.as_str(),
        "fields": { "message": message },
        "target": "qsse",
    });
    format!("{object}\n")
}
