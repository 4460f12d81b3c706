//! [`Segment`]: the file of a segment, and its index if that is in memory.

use crate::format::{RECORD_HEADER, Record, Seal};
use crate::index::{self, Index, Of};
use crate::io::{Io, IoFile, read_range};
use crate::scan;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use qsse_proto::{Batch, Timestamp};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What all segments of a store share.
pub(crate) struct Files {
    pub(crate) io: Arc<dyn Io>,
    pub(crate) seal: Seal,
    /// Segments whose index is cached, the latest last.
    cached: Mutex<VecDeque<Arc<Segment>>>,
    max_cached: usize,
}

/// A run of records in one file.
pub(crate) struct Segment {
    pub(crate) first: u64,
    pub(crate) generation: u32,
    pub(crate) file: Arc<dyn IoFile>,
    /// Where the last good record ends.
    len: AtomicU64,
    /// The last seq that is covered or lost.
    end: AtomicU64,
    /// The earliest and the latest time of its events.
    times: Mutex<Option<(Timestamp, Timestamp)>>,
    index: RwLock<Option<Index>>,
    /// Whether the index is only in memory.
    pinned: AtomicBool,
    /// The length of the index file; 0 if it is unknown.
    index_len: AtomicU64,
}

/// Returns the name of the segment that begins with this seq.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// Returns the name of the index of that segment.
pub(crate) fn index_name(first: u64) -> String {
    format!("{first:020}.idx")
}

/// Returns the first seq of the segment with this name.
pub(crate) fn first_of(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let first = digits.parse().ok().filter(|&first| first > 0);
    first.filter(|_| all_digits)
}

impl Files {
    pub(crate) fn new(io: Arc<dyn Io>, seal: Seal, max_cached: usize) -> Self {
        let cached = Mutex::default();
        Self {
            io,
            seal,
            cached,
            max_cached,
        }
    }

    /// Records that the segment's index was used, and drops the one that was unused for longest.
    fn touch(&self, segment: &Arc<Segment>) {
        let mut cached = self.cached.lock();
        if let Some(at) = cached.iter().position(|other| Arc::ptr_eq(other, segment)) {
            cached.remove(at);
        }
        cached.push_back(Arc::clone(segment));
        while cached.len() > self.max_cached {
            let Some(oldest) = cached.pop_front() else {
                break;
            };
            // An index in use is dropped the next time.
            if !oldest.pinned.load(Ordering::Acquire)
                && let Some(mut index) = oldest.index.try_write()
            {
                *index = None;
            }
        }
    }

    /// Forgets a segment that no longer belongs to the store.
    pub(crate) fn forget(&self, segment: &Arc<Segment>) {
        let mut cached = self.cached.lock();
        cached.retain(|other| !Arc::ptr_eq(other, segment));
    }
}

impl Segment {
    /// Creates a segment whose index is in memory.
    pub(crate) fn new(file: Arc<dyn IoFile>, generation: u32, index: Index) -> Self {
        Self {
            first: index.first(),
            generation,
            file,
            len: AtomicU64::new(index.file_end()),
            end: AtomicU64::new(index.end()),
            times: Mutex::new(index.times()),
            index: RwLock::new(Some(index)),
            pinned: AtomicBool::new(true),
            index_len: AtomicU64::new(0),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Returns the bytes of the segment and of its index file.
    pub(crate) fn size(&self, files: &Files) -> u64 {
        if !self.pinned.load(Ordering::Acquire) && self.index_len.load(Ordering::Acquire) == 0 {
            let file = files.io.open(&index_name(self.first));
            let len = file.and_then(|file| file.len()).unwrap_or(0);
            self.index_len.store(len, Ordering::Release);
        }
        self.len() + self.index_len.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Returns the earliest and the latest time of its events. Removed events count until it is
    /// rewritten.
    pub(crate) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        *self.times.lock()
    }

    /// Calls `ask` with the index, which is read from its file or rebuilt from the segment if
    /// necessary.
    ///
    /// # Errors
    /// The error of the system.
    pub(crate) fn index<T>(
        self: &Arc<Self>,
        files: &Files,
        ask: impl FnOnce(&Index) -> T,
    ) -> io::Result<T> {
        if !self.pinned.load(Ordering::Acquire) {
            files.touch(self);
        }
        if let Some(index) = &*self.index.read() {
            return Ok(ask(index));
        }
        let mut place = self.index.write();
        if place.is_none() {
            *place = Some(self.load(files)?);
        }
        drop(place);
        match &*self.index.read() {
            Some(index) => Ok(ask(index)),
            // Another thread has dropped it again.
            None => Ok(ask(&self.load(files)?)),
        }
    }

    /// Drops a damaged index, so that it is rebuilt.
    pub(crate) fn distrust(&self, files: &Files) {
        if !self.pinned.load(Ordering::Acquire) {
            let _ = files.io.remove(&index_name(self.first));
            *self.index.write() = None;
        }
    }

    /// Rebuilds the index in memory from the segment.
    pub(crate) fn rebuild(&self, files: &Files) -> io::Result<()> {
        let index = scan::scan(&*self.file, self.len(), self.first, files.seal)?;
        self.end.store(index.end(), Ordering::Release);
        *self.times.lock() = index.times();
        *self.index.write() = Some(index);
        self.pinned.store(true, Ordering::Release);
        Ok(())
    }

    /// Changes the index of the segment that is being written.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Index)) {
        let mut place = self.index.write();
        if let Some(index) = &mut *place {
            change(index);
            self.len.store(index.file_end(), Ordering::Release);
            self.end.store(index.end(), Ordering::Release);
            *self.times.lock() = index.times();
        }
    }

    /// Writes the index of a closed segment to its file, if that was not done.
    pub(crate) fn save_index(&self, files: &Files) -> io::Result<()> {
        if !self.pinned.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Some(index) = &*self.index.read() {
            let name = index_name(self.first);
            index::write(&*files.io, &name, index, self.of(), files.seal)?;
        }
        self.pinned.store(false, Ordering::Release);
        *self.index.write() = None;
        Ok(())
    }

    /// Returns what the segment's index must be of.
    fn of(&self) -> Of {
        Of {
            first: self.first,
            segment_len: self.len(),
            generation: self.generation,
        }
    }

    fn load(&self, files: &Files) -> io::Result<Index> {
        let name = index_name(self.first);
        if let Ok(Some(index)) = index::read(&*files.io, &name, self.of(), files.seal) {
            return Ok(index);
        }
        let index = scan::scan(&*self.file, self.len(), self.first, files.seal)?;
        // If this fails, the next open is slower.
        let _ = index::write(&*files.io, &name, &index, self.of(), files.seal);
        Ok(index)
    }

    /// Returns the batch of a record, or no batch if it has none; `None` if it is damaged or cannot
    /// be read.
    pub(crate) fn batch(&self, record: &Record, seal: Seal) -> Option<Option<Batch>> {
        let len = RECORD_HEADER + record.batch_len as usize;
        let bytes = self.bytes(u64::from(record.offset), len).ok()?;
        batch_in(record, &bytes, seal)
    }

    /// Reads and checks a whole record: its batch and the bytes of its keys; `None` if it is
    /// damaged.
    ///
    /// # Errors
    /// The error of the system: what cannot be read now is not damage.
    pub(crate) fn whole(
        &self,
        record: &Record,
        seal: Seal,
    ) -> io::Result<Option<(Option<Batch>, Bytes)>> {
        let len = usize::try_from(record.len()).unwrap_or(usize::MAX);
        let bytes = self.bytes(u64::from(record.offset), len)?;
        Ok(whole_in(record, &bytes, seal))
    }

    /// Reads bytes of the file, fewer at its end. Nothing beyond its length is allocated.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let most = self.len().saturating_sub(offset);
        let len = len.min(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(read_range(&*self.file, offset, len)?.into())
    }
}

/// Returns the batch of the record at the front of `bytes`, which must be the one that the index
/// has.
pub(crate) fn batch_in(record: &Record, bytes: &Bytes, seal: Seal) -> Option<Option<Batch>> {
    let (found, sums) = Record::decode_header(bytes, record.offset, seal)?;
    if found != *record {
        return None;
    }
    scan::batch_of(record, sums, &bytes.slice(RECORD_HEADER..), seal)
}

fn whole_in(record: &Record, bytes: &Bytes, seal: Seal) -> Option<(Option<Batch>, Bytes)> {
    let (found, sums) = Record::decode_header(bytes, record.offset, seal)?;
    if found != *record {
        return None;
    }
    let body = bytes.slice(RECORD_HEADER..);
    let batch = scan::body_of(record, sums, &body, seal)?;
    let from = record.batch_len as usize;
    Some((batch, body.slice(from..from + record.tail_len() as usize)))
}
