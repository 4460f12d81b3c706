//! Rewrites segments without their dead events.

use super::Trimmed;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::format::{ALIGN, Record, SegmentHeader, Sums};
use crate::index::Index;
use crate::io::{IoFile, write_all};
use crate::segment::{Segment, index_name, segment_name};
use crate::store::Store;
use qsse_proto::batch::{Batch, Builder};
use qsse_topic::TopicRef;
use std::io;
use std::sync::Arc;

/// A segment is rewritten if at most one byte in this many is retained.
const MOSTLY_DEAD: u64 = 4;
/// A segment is small if it is shorter than the usual length divided by this.
const SMALL: u64 = 8;
/// This many small segments are worth rewriting.
const MANY_SMALL: usize = 8;
/// The most segments that one call checks.
const MOST_LOOKED: usize = 32;
/// Records are buffered up to this many bytes.
const BUFFER: usize = 1 << 20;

impl Store {
    /// Rewrites the first run of closed segments that are mostly dead. Returns whether there may be
    /// more.
    ///
    /// Without room, or if a file cannot be read, everything stays as it is.
    pub(super) fn compact(&mut self, trimmed: &mut Trimmed) -> Result<bool, StoreError> {
        let Some(run) = self.run_to_compact()? else {
            return Ok(false);
        };
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(true);
        };
        // The floors of dropped events must be saved before the events are gone.
        if !self.save_exact_floors() {
            return Ok(true);
        }
        let header = SegmentHeader {
            store: self.shared.store,
            first: first.first,
            end: last.end(),
            generation: first.generation.wrapping_add(1).max(1),
        };
        let name = segment_name(first.first);
        let temporary = format!("{name}.tmp");
        let files = &self.shared.files;
        let written = files.io.create(&temporary).and_then(|file| {
            let index = Writer::new(self, &*file, header).write(&run)?;
            file.sync_data()?;
            files.io.rename(&temporary, &name)?;
            Ok((file, index))
        });
        let (file, index) = match written {
            Ok(written) => written,
            Err(_) => {
                let _ = files.io.remove(&temporary);
                return Ok(true);
            }
        };
        if let Err(error) = files.io.sync_dir() {
            return Err(self.fail("a sync of the directory", &error));
        }
        let segment = Arc::new(Segment::new(file, header.generation, index));
        let before: u64 = run.iter().map(|segment| segment.len()).sum();
        {
            let mut state = self.shared.state.write();
            let at = state
                .segments
                .partition_point(|other| other.first < first.first);
            let through = (at + run.len()).min(state.segments.len());
            state.segments.splice(at..through, [Arc::clone(&segment)]);
        }
        for old in &run {
            self.shared.files.forget(old);
        }
        let _ = self.shared.files.io.remove(&index_name(first.first));
        for old in run.iter().skip(1) {
            self.remove_files(old.first)?;
        }
        trimmed.rewritten += run.len();
        trimmed.bytes += before.saturating_sub(segment.len());
        Ok(true)
    }

    /// Returns the next run of neighbouring segments that are mostly dead or small and fit into
    /// one. If there is none, more segments may have to be checked.
    fn run_to_compact(&mut self) -> Result<Option<Vec<Arc<Segment>>>, StoreError> {
        let segments = self.shared.state.read().segments.clone();
        let closed = segments.len().saturating_sub(1);
        let from = segments.partition_point(|segment| segment.first < self.looked_through);
        let mut run = Run::default();
        let newest_closed = segments.get(..closed).and_then(<[_]>::last);
        if let Some(last) = newest_closed
            && !self.save_publishers(last)?
        {
            // Rewriting drops the numbers of publishers, so they are saved first.
            return Ok(Some(Vec::new()));
        }
        let keyed = self.keyed();
        for segment in segments.iter().take(closed).skip(from).take(MOST_LOOKED) {
            let (live, all) = self.in_index(segment, |store, index| {
                // Rewriting drops keys, so a segment with keys of the window stays.
                let keyed = index.records().iter().any(|record| keyed.has(record));
                Ok((store.live(index).1, if keyed { 0 } else { index.bytes() }))
            })?;
            let dead = all > 0 && live.saturating_mul(MOSTLY_DEAD) <= all;
            let small =
                segment.len() <= self.options.segment_bytes / SMALL && (all > 0 || live == 0);
            let fits = run.bytes + live <= self.options.segment_bytes / 2;
            if !(dead || small) || !(fits || run.segments.is_empty()) {
                if run.is_worth_it() {
                    break;
                }
                run = Run::default();
            }
            if dead || small {
                run.any_dead |= dead;
                run.bytes += live;
                run.segments.push(Arc::clone(segment));
            }
            self.looked_through = segment.first + 1;
        }
        if run.is_worth_it() {
            return Ok(Some(run.segments));
        }
        let more = from + MOST_LOOKED < closed;
        if !more {
            self.looked_through = 0;
        }
        Ok(more.then(Vec::new))
    }

    /// Saves the floors. Returns false if there is no room for all of them.
    fn save_exact_floors(&mut self) -> bool {
        if !self.floors_changed {
            return true;
        }
        let state = self.shared.state.read();
        let files = &self.shared.files;
        let written = crate::floors::write(&*files.io, &state.topics, files.seal).is_ok();
        drop(state);
        self.floors_changed &= !written;
        written
    }
}

/// Neighbours that may become one segment.
#[derive(Default)]
struct Run {
    segments: Vec<Arc<Segment>>,
    bytes: u64,
    any_dead: bool,
}

impl Run {
    fn is_worth_it(&self) -> bool {
        self.any_dead || self.segments.len() >= MANY_SMALL
    }
}

/// Writes the retained events of some segments.
struct Writer<'a> {
    store: &'a Store,
    file: &'a dyn IoFile,
    index: Index,
    open: Builder,
    /// Written records cover everything through here, or the next one will.
    covered: u64,
    /// The last seq of the last written record, or the end of a hole after it.
    written: u64,
    /// The earliest and the latest time of all events after the last written record, including
    /// removed ones.
    times: Option<(u64, u64)>,
    buf: Vec<u8>,
    at: u64,
}

impl<'a> Writer<'a> {
    fn new(store: &'a Store, file: &'a dyn IoFile, header: SegmentHeader) -> Self {
        let buf = header.encode(store.shared.files.seal);
        let before = header.first - 1;
        Self {
            store,
            file,
            index: Index::new(header.first),
            open: Builder::new(),
            covered: before,
            written: before,
            times: None,
            buf,
            at: 0,
        }
    }

    fn write(mut self, run: &[Arc<Segment>]) -> io::Result<Index> {
        let files = &self.store.shared.files;
        for segment in run {
            let records = segment.index(files, |index| index.records().to_vec())?;
            for record in records {
                // A damaged record becomes a hole. One that cannot be read now may be readable
                // later.
                let Some((batch, _)) = segment.whole(&record, files.seal)? else {
                    continue;
                };
                self.cover_from(record.after)?;
                if let Some(batch) = batch {
                    self.copy_live(&batch)?;
                }
                self.covered = record.last_seq;
                let (first, last) = (record.first_time, record.last_time);
                let (earliest, latest) = self.times.unwrap_or((first, last));
                self.times = Some((earliest.min(first), latest.max(last)));
            }
        }
        self.seal()?;
        self.flush()?;
        Ok(self.index)
    }

    /// Continues with seqs after `after`. All before it that are not covered are lost.
    fn cover_from(&mut self, after: u64) -> io::Result<()> {
        if after <= self.covered {
            return Ok(());
        }
        self.seal()?;
        (self.covered, self.written) = (after, after);
        Ok(())
    }

    fn copy_live(&mut self, batch: &Batch) -> io::Result<()> {
        for event in batch {
            let Ok(topic) = TopicRef::new(event.topic()) else {
                continue;
            };
            if event.seq() <= self.store.shared.state.read().topics.floor(topic) {
                continue;
            }
            let (topic, kind, data) = (event.topic(), event.kind(), event.data());
            let fits = self.open.would_fit(topic, kind, data.len());
            if !fits || !self.open.keeps_time(event.time()) {
                self.record()?;
            }
            self.open.push(event.seq(), event.time(), topic, kind, data);
        }
        Ok(())
    }

    /// Ends a range without holes. Its last record covers all of it.
    fn seal(&mut self) -> io::Result<()> {
        self.record()?;
        if self.covered > self.written {
            let (first_time, last_time) = self.times.unwrap_or_default();
            let record = Record {
                offset: self.offset()?,
                batch_len: 0,
                keys_len: 0,
                count: 0,
                after: self.written,
                first_seq: self.covered,
                last_seq: self.covered,
                first_time,
                last_time,
            };
            self.put(record, None)?;
        }
        Ok(())
    }

    /// Writes the open batch if it is not empty.
    fn record(&mut self) -> io::Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let entry = Entry::from(self.open.finish());
        let record = Record {
            after: self.written,
            ..entry.record(self.offset()?)
        };
        self.put(record, Some(&entry.batch))
    }

    fn put(&mut self, record: Record, batch: Option<&Batch>) -> io::Result<()> {
        let seal = self.store.shared.files.seal;
        let bytes = batch.map_or(&[][..], |batch| batch.bytes());
        let sums = Sums {
            batch: seal.sum(bytes),
            keys: seal.sum(&[]),
        };
        self.buf
            .extend_from_slice(&record.encode_header(sums, seal));
        self.buf.extend_from_slice(bytes);
        self.buf.resize(self.buf.len().next_multiple_of(ALIGN), 0);
        self.index.add(record, batch, |_, _, _| {});
        (self.written, self.times) = (record.last_seq, None);
        if self.buf.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    fn offset(&self) -> io::Result<u32> {
        let offset = self.at + self.buf.len() as u64;
        u32::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all(self.file, &self.buf, self.at)?;
        self.at += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }
}
