//! Finds the records of a segment, even after damage.

use crate::format::{self, ALIGN, MARK, RECORD_HEADER, Record, SEGMENT_HEADER, Seal, Sums};
use crate::index::Index;
use crate::io::{IoFile, read_range};
use bytes::Bytes;
use qsse_proto::Batch;
use std::io;

/// The number of bytes that are read at once.
const WINDOW: u64 = 1 << 20;

/// Reads all good records of a segment of `len` bytes that begins with seq `first`.
///
/// # Errors
/// The error of the system: what could not be read is not damage.
pub(crate) fn scan(file: &dyn IoFile, len: u64, first: u64, seal: Seal) -> io::Result<Index> {
    let mut index = Index::new(first);
    let mut window = Window::default();
    // Offsets have 32 bits.
    let len = len.min(u64::from(u32::MAX));
    let mut at = SEGMENT_HEADER as u64;
    while at + MARK as u64 <= len {
        let wanted = (RECORD_HEADER as u64).min(len - at);
        let header = window.get(file, at, wanted, len)?;
        if let Some(through) = format::mark(&header, (first, at as u32), seal) {
            at += MARK as u64;
            if through - first <= u64::from(u32::MAX) {
                index.mark(through, at);
            }
            continue;
        }
        let found = Record::decode_header(&header, at as u32, seal);
        let Some((record, sums)) = found.filter(|(record, _)| record.end() <= len) else {
            at += ALIGN as u64;
            continue;
        };
        let follows = record.after >= index.end() && record.last_seq - first <= u64::from(u32::MAX);
        if follows {
            let body_len = record.len() - RECORD_HEADER as u64;
            let body = window.get(file, at + RECORD_HEADER as u64, body_len, len)?;
            if let Some(batch) = body_of(&record, sums, &body, seal) {
                index.add(record, batch.as_ref(), |_, _, _| {});
            }
        }
        at = record.end();
    }
    Ok(index)
}

/// Returns the batch of a record whose body begins with `body`, or no batch if it covers only
/// removed events; `None` if any part is damaged.
pub(crate) fn body_of(
    record: &Record,
    sums: Sums,
    body: &Bytes,
    seal: Seal,
) -> Option<Option<Batch>> {
    let batch_len = record.batch_len as usize;
    let keys_end = batch_len.checked_add(record.tail_len() as usize)?;
    if seal.sum(body.get(batch_len..keys_end)?) != sums.keys {
        return None;
    }
    batch_of(record, sums, body, seal)
}

/// Returns the batch as [`body_of`] does, without checking the keys.
pub(crate) fn batch_of(
    record: &Record,
    sums: Sums,
    body: &Bytes,
    seal: Seal,
) -> Option<Option<Batch>> {
    if record.count == 0 {
        return Some(None);
    }
    let batch_len = record.batch_len as usize;
    if seal.sum(body.get(..batch_len)?) != sums.batch {
        return None;
    }
    let batch = Batch::decode(body.slice(..batch_len)).ok()?;
    let same = (batch.first_seq(), batch.last_seq(), batch.count())
        == (record.first_seq, record.last_seq, record.count);
    same.then_some(Some(batch))
}

/// A part of the file that moves along.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    /// Returns `len` bytes at `at`, within the file's `file_len`. There are fewer only if the file
    /// has become shorter.
    fn get(&mut self, file: &dyn IoFile, at: u64, len: u64, file_len: u64) -> io::Result<Bytes> {
        let within = at >= self.start && at + len <= self.start + self.bytes.len() as u64;
        if !within {
            let wish = len.max(WINDOW).min(file_len.saturating_sub(at));
            self.bytes = read_range(file, at, wish as usize)?.into();
            self.start = at;
        }
        let from = ((at - self.start) as usize).min(self.bytes.len());
        let to = (from + len as usize).min(self.bytes.len());
        Ok(self.bytes.slice(from..to))
    }
}
