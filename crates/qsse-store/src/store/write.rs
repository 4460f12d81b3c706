//! Writes records to the last segment, and begins the next one.

use super::Store;
use super::part::Part;
use crate::entry::{Entry, put_keys, put_runs};
use crate::error::StoreError;
use crate::format::{ALIGN, MARK, Record, SegmentHeader, Sums, put_mark};
use crate::index::Index;
use crate::io::write_all;
use crate::segment::{Segment, segment_name};
use std::io;
use std::sync::Arc;

/// The approximate limit on events in a segment, so that its index stays small.
const SEGMENT_EVENTS: u64 = 1 << 20;
/// A larger buffer is not reused for the next append.
const MAX_REUSED_BUFFER: usize = 4 << 20;

impl Store {
    /// Writes entries: as many as fit to the last segment, the others to new ones.
    ///
    /// After an error, `parts` has what is to be undone.
    pub(super) fn write_parts<'e>(
        &mut self,
        mut entries: &'e [Entry],
        parts: &mut Vec<Part<'e>>,
    ) -> Result<(), StoreError> {
        while let Some(first) = entries.first() {
            let mut part = match parts.last() {
                None => self.first_part(first)?,
                Some(before) => {
                    let synced = before.segment.file.sync_data();
                    synced.map_err(|error| self.fail("a sync", &error))?;
                    self.new_part(first)?
                }
            };
            let count = self.fitting(&part, entries);
            let (taken, rest) = entries.split_at(count);
            (part.entries, entries) = (taken, rest);
            let mut buf = std::mem::take(&mut self.buf);
            part.records = self.encode(taken, (part.segment.first, part.begin), &mut buf);
            let written = write_all(&*part.segment.file, &buf, part.begin);
            buf.clear();
            if buf.capacity() <= MAX_REUSED_BUFFER {
                self.buf = buf;
            }
            parts.push(part);
            written.map_err(|error| self.noted(StoreError::io("write events")(error)))?;
        }
        Ok(())
    }

    /// Returns a part of the last segment if that has room for the entry, or of a new one.
    fn first_part<'e>(&mut self, first: &Entry) -> Result<Part<'e>, StoreError> {
        let Some(active) = self.shared.state.read().active().cloned() else {
            return self.new_part(first);
        };
        let events = active.index(&self.shared.files, Index::events);
        let events = events.map_err(StoreError::io("read an index"))?;
        let len = active.len() + first.record(0).len();
        let full = len > self.options.segment_bytes || events >= SEGMENT_EVENTS;
        if is_far(&active, first) || (events > 0 && full) {
            self.sync()?;
            return self.new_part(first);
        }
        Ok(Part::of(active, false))
    }

    /// Begins a segment and returns its part.
    fn new_part<'e>(&mut self, first: &Entry) -> Result<Part<'e>, StoreError> {
        // If this fails, the next open reads more. A full disk is reported by the next write. The
        // file does not cover entries that are written and not shown yet.
        let _ = self.write_publishers(self.head());
        let files = &self.shared.files;
        let first = first.batch.first_seq();
        let header = SegmentHeader {
            store: self.shared.store,
            first,
            end: 0,
            generation: 0,
        };
        let name = segment_name(first);
        let made = files.io.create(&name).and_then(|file| {
            write_all(&*file, &header.encode(files.seal), 0)?;
            Ok(file)
        });
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                let error = self.noted(StoreError::io("begin a segment")(error));
                return Err(match self.remove_segment(first) {
                    Ok(()) => error,
                    Err(second) => self.fail("undoing a failed write", &second),
                });
            }
        };
        let synced = file.sync_data().and_then(|()| files.io.sync_dir());
        if let Err(error) = synced {
            return Err(self.fail("a sync of a new segment", &error));
        }
        let segment = Arc::new(Segment::new(file, 0, Index::new(first)));
        Ok(Part::of(segment, true))
    }

    /// Returns how many of these entries the part's segment has room for, at least one.
    fn fitting(&self, part: &Part<'_>, entries: &[Entry]) -> usize {
        let (mut len, mut events) = (part.begin, 0);
        let fits = |entry: &&Entry| {
            len += entry.record(0).len();
            events += u64::from(entry.batch.count());
            let full = len > self.options.segment_bytes || events > SEGMENT_EVENTS;
            !full && !is_far(&part.segment, entry)
        };
        entries.iter().take_while(fits).count().max(1)
    }

    /// Undoes what was written, the newest first, so that a crash in between leaves older events.
    /// Returns the error.
    pub(super) fn take_back(&mut self, parts: Vec<Part<'_>>, error: StoreError) -> StoreError {
        if self.usable().is_err() {
            return error;
        }
        for part in parts.into_iter().rev() {
            let undone = if part.is_new {
                self.remove_segment(part.segment.first)
            } else {
                // Synced too, so that a crash does not restore events that were refused.
                let cut = part.segment.file.truncate(part.begin);
                cut.and_then(|()| part.segment.file.sync_data())
            };
            if let Err(second) = undone {
                return self.fail("undoing a failed write", &second);
            }
            // The segment before a new one was synced.
            self.dirty = false;
        }
        error
    }

    /// Removes a segment that readers have not seen.
    fn remove_segment(&self, first: u64) -> io::Result<()> {
        let io = &self.shared.files.io;
        match io.remove(&segment_name(first)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => io.sync_dir(),
        }
    }

    /// Writes the indexes of closed segments that are only in memory.
    pub(crate) fn save_indexes(&self, closed: usize) {
        let segments = self.shared.state.read().segments.clone();
        for segment in segments.iter().take(closed) {
            // Tried again with the next segment. Until then the index stays in memory.
            let _ = segment.save_index(&self.shared.files);
        }
    }

    /// Encodes the records and a mark after them, for the file of the segment that begins with
    /// `first`, from `begin` on.
    pub(super) fn encode(
        &self,
        entries: &[Entry],
        (first, begin): (u64, u64),
        buf: &mut Vec<u8>,
    ) -> Vec<Record> {
        let seal = self.shared.files.seal;
        let mut keys = Vec::new();
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            // Bounded by the limit on a segment.
            let record = entry.record((begin + buf.len() as u64) as u32);
            keys.clear();
            put_keys(&mut keys, record.first_seq, &entry.keys);
            put_runs(&mut keys, record.first_seq, &entry.runs);
            let sums = Sums {
                batch: seal.sum(entry.batch.bytes()),
                keys: seal.sum(&keys),
            };
            buf.extend_from_slice(&record.encode_header(sums, seal));
            buf.extend_from_slice(entry.batch.bytes());
            buf.extend_from_slice(&keys);
            buf.resize(buf.len().next_multiple_of(ALIGN), 0);
            debug_assert_eq!(begin + buf.len() as u64, record.end());
            records.push(record);
        }
        if let Some(last) = records.last() {
            // Bounded by the limit on a segment too.
            let place = (first, last.end() as u32);
            put_mark(buf, last.last_seq, place, seal);
        }
        records
    }

    /// Replaces the publishers' file, which then covers everything through `seq`.
    pub(crate) fn write_publishers(&mut self, seq: u64) -> Result<(), StoreError> {
        let (io, seal) = (&*self.shared.files.io, self.shared.files.seal);
        let age = u64::try_from(self.options.publishers_age.as_micros()).unwrap_or(u64::MAX);
        let oldest = self.last_time.saturating_sub(age);
        self.publishers.write(io, seal, seq, oldest)
    }

    /// Shows written entries to readers.
    pub(super) fn show(&self, parts: Vec<Part<'_>>) {
        let begun = parts.iter().any(|part| part.is_new);
        let mut state = self.shared.state.write();
        for part in parts {
            let segment = part.segment;
            if part.is_new {
                state.segments.push(Arc::clone(&segment));
            }
            let topics = &mut state.topics;
            let last = part.records.last();
            let mark = last.map(|last| (last.last_seq, last.end() + MARK as u64));
            segment.update(|index| {
                for (entry, record) in part.entries.iter().zip(part.records) {
                    index.add(record, Some(&entry.batch), |topic, seq, bytes| {
                        topics.add(topic, (seq, seq), 1, u64::from(bytes));
                    });
                }
                if let Some((through, file_end)) = mark {
                    index.mark(through, file_end);
                }
            });
            state.known = state.known.max(segment.end());
        }
        let closed = state.segments.len().saturating_sub(1);
        drop(state);
        if begun {
            self.save_indexes(closed);
        }
    }
}

/// Returns whether the entry is too far from the segment's first seq for relative seqs of 32 bits.
fn is_far(segment: &Segment, entry: &Entry) -> bool {
    entry.batch.last_seq().saturating_sub(segment.first) > u64::from(u32::MAX)
}
