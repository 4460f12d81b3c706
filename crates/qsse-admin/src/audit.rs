//! [`AuditFile`]: the audit log in a file, one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use qsse_server::audit::{AuditRecord, AuditSink};

/// Lines that wait to be written. A busy server has a few hundred a second.
const QUEUE: usize = 4_096;

/// Bytes that are written at once.
const CHUNK: usize = 64 * 1024;

/// Writes records to a file, one JSON object a line, on a thread of its own. Clones write to the
/// same file.
///
/// If the disk is too slow, lines are dropped: a line `{"event":"dropped","count":N}` says how many
/// as soon as there is room again. A file that is moved away by a tool that rotates it is written
/// on until [`reopen`](Self::reopen) is called.
#[derive(Clone, Debug)]
pub struct AuditFile {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Reopen,
    /// Answered once everything before it was written.
    Flush(SyncSender<()>),
}

impl AuditFile {
    /// Opens the file to append to it. It is made, with mode 0600, if there is none.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = append_to(&path)?;
        let (sender, messages) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            path,
            file,
            dropped: Arc::clone(&dropped),
            failing: false,
        };
        std::thread::Builder::new()
            .name("qsse-audit".into())
            .spawn(move || writer.run(&messages))?;
        Ok(Self { sender, dropped })
    }

    /// Opens the file by its name again, soon: after it was moved away. If that fails, the old one
    /// is written on, and an error is logged.
    pub fn reopen(&self) {
        // With a full queue the disk hangs, and so would this.
        let _ = self.sender.try_send(Message::Reopen);
    }

    /// Waits until everything was written, at most for `timeout`. Blocks the thread.
    pub fn flush(&self, timeout: Duration) {
        let (done, written) = sync_channel(1);
        if self.sender.try_send(Message::Flush(done)).is_ok() {
            let ended = written.recv_timeout(timeout);
            debug_assert_ne!(ended, Err(RecvTimeoutError::Disconnected));
        }
    }
}

impl AuditSink for AuditFile {
    fn record(&self, record: &AuditRecord<'_>) -> bool {
        let Ok(mut line) = serde_json::to_vec(record) else {
            return false;
        };
        line.push(b'\n');
        match self.sender.try_send(Message::Line(line)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

/// Writes what comes, until nobody can send any more.
struct Writer {
    path: PathBuf,
    file: File,
    dropped: Arc<AtomicU64>,
    /// Whether the last write failed, which is logged once.
    failing: bool,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut chunk = Vec::new();
        while let Ok(message) = messages.recv() {
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => chunk.extend(line),
                    Message::Reopen => {
                        self.write(&mut chunk);
                        self.reopen();
                    }
                    Message::Flush(done) => {
                        self.write(&mut chunk);
                        let _ = done.send(());
                    }
                }
                next = match chunk.len() {
                    ..CHUNK => messages.try_recv().ok(),
                    _ => None,
                };
            }
            self.write(&mut chunk);
        }
    }

    fn write(&mut self, chunk: &mut Vec<u8>) {
        let lines = chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            chunk.extend(format!("{{\"event\":\"dropped\",\"count\":{dropped}}}\n").into_bytes());
        }
        if chunk.is_empty() {
            return;
        }
        match self.file.write_all(chunk) {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.dropped.fetch_add(dropped + lines, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    let path = self.path.display();
                    tracing::error!(%path, %error, "the audit log cannot be written: lines are lost");
                }
            }
        }
        chunk.clear();
    }

    fn reopen(&mut self) {
        match append_to(&self.path) {
            Ok(file) => self.file = file,
            Err(error) => {
                let path = self.path.display();
                tracing::error!(%path, %error, "the audit log cannot be opened again: the old file is used");
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use qsse_server::audit::AuditEvent;

    const SOON: Duration = Duration::from_secs(30);

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn records_are_lines_and_a_file_that_was_moved_away_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit"), folder.path().join("audit.1"));
        let audit = AuditFile::open(&path).unwrap();
        let record = AuditRecord::new(AuditEvent::Connect, false).reason("a \"b\"\nc");
        assert!(audit.record(&record));
        audit.flush(SOON);
        let line = &lines(&path)[0];
        assert_eq!(
            (&line["event"], &line["allowed"]),
            (&"connect".into(), &false.into())
        );
        assert_eq!(line["reason"], "a \"b\"\nc");
        assert_eq!(line.get("principal"), None);

        std::fs::rename(&path, &moved).unwrap();
        audit.record(&record);
        audit.reopen();
        audit.record(&AuditRecord::new(AuditEvent::Drain, true));
        audit.flush(SOON);
        assert_eq!((lines(&moved).len(), lines(&path).len()), (2, 1));
        assert_eq!(lines(&path)[0]["event"], "drain");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_loses_lines_and_says_how_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let audit = AuditFile::open(&path).unwrap();
        let record = AuditRecord::new(AuditEvent::Connect, true);
        for _ in 0..3 {
            audit.record(&record);
            audit.flush(SOON);
        }
        std::fs::remove_file(&path).unwrap();
        audit.reopen();
        audit.flush(SOON);
        let lines = lines(&path);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["event"], "dropped");
        assert!(lines[0]["count"].as_u64().unwrap() >= 3, "{lines:?}");
    }

    #[test]
    fn a_queue_that_is_full_drops_records_and_does_not_wait() {
        let (sender, messages) = sync_channel(2);
        let dropped = Arc::new(AtomicU64::new(0));
        let audit = AuditFile { sender, dropped };
        let record = AuditRecord::new(AuditEvent::Connect, true);
        let taken: Vec<_> = (0..4).map(|_| audit.record(&record)).collect();
        assert_eq!(taken, [true, true, false, false]);
        assert_eq!(audit.dropped.load(Ordering::Relaxed), 2);
        drop(messages);
        audit.reopen();
    }
}
