//! Laying records into the last segment, and beginning the next one.

use super::Store;
use crate::entry::{Entry, put_keys};
use crate::error::StoreError;
use crate::format::{ALIGN, Record, SegmentHeader, Sums};
use crate::index::Index;
use crate::io::write_all;
use crate::segment::{Segment, segment_name};
use std::io;
use std::sync::Arc;

/// A segment has at most about this many events, so that its index stays small.
const SEGMENT_EVENTS: u64 = 1 << 20;
/// A segment is never longer: places in it have 32 bits.
const MAX_SEGMENT: u64 = 3 << 30;
impl Store {
    /// The segment that takes these entries: the last one, or a new one.
    pub(super) fn segment_for(
        &mut self,
        entries: &[Entry],
        size: u64,
    ) -> Result<Arc<Segment>, StoreError> {
        let active = self.shared.state.read().active().cloned();
        let bounds = entries.first().zip(entries.last());
        let (first, last) = bounds.map_or((1, 1), |(first, last)| {
            (first.batch.first_seq(), last.batch.last_seq())
        });
        if size > MAX_SEGMENT {
            let what = "one append is longer than 3 GiB";
            return Err(StoreError::Entry { what });
        }
        if let Some(active) = active {
            let events = active.index(&self.shared.files, Index::events);
            let events = events.map_err(StoreError::io("read an index"))?;
            let empty = events == 0;
            let full = active.len() + size > self.options.segment_bytes || events >= SEGMENT_EVENTS;
            let far = last.saturating_sub(active.first) > u64::from(u32::MAX);
            if !far && (empty || !full) {
                return Ok(active);
            }
            self.sync()?;
        }
        self.begin_segment(first)
    }

    fn begin_segment(&mut self, first: u64) -> Result<Arc<Segment>, StoreError> {
        let files = &self.shared.files;
        let header = SegmentHeader {
            epoch: self.shared.epoch,
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
                // If it stays it is empty, and in nobody's way.
                let _ = files.io.remove(&name);
                return Err(self.noted(StoreError::io("begin a segment")(error)));
            }
        };
        let synced = file.sync_data().and_then(|()| files.io.sync_dir());
        if let Err(error) = synced {
            return Err(self.fail("a sync of a new segment", &error));
        }
        let segment = Arc::new(Segment::new(file, 0, Index::new(first)));
        let closed = {
            let mut state = self.shared.state.write();
            segment.follow(state.active().map_or(0, |before| before.last_time()));
            state.segments.push(Arc::clone(&segment));
            state.segments.len() - 1
        };
        self.keep_indexes(closed);
        Ok(segment)
    }

    /// Writes the indexes of closed segments that are only in memory, of the newest at least.
    pub(crate) fn keep_indexes(&self, closed: usize) {
        let segments = self.shared.state.read().segments.clone();
        for segment in segments.iter().take(closed) {
            // Tried again with the next segment; until then it stays in memory.
            let _ = segment.keep_index(&self.shared.files);
        }
    }

    /// Lays the records one behind the other, from `begin` on in the file.
    pub(super) fn encode(&self, entries: &[Entry], begin: u64, buf: &mut Vec<u8>) -> Vec<Record> {
        let seal = self.shared.files.seal;
        let mut keys = Vec::new();
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            // `MAX_SEGMENT` bounds it.
            let record = record_of(entry, (begin + buf.len() as u64) as u32);
            keys.clear();
            put_keys(&mut keys, record.first_seq, &entry.keys);
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
        records
    }

    /// Takes a failed write back; the error to return.
    pub(super) fn cut_back(
        &mut self,
        segment: &Segment,
        begin: u64,
        error: io::Error,
    ) -> StoreError {
        // Synced too, lest a crash brings back events that were refused.
        let cut = segment.file.truncate(begin);
        match cut.and_then(|()| segment.file.sync_data()) {
            Ok(()) => {
                self.dirty = false;
                self.noted(StoreError::io("write events")(error))
            }
            Err(second) => self.fail("undoing a failed write", &second),
        }
    }

    /// Shows readers what was written.
    pub(super) fn publish(&self, segment: &Segment, entries: &[Entry], records: Vec<Record>) {
        let mut state = self.shared.state.write();
        let topics = &mut state.topics;
        segment.update(|index| {
            for (entry, record) in entries.iter().zip(records) {
                index.add(record, Some(&entry.batch), |topic, seq, bytes| {
                    topics.add(topic, (seq, seq), 1, u64::from(bytes));
                });
            }
        });
        state.known = state.known.max(segment.end());
    }
}

/// The record of an entry that stands at `offset`.
pub(crate) fn record_of(entry: &Entry, offset: u32) -> Record {
    let keys: usize = entry.keys.iter().map(|(_, key)| 21 + key.key.len()).sum();
    let batch = &entry.batch;
    Record {
        offset,
        // `Entry::check` bounds it, and keys are fewer than events.
        batch_len: batch.bytes().len() as u32,
        keys_len: u32::try_from(keys).unwrap_or(u32::MAX),
        count: batch.count(),
        after: batch.first_seq() - 1,
        first_seq: batch.first_seq(),
        last_seq: batch.last_seq(),
        first_time: batch.first_time().as_micros(),
        last_time: batch.last_time().as_micros(),
    }
}
