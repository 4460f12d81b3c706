//! Opening the segments of a store.

use crate::error::OpenError;
use crate::format::{SEGMENT_HEADER, SegmentHeader};
use crate::index::{self, Index, Of};
use crate::io::{IoFile, read_range, write_all};
use crate::scan::scan;
use crate::segment::{Files, Segment, index_name, segment_name};
use std::io;
use std::sync::Arc;

/// A segment that was opened.
struct Found {
    segment: Segment,
    file_len: u64,
    /// The seq through which the segment replaces others.
    replaces: u64,
}

/// Opens the segments that begin with these seqs, and removes those that others replace.
///
/// The end of the last one is cut back to its last good record.
pub(super) fn open_segments(
    files: &Files,
    store: u64,
    firsts: &[u64],
    clean: bool,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    let mut replaced = 0;
    for (number, &first) in firsts.iter().enumerate() {
        if first <= replaced {
            remove(files, first);
            continue;
        }
        let last = number + 1 == firsts.len();
        let found = open_segment(files, store, first, last)?;
        let (segment, file_len) = (found.segment, found.file_len);
        if last && !clean {
            write_back(&segment).map_err(OpenError::io("write the last segment back"))?;
        }
        replaced = replaced.max(found.replaces);
        let before = segments.last().map_or(0, |segment| segment.end());
        let empty = file_len <= SEGMENT_HEADER as u64 || segment.end() < first;
        if first <= before {
            // An empty one is left over from a failure to begin it. Any other was rewritten, and
            // the header that says so is damaged.
            if empty {
                remove(files, first);
            }
            continue;
        }
        if empty && file_len <= SEGMENT_HEADER as u64 && !last {
            remove(files, first);
            continue;
        }
        segments.push(Arc::new(segment));
    }
    Ok(segments)
}

fn remove(files: &Files, first: u64) {
    // If this fails, the next open finds them again.
    let _ = files.io.remove(&segment_name(first));
    let _ = files.io.remove(&index_name(first));
}

fn open_segment(files: &Files, store: u64, first: u64, last: bool) -> Result<Found, OpenError> {
    let error = || OpenError::io("read a segment");
    let name = segment_name(first);
    let file = files.io.open(&name).map_err(error())?;
    let file_len = file.len().map_err(error())?;
    let bytes = read_range(&*file, 0, SEGMENT_HEADER).map_err(error())?;
    SegmentHeader::version(&bytes).check(&name)?;
    let header = SegmentHeader::decode(&bytes, files.seal)
        .filter(|header| header.first == first && header.store == store);
    let generation = header.map_or(0, |header| header.generation);
    let of = Of {
        first,
        segment_len: file_len,
        generation,
    };
    let saved = if last {
        None
    } else {
        index::read(&*files.io, &index_name(first), of, files.seal).map_err(error())?
    };
    let index = match saved {
        Some(index) => index,
        None => scan(&*file, file_len, first, files.seal).map_err(error())?,
    };
    if last {
        let header = header.is_none().then_some(SegmentHeader {
            store,
            first,
            end: 0,
            generation: 0,
        });
        let repaired = repair(files, &*file, file_len, &index, header);
        repaired.map_err(OpenError::io("repair the last segment"))?;
    }
    Ok(Found {
        segment: Segment::new(file, generation, index),
        file_len,
        replaces: header.map_or(0, |header| header.end),
    })
}

/// Cuts a segment back to its last good record, and writes its header if that was damaged.
fn repair(
    files: &Files,
    file: &dyn IoFile,
    file_len: u64,
    index: &Index,
    header: Option<SegmentHeader>,
) -> io::Result<()> {
    let good = index.file_end();
    if file_len > good {
        file.truncate(good)?;
    }
    if let Some(header) = header {
        write_all(file, &header.encode(files.seal), 0)?;
    }
    files.io.sync_dir()
}

/// Writes a segment's records again and syncs them. After an earlier sync failed, the system may
/// take records for written that are only in its memory.
fn write_back(segment: &Segment) -> io::Result<()> {
    let mut at = 0;
    while at < segment.len() {
        let bytes = segment.bytes(at, 1 << 20)?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all(&*segment.file, &bytes, at)?;
        at += bytes.len() as u64;
    }
    segment.file.sync_data()
}
