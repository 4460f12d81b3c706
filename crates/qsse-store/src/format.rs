//! The format of the files.
//!
//! All numbers are little-endian. Every checksum is a CRC-32C that begins with the store's salt and
//! number, so that neither a file of another store nor a publisher's data can pass for a part of
//! this store. All files but the lock begin with a prologue that is the same in all versions:
//!
//! ```text
//! prologue: | magic 8 | version u32 | checksum of those, unsalted u32 |
//! ```
//!
//! # `SEQ.seg`: a segment
//! The name is the first seq that the segment may have, in 20 digits. Events are appended to the
//! last segment.
//! ```text
//! | prologue | store u64 | first seq u64 | end u64 | generation u32 | checksum u32 | record | ...
//! ```
//! `end` and `generation` are 0 until the segment is rewritten without its dead events. Then it
//! covers all seqs through `end`, and other segments that begin within it are left over.
//! ```text
//! record: | magic 4 | batch length u32 | keys length u32 | count u32
//!         | after u64 | first seq u64 | last seq u64 | first time u64 | last time u64
//!         | checksum of batch u32 | checksum of keys u32 | checksum of this header u32 | 0 u32 |
//!         | batch | keys and runs | zeros up to a multiple of 16
//! ```
//! The batch is a frame of `docs/protocol.md`, with the same bytes as on the wire. A record covers
//! all seqs in (after, last seq]: those without an event were removed on purpose. A seq that no
//! record covers is lost. A record of 0 events has no batch and covers only removed events.
//!
//! The length of the keys includes the runs of publishers. Its highest bit says that there are no
//! keys. See `entry.rs`.
//!
//! Records begin at multiples of 16, so that after damage the next one is found by its magic and
//! the checksum of its header. After the records of each append there is a mark, written together
//! with them:
//! ```text
//! mark: | magic 4 | through u64 | checksum u32 |
//! ```
//! It says that seqs through this one were appended. So they stay used, and are reported as lost,
//! if the records before the mark are damaged.
//!
//! # `SEQ.idx`: the index of a segment
//! Written when the segment is closed, and rebuilt if it is missing, damaged or of another length
//! or generation than its segment. See `index/file.rs`.
//!
//! # `meta.0`, `meta.1`: which seqs were used, and in which epochs
//! Two copies, overwritten in place and synced one after the other, so that one of them is always
//! good and no room is needed. See `meta.rs`.
//!
//! # `floors`: which events were removed
//! Replaced by renaming, before events are removed from the disk. See `floors.rs`.
//!
//! # `keys`: the keys of removed publishes
//! Replaced like `floors`, as long as the keys are in the dedup window. See `keys.rs`.
//!
//! # `publishers`: the last numbers of publishers
//! Replaced like `floors`, whenever a segment is begun. See `publishers.rs`.
//!
//! # `LOCK`
//! Locked while the store is open. It contains the purpose of the holder.

use crate::error::OpenError;
use crc32c::crc32c_append;
use qsse_proto::Timestamp;

/// The version of the format that is written. No other is read.
pub(crate) const VERSION: u32 = 2;

pub(crate) const PROLOGUE: usize = 16;
pub(crate) const SEGMENT_HEADER: usize = 48;
pub(crate) const RECORD_HEADER: usize = 72;
/// Records begin at multiples of this.
pub(crate) const ALIGN: usize = 16;

/// A bit in the length of a record's keys: there are only runs of publishers and no keys, so a
/// search for keys need not read it.
pub(crate) const ONLY_RUNS: u32 = 1 << 31;

const SEGMENT_MAGIC: &[u8; 8] = b"qsse.seg";
const RECORD_MAGIC: [u8; 4] = [0xe5, b'q', 0x1a, b'R'];
const MARK_MAGIC: [u8; 4] = [0xe5, b'q', 0x1a, b'M'];
/// The length of a mark.
pub(crate) const MARK: usize = ALIGN;

/// The salt of a store's checksums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal(u32);

impl Seal {
    pub(crate) fn new(store: u64, salt: u64) -> Self {
        let sum = crc32c_append(0, &salt.to_le_bytes());
        Self(crc32c_append(sum, &store.to_le_bytes()))
    }

    #[inline]
    pub(crate) fn sum(self, bytes: &[u8]) -> u32 {
        crc32c_append(self.0, bytes)
    }
}

/// What a prologue says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prologue {
    /// The file has the version that is read.
    Known,
    /// The file has another version.
    Other(u32),
    /// The bytes are not the prologue of such a file.
    Bad,
}

impl Prologue {
    /// Checks the version.
    ///
    /// # Errors
    /// The file has another version.
    pub(crate) fn check(self, file: &str) -> Result<(), OpenError> {
        let (file, known) = (file.to_owned(), VERSION);
        match self {
            Self::Other(found) if found > VERSION => Err(OpenError::Newer { file, found, known }),
            Self::Other(found) => Err(OpenError::Older { file, found, known }),
            Self::Known | Self::Bad => Ok(()),
        }
    }
}

pub(crate) fn put_prologue(out: &mut Vec<u8>, magic: &[u8; 8]) {
    put_prologue_of(out, magic, VERSION);
}

pub(crate) fn put_prologue_of(out: &mut Vec<u8>, magic: &[u8; 8], version: u32) {
    let begin = out.len();
    out.extend_from_slice(magic);
    out.extend_from_slice(&version.to_le_bytes());
    let sum = crc32c_append(0, &out[begin..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

pub(crate) fn prologue(bytes: &[u8], magic: &[u8; 8]) -> Prologue {
    let Some((checked, rest)) = bytes.split_at_checked(PROLOGUE - 4) else {
        return Prologue::Bad;
    };
    let (mut head, mut sum) = (Fields::new(checked), Fields::new(rest));
    let same = head.array() == Some(*magic) && sum.u32() == Some(crc32c_append(0, checked));
    match head.u32() {
        Some(VERSION) if same => Prologue::Known,
        Some(version) if same => Prologue::Other(version),
        _ => Prologue::Bad,
    }
}

/// The header of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The store's number.
    pub(crate) store: u64,
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) generation: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, seal: Seal) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        put_prologue(&mut out, SEGMENT_MAGIC);
        out.extend_from_slice(&self.store.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        let sum = seal.sum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        debug_assert_eq!(out.len(), SEGMENT_HEADER);
        out
    }

    /// Decodes a header; `None` if it is damaged.
    pub(crate) fn decode(bytes: &[u8], seal: Seal) -> Option<Self> {
        let (checked, rest) = bytes.split_at_checked(SEGMENT_HEADER - 4)?;
        if Fields::new(rest).u32()? != seal.sum(checked) {
            return None;
        }
        let mut fields = Fields::new(checked.get(PROLOGUE..)?);
        Some(Self {
            store: fields.u64()?,
            first: fields.u64()?,
            end: fields.u64()?,
            generation: fields.u32()?,
        })
    }

    pub(crate) fn version(bytes: &[u8]) -> Prologue {
        prologue(bytes, SEGMENT_MAGIC)
    }
}

/// Writes a mark after an append through `seq`, at `offset` of the segment that begins with
/// `first`.
pub(crate) fn put_mark(out: &mut Vec<u8>, seq: u64, (first, offset): (u64, u32), seal: Seal) {
    out.extend_from_slice(&MARK_MAGIC);
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&mark_sum(seq, (first, offset), seal).to_le_bytes());
}

/// Returns the seq of the mark at the front of `bytes`; `None` if there is none.
pub(crate) fn mark(bytes: &[u8], location: (u64, u32), seal: Seal) -> Option<u64> {
    let mut fields = Fields::new(bytes);
    let (magic, seq, sum) = (fields.array()?, fields.u64()?, fields.u32()?);
    (magic == MARK_MAGIC && sum == mark_sum(seq, location, seal)).then_some(seq)
}

fn mark_sum(seq: u64, (first, offset): (u64, u32), seal: Seal) -> u32 {
    let mut bytes = MARK_MAGIC.to_vec();
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&offset.to_le_bytes());
    seal.sum(&bytes)
}

/// A record without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where the record begins in its segment.
    pub(crate) offset: u32,
    pub(crate) batch_len: u32,
    /// The length of keys and runs, with [`ONLY_RUNS`] if there are no keys.
    pub(crate) keys_len: u32,
    pub(crate) count: u32,
    pub(crate) after: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) first_time: u64,
    pub(crate) last_time: u64,
}

/// The checksums of a record's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) batch: u32,
    pub(crate) keys: u32,
}

impl Record {
    /// Returns the length in the file, with header and padding.
    pub(crate) fn len(&self) -> u64 {
        let body = u64::from(self.batch_len) + u64::from(self.tail_len());
        (RECORD_HEADER as u64 + body).next_multiple_of(ALIGN as u64)
    }

    /// Returns the earliest and the latest time of the events.
    pub(crate) fn times(&self) -> (Timestamp, Timestamp) {
        [self.first_time, self.last_time]
            .map(Timestamp::from_micros)
            .into()
    }

    /// Returns the length of keys and runs.
    pub(crate) fn tail_len(&self) -> u32 {
        self.keys_len & !ONLY_RUNS
    }

    /// Returns whether there are keys.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys_len > 0 && self.keys_len & ONLY_RUNS == 0
    }

    /// Returns where the next record begins.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.offset) + self.len()
    }

    pub(crate) fn encode_header(&self, sums: Sums, seal: Seal) -> [u8; RECORD_HEADER] {
        let mut out = [0; RECORD_HEADER];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&RECORD_MAGIC);
        self.put_fields(&mut put);
        put(&sums.batch.to_le_bytes());
        put(&sums.keys.to_le_bytes());
        let sum = seal.sum(&out[..RECORD_HEADER - 8]);
        out[RECORD_HEADER - 8..RECORD_HEADER - 4].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Writes all fields but the offset, as in a header and in an index.
    pub(crate) fn put_fields(&self, mut put: impl FnMut(&[u8])) {
        for number in [self.batch_len, self.keys_len, self.count] {
            put(&number.to_le_bytes());
        }
        let seqs = [self.after, self.first_seq, self.last_seq];
        for number in seqs.into_iter().chain([self.first_time, self.last_time]) {
            put(&number.to_le_bytes());
        }
    }

    /// Reads what [`put_fields`](Self::put_fields) wrote.
    pub(crate) fn read_fields(fields: &mut Fields<'_>, offset: u32) -> Option<Self> {
        Some(Self {
            offset,
            batch_len: fields.u32()?,
            keys_len: fields.u32()?,
            count: fields.u32()?,
            after: fields.u64()?,
            first_seq: fields.u64()?,
            last_seq: fields.u64()?,
            first_time: fields.u64()?,
            last_time: fields.u64()?,
        })
    }

    /// Decodes the header at the front of `bytes`, which are at `offset`; `None` if there is none.
    pub(crate) fn decode_header(bytes: &[u8], offset: u32, seal: Seal) -> Option<(Self, Sums)> {
        let header: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
        if header[..4] != RECORD_MAGIC {
            return None;
        }
        let (checked, rest) = header.split_at(RECORD_HEADER - 8);
        let mut rest = Fields::new(rest);
        if rest.u32()? != seal.sum(checked) || rest.u32()? != 0 {
            return None;
        }
        let mut fields = Fields::new(&checked[4..]);
        let record = Self::read_fields(&mut fields, offset)?;
        let sums = Sums {
            batch: fields.u32()?,
            keys: fields.u32()?,
        };
        let sane = record.after < record.first_seq && record.first_seq <= record.last_seq;
        let whole = (record.count == 0) == (record.batch_len == 0);
        (sane && whole).then_some((record, sums))
    }
}

/// Reads fields from bytes that need not be valid.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a number of variable length: seven bits in each byte, the low ones first.
    pub(crate) fn varint(&mut self) -> Option<u32> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).ok();
            }
        }
        None
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
