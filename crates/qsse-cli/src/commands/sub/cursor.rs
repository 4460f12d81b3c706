//! [`CursorFile`]: saves the position of `sub --cursor` from one run to the next.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use fs4::fs_std::FileExt;
use qsse_client::{Cursor, Epoch};
use tokio::time::Instant;

use crate::exit::{usage, usage_because};

/// How long a flushed position may stay unsaved.
const EVERY: Duration = Duration::from_millis(500);

/// Longer than any cursor.
const MAX_BYTES: u64 = 256;

/// The epoch of ids that the client counts itself, for a server that has none.
const NO_LOG: Epoch = Epoch::new(0);

/// A file with a position: one line with the cursor as text. Only one process uses it at a time.
///
/// ```text
/// FILE        replaced as a whole, never written in place
/// FILE.new    the next FILE, for a moment
/// FILE.lock   empty, and locked while this process runs; it is never removed, because two
///             processes could then each lock a file of their own
/// ```
pub(super) struct CursorFile {
    path: PathBuf,
    next: PathBuf,
    /// The position in the file.
    saved: Option<Cursor>,
    /// Everything up to here was written to standard output and flushed.
    flushed: Option<Cursor>,
    due: Instant,
    /// Standard output, if it is a file. It is synced before the position is saved.
    output: Option<File>,
    /// The lock, released on close.
    _lock: File,
}

impl CursorFile {
    /// Opens the file, which may be absent, and checks that a new one can be written.
    ///
    /// # Errors
    /// Another process uses it, its folder cannot be written, it cannot be read, or it is not a
    /// cursor.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path.file_name().is_none() {
            return Err(usage(format!("--cursor: {path:?} is no name of a file")));
        }
        // A link is preserved: the file that it leads to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let shown = path.display();
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(with(&path, ".lock"))
            .map_err(|error| {
                usage_because(
                    format_args!("cannot write in the folder of the cursor file {shown}"),
                    error,
                )
            })?;
        match lock.try_lock_exclusive() {
            Ok(true) => {}
            Ok(false) => {
                return Err(usage(format!(
                    "another process uses the cursor file {shown}: give each its own"
                )));
            }
            Err(error) => {
                return Err(usage_because(
                    format_args!("cannot lock the cursor file {shown}"),
                    error,
                ));
            }
        }
        let saved = read(&path)?;
        let next = with(&path, ".new");
        fresh(&next)
            .and_then(|_| fs::remove_file(&next))
            .map_err(|error| {
                usage_because(format_args!("cannot write the cursor file {shown}"), error)
            })?;
        Ok(Self {
            path,
            next,
            saved,
            flushed: None,
            due: Instant::now(),
            output: output_file(),
            _lock: lock,
        })
    }

    /// Returns the position in the file; `None` if it is absent.
    pub(super) fn saved(&self) -> Option<Cursor> {
        self.saved
    }

    /// Returns when the flushed position is to be saved.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Records that everything up to `cursor` was written to standard output and flushed. Saves it
    /// if it is time.
    ///
    /// # Errors
    /// The file cannot be written, or `cursor` is not a position of a log.
    pub(super) fn flushed(&mut self, cursor: Cursor) -> Result<()> {
        if cursor.id().epoch() == NO_LOG {
            return Err(usage(format!(
                "--cursor: the server speaks the Go library's protocol, which has no positions; {} is left as it was",
                self.path.display()
            )));
        }
        self.flushed = Some(cursor);
        if Instant::now() < self.due {
            return Ok(());
        }
        self.save()
    }

    /// Saves the position of the last flush, if the file does not have it yet.
    ///
    /// # Errors
    /// The file cannot be written. It is unchanged then.
    pub(super) fn save(&mut self) -> Result<()> {
        if let Some(cursor) = self.flushed
            && self.flushed != self.saved
        {
            let synced = self.output.as_ref().map_or(Ok(()), File::sync_data);
            synced.map_err(|error| anyhow!(error).context("cannot write to standard output"))?;
            self.replace(cursor).map_err(|error| {
                let shown = self.path.display();
                anyhow!(error).context(format!("cannot write the cursor file {shown}"))
            })?;
            self.saved = self.flushed;
        }
        self.due = Instant::now() + EVERY;
        Ok(())
    }

    fn replace(&self, cursor: Cursor) -> io::Result<()> {
        let mut next = fresh(&self.next)?;
        writeln!(next, "{cursor}")?;
        next.sync_all()?;
        fs::rename(&self.next, &self.path)
    }
}

/// Returns standard output, if it is a regular file.
fn output_file() -> Option<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let output = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
        output
            .metadata()
            .is_ok_and(|found| found.is_file())
            .then_some(output)
    }
    #[cfg(not(unix))]
    None
}

/// Appends to the last part of the path.
fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}

/// Creates an empty file, in place of one that a crash may have left.
fn fresh(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Reads a cursor file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Cursor>> {
    let shown = path.display();
    let unreadable =
        |error| usage_because(format_args!("cannot read the cursor file {shown}"), error);
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if !found.is_file() {
        return Err(usage(format!("the cursor file {shown} is no regular file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.is_empty() {
        return Err(usage(format!(
            "the cursor file {shown} is empty: remove it to begin anew, or write the id of the last event into it"
        )));
    }
    cursor(&bytes).map(Some).ok_or_else(|| {
        usage(format!(
            "the cursor file {shown} is not one line with an id, as 4C92-42: remove it to begin anew"
        ))
    })
}

/// Returns the only line. Its line break may be missing.
fn cursor(bytes: &[u8]) -> Option<Cursor> {
    let text = str::from_utf8(bytes).ok()?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let cursor: Cursor = line.parse().ok()?;
    (cursor.to_string() == line && cursor.id().epoch() != NO_LOG).then_some(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_line_with_a_cursor_is_one() {
        for text in ["4C92-42\n", "4C92-42", "4C92-42\r\n", "1-0\n"] {
            assert!(cursor(text.as_bytes()).is_some(), "{text:?}");
        }
        for text in [
            "\n",
            " 4C92-42\n",
            "4C92-42 \n",
            "4C92-42\n\n",
            "4C92-42\n4C92-43\n",
            "# 4C92-42\n",
            "4C92-042\n",
            "4C92\n",
            "0-7\n",
            "\0\0\0",
            "latest",
        ] {
            assert_eq!(cursor(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(cursor(b"4C92-42\xff"), None);
    }

    #[test]
    fn it_is_written_at_once_and_then_when_due() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("at");
        let at = |seq: u64| format!("1-{seq}").parse::<Cursor>().unwrap();
        let text = || fs::read_to_string(&path).unwrap();
        let mut file = CursorFile::open(&path).unwrap();
        assert_eq!(file.saved(), None);
        assert!(!path.exists(), "nothing was flushed yet");
        file.flushed(at(1)).unwrap();
        assert_eq!(text(), "1-1\n");
        file.flushed(at(2)).unwrap();
        assert_eq!(text(), "1-1\n", "not due");
        file.due = Instant::now();
        file.flushed(at(3)).unwrap();
        assert_eq!(text(), "1-3\n");
        file.flushed(at(4)).unwrap();
        file.save().unwrap();
        assert_eq!(text(), "1-4\n");
        assert!(file.flushed("0-9".parse().unwrap()).is_err());
        file.save().unwrap();
        assert_eq!(text(), "1-4\n", "what is no position is not kept");

        assert!(CursorFile::open(&path).is_err(), "taken");
        drop(file);
        // The state after a crash between two steps.
        fs::write(with(&path, ".new"), "1-").unwrap();
        let mut file = CursorFile::open(&path).unwrap();
        assert_eq!(file.saved(), Some(at(4)));
        file.flushed(at(5)).unwrap();
        assert_eq!(text(), "1-5\n");
        assert!(!with(&path, ".new").exists());
    }

    #[test]
    fn a_write_that_fails_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("at");
        let mut file = CursorFile::open(&path).unwrap();
        file.flushed("1-1".parse().unwrap()).unwrap();
        // A folder at the place of the temporary file can be neither removed nor written.
        fs::create_dir(with(&path, ".new")).unwrap();
        file.flushed("1-2".parse().unwrap()).unwrap();
        let error = format!("{:#}", file.save().unwrap_err());
        assert!(error.contains("cannot write the cursor file"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "1-1\n");
        fs::remove_dir(with(&path, ".new")).unwrap();
        file.save().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1-2\n");
    }
}
