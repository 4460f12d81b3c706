//! Tests with outputs that block and fail when they are told to.

use std::io::ErrorKind;
use std::sync::mpsc::{self, Receiver, Sender};

use super::target::PIECE_BYTES;
use super::*;

/// One write waits for one answer: as many bytes as it takes, or an error.
struct Scripted {
    answers: Receiver<io::Result<usize>>,
    asked: Sender<usize>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.asked.send(bytes.len());
        let stuck = |_| -> io::Result<usize> {
            loop {
                std::thread::park();
            }
        };
        let len = self.answers.recv().unwrap_or_else(stuck)?;
        let len = len.min(bytes.len());
        self.written
            .lock()
            .unwrap()
            .extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The other end of it.
struct Script {
    answers: Sender<io::Result<usize>>,
    asked: Receiver<usize>,
    written: Arc<Mutex<Vec<u8>>>,
}

const ALL: usize = usize::MAX;

impl Script {
    fn start(on_error: OnError) -> (Arc<Pipe>, Self) {
        let (answers, to_thread) = mpsc::channel();
        let (from_thread, asked) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let target = Scripted {
            answers: to_thread,
            asked: from_thread,
            written: written.clone(),
        };
        let pipe = Pipe::start("scripted", Box::new(target), on_error);
        let script = Self {
            answers,
            asked,
            written,
        };
        (pipe, script)
    }

    /// Waits until the thread writes.
    fn wait(&self) {
        self.asked.recv().unwrap();
    }

    fn answer(&self, answer: io::Result<usize>) {
        self.answers.send(answer).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }
}

fn lost(lines: u64) -> String {
    format!("lost {lines}\n")
}

fn full() -> io::Result<usize> {
    Err(ErrorKind::StorageFull.into())
}

#[test]
fn lines_that_find_no_room_are_counted_and_told_where_they_are_missing() {
    let (pipe, script) = Script::start(OnError::Lose(lost));
    pipe.push(b"1\n", 6);
    script.wait();
    // The thread has the first one; of the others three fit.
    for line in ["2\n", "3\n", "4\n", "5\n", "6\n"] {
        pipe.push(line.as_bytes(), 6);
    }
    script.answer(Ok(ALL));
    for _ in 0..2 {
        script.wait();
        script.answer(Ok(ALL));
    }
    pipe.push(b"7\n", 6);
    script.wait();
    script.answer(Ok(ALL));
    pipe.finish(Duration::MAX / 4, Duration::from_secs(60));
    assert_eq!(script.text(), "1\n2\n3\n4\nlost 2\n7\n");
}

#[test]
fn lines_that_cannot_be_written_are_told_once_there_is_room() {
    let (pipe, script) = Script::start(OnError::Lose(lost));
    // Half of a line goes out, the rest and the notice do not.
    pipe.push(b"one\ntwo\n", 99);
    for answer in [Ok(2), full(), full()] {
        script.wait();
        script.answer(answer);
    }
    // The notice first: while that fails, nothing else is tried.
    pipe.push(b"three\n", 99);
    for answer in [full(), full()] {
        script.wait();
        script.answer(answer);
    }
    pipe.push(b"four\n", 99);
    for answer in [Ok(ALL), Ok(ALL)] {
        script.wait();
        script.answer(answer);
    }
    pipe.finish(Duration::MAX / 4, Duration::from_secs(60));
    assert_eq!(script.text(), "on\nlost 3\nfour\n");
}

#[tokio::test]
async fn an_output_that_takes_nothing_is_given_up_and_what_is_left_is_known() {
    let (pipe, script) = Script::start(OnError::Stop);
    pipe.write(&mut vec![b'x'; AHEAD_BYTES]).await.unwrap();
    script.wait();
    script.answer(Ok(10));
    script.wait();
    // The thread has the first, these wait, and no more have room.
    pipe.write(&mut vec![b'x'; AHEAD_BYTES]).await.unwrap();
    let mut more = vec![b'x'];
    assert!(pipe.try_write(&mut more).unwrap().is_none());
    let left = pipe
        .written_soon(Duration::from_millis(1), Duration::from_secs(60))
        .await;
    assert_eq!(left as usize, 2 * AHEAD_BYTES - 10);
    assert_eq!(pipe.done(), 10);
    // Does not wait again.
    pipe.finish(Duration::MAX / 4, Duration::from_secs(3600));
}

#[tokio::test]
async fn an_output_that_fails_fails_whoever_waits() {
    let (pipe, script) = Script::start(OnError::Stop);
    pipe.write(&mut b"x".to_vec()).await.unwrap();
    script.wait();
    script.answer(Err(ErrorKind::BrokenPipe.into()));
    assert_eq!(pipe.failed().await.kind(), ErrorKind::BrokenPipe);
    assert!(pipe.written().await.is_err());
    assert!(pipe.write(&mut b"y".to_vec()).await.is_err());
    assert_eq!((pipe.handed(), pipe.done()), (1, 0));
    pipe.finish(Duration::MAX / 4, Duration::from_secs(3600));
}

#[test]
fn pieces_end_with_a_line_where_they_can() {
    let line = [b"x".repeat(3000), b"\n".to_vec()].concat();
    assert_eq!(piece(&line.repeat(2)), line);
    assert_eq!(piece(&b"x".repeat(9000)).len(), PIECE_BYTES);
    assert_eq!(piece(b"a\nb"), b"a\nb");
}
