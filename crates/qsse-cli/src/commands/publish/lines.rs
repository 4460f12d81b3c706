//! Lines of standard input. A thread reads them, so that a signal need not wait for input.

use std::io::{self, Read};
use std::ops::Range;

use tokio::sync::mpsc;

/// The bytes to read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How many chunks are read ahead.
const CHUNKS: usize = 4;

/// The lines of standard input.
pub(super) struct Lines {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    splitter: Splitter,
    found: Option<Found>,
    ended: bool,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// The line is over the limit.
    TooLong,
}

impl Lines {
    /// Starts to read. Of a line over `max` bytes, nothing is stored.
    pub(super) fn read(max: usize) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        std::thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = stdin.read(&mut chunk);
                let last = !matches!(read, Ok(1..));
                let chunk = read.map(|len| {
                    chunk.truncate(len);
                    chunk
                });
                if sender.blocking_send(chunk).is_err() || last {
                    return;
                }
            }
        });
        Self {
            chunks,
            splitter: Splitter::new(max),
            found: None,
            ended: false,
        }
    }

    /// Waits for a line; `false` at the end of the input. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<bool> {
        while self.found.is_none() {
            self.found = self.splitter.advance(self.ended);
            if self.found.is_some() {
                break;
            }
            if self.ended {
                return Ok(false);
            }
            match self.chunks.recv().await.transpose()? {
                Some(chunk) if !chunk.is_empty() => self.splitter.push(&chunk),
                _ => self.ended = true,
            }
        }
        Ok(true)
    }

    /// Returns the line that was waited for.
    pub(super) fn take(&mut self) -> Option<Line<'_>> {
        let found = self.found.take()?;
        Some(self.splitter.line(found))
    }
}

/// Splits bytes into lines.
struct Splitter {
    max: usize,
    buffer: Vec<u8>,
    /// Where the rest begins.
    start: usize,
    /// No line ends before this offset.
    searched: usize,
    /// The current line is over the limit, and its beginning was dropped.
    over: bool,
}

enum Found {
    Whole(Range<usize>),
    TooLong,
}

impl Splitter {
    fn new(max: usize) -> Self {
        Self {
            max,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            over: false,
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// Returns the next line, if it is complete.
    fn advance(&mut self, at_end: bool) -> Option<Found> {
        let end = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let end = match end {
            Some(end) => self.searched + end,
            // Text after the last line break is a line too.
            None if at_end && (self.over || self.start < self.buffer.len()) => self.buffer.len(),
            None => {
                self.searched = self.buffer.len();
                // A line break may have two bytes; they do not count.
                if self.buffer.len() - self.start > self.max + 1 {
                    self.over = true;
                    self.start = self.buffer.len();
                }
                return None;
            }
        };
        let line = &self.buffer[self.start..end];
        let len = line.strip_suffix(b"\r").unwrap_or(line).len();
        let found = self.start..self.start + len;
        self.start = (end + 1).min(self.buffer.len());
        self.searched = self.start;
        if std::mem::take(&mut self.over) || len > self.max {
            return Some(Found::TooLong);
        }
        Some(Found::Whole(found))
    }

    fn line(&self, found: Found) -> Line<'_> {
        match found {
            Found::Whole(range) => Line::Whole(&self.buffer[range]),
            Found::TooLong => Line::TooLong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits `text`, pushed in pieces of `size`, into lines; `None` is a line over the limit.
    fn split(text: &[u8], size: usize, max: usize) -> Vec<Option<Vec<u8>>> {
        let mut splitter = Splitter::new(max);
        let mut lines = Vec::new();
        let mut take = |splitter: &mut Splitter, at_end| {
            while let Some(found) = splitter.advance(at_end) {
                lines.push(match splitter.line(found) {
                    Line::Whole(line) => Some(line.to_vec()),
                    Line::TooLong => None,
                });
            }
        };
        for chunk in text.chunks(size) {
            splitter.push(chunk);
            take(&mut splitter, false);
        }
        take(&mut splitter, true);
        lines
    }

    #[test]
    fn lines_lose_their_end_whatever_the_pieces() {
        let text = b"one\r\n\ntwo\r three\n\r\nlast";
        let expected: Vec<_> = [&b"one"[..], b"", b"two\r three", b"", b"last"]
            .map(|line| Some(line.to_vec()))
            .into();
        for size in 1..=text.len() {
            assert_eq!(split(text, size, 100), expected, "pieces of {size}");
        }
        assert_eq!(split(b"", 1, 9), []);
        assert_eq!(split(b"\n", 1, 9), [Some(vec![])]);
    }

    #[test]
    fn a_line_too_long_is_counted_and_the_rest_goes_on() {
        let text = b"12345\n123456\r\n1234567\n\n123456789012345678901234567890\nend";
        for size in 1..=text.len() {
            let lines = split(text, size, 6);
            let shown: Vec<_> = lines.iter().map(|line| line.as_deref()).collect();
            let expected = [
                Some(&b"12345"[..]),
                Some(b"123456"),
                None,
                Some(b""),
                None,
                Some(b"end"),
            ];
            assert_eq!(shown, expected, "pieces of {size}");
        }
        assert_eq!(split(b"1234567", 2, 6), [None]);
    }
}
