//! The file of an index.
//!
//! ```text
//! | prologue | first seq u64 | segment length u64 | generation u32 | records u32 | topics u32
//! | 0 u32 | length of slots u64 | end u64 | checksum of records and topics u32
//! | checksum of this header u32
//! | record | record ... | topic | topic ... | slots | slots ...
//!
//! record: | offset u32 | batch length u32 | keys length u32 | count u32
//!         | after u64 | first seq u64 | last seq u64 | first time u64 | last time u64
//! topic:  | name length u8 | name | count u32 | bytes u64 | first u32 | last u32
//!         | where its slots begin u32 | their length u32 | their checksum u32
//! slots:  for each event | seq step v | record step v | bytes v
//! ```
//!
//! `v` is a number of variable length. The steps of a topic's first event begin at 0. The checksum
//! of slots is checked when they are read, so reading one topic among many is cheap.

use super::Index;
use super::slots::{Slot, Slots, Stat, list};
use crate::format::{Fields, PROLOGUE, Prologue, Record, Seal, prologue, put_prologue, put_varint};
use crate::io::{Io, IoFile, read_full, read_range, replace};
use qsse_topic::{Topic, TopicMap};
use std::io;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"qsse.idx";
const HEADER: usize = PROLOGUE + 56;
const RECORD: usize = 56;

/// Identifies the segment that an index belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Of {
    pub(crate) first: u64,
    pub(crate) segment_len: u64,
    pub(crate) generation: u32,
}

/// Writes the index of a closed segment. It is not synced, because a lost index is rebuilt.
pub(crate) fn write(io: &dyn Io, name: &str, index: &Index, of: Of, seal: Seal) -> io::Result<()> {
    let Slots::Memory(lists) = &index.slots else {
        return Ok(());
    };
    let (mut body, mut slots) = (Vec::new(), Vec::new());
    for record in &index.records {
        put_record(&mut body, record);
    }
    let too_long = || io::Error::from(io::ErrorKind::FileTooLarge);
    for (topic, stat) in &index.topics {
        let begin = slots.len();
        put_slots(&mut slots, list(lists, stat));
        let block = slots.get(begin..).unwrap_or_default();
        let stat = Stat {
            at: u32::try_from(begin).map_err(|_| too_long())?,
            len: u32::try_from(block.len()).map_err(|_| too_long())?,
            sum: seal.sum(block),
            ..index.stat_of(stat)
        };
        put_topic(&mut body, topic, &stat);
    }
    let counts = [index.records.len(), index.topics.len()].map(u32::try_from);
    let [Ok(records), Ok(topics)] = counts else {
        return Err(too_long());
    };

    let mut out = Vec::with_capacity(HEADER + body.len() + slots.len());
    put_prologue(&mut out, MAGIC);
    out.extend_from_slice(&of.first.to_le_bytes());
    out.extend_from_slice(&of.segment_len.to_le_bytes());
    for number in [of.generation, records, topics, 0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&(slots.len() as u64).to_le_bytes());
    out.extend_from_slice(&index.end().to_le_bytes());
    out.extend_from_slice(&seal.sum(&body).to_le_bytes());
    let sum = seal.sum(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    debug_assert_eq!(out.len(), HEADER);
    out.extend_from_slice(&body);
    out.extend_from_slice(&slots);
    replace(io, name, &out, false)
}

/// Reads an index without its slots; `None` if it is damaged or of another segment.
pub(crate) fn read(io: &dyn Io, name: &str, of: Of, seal: Seal) -> io::Result<Option<Index>> {
    let file = match io.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result?,
    };
    let mut header = [0; HEADER];
    if read_full(&*file, &mut header, 0)? < HEADER {
        return Ok(None);
    }
    Ok(decode(&header, file, of, seal).transpose()?.flatten())
}

fn decode(
    header: &[u8; HEADER],
    file: Arc<dyn IoFile>,
    of: Of,
    seal: Seal,
) -> Option<io::Result<Option<Index>>> {
    let (checked, rest) = header.split_at(HEADER - 4);
    if prologue(header, MAGIC) != Prologue::Known || Fields::new(rest).u32()? != seal.sum(checked) {
        return None;
    }
    let mut fields = Fields::new(checked.get(PROLOGUE..)?);
    let (first, segment_len) = (fields.u64()?, fields.u64()?);
    let (generation, records, topics) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (_, slots_len) = (fields.u32()?, fields.u64()?);
    let (end, sum) = (fields.u64()?, fields.u32()?);
    let found = Of {
        first,
        segment_len,
        generation,
    };
    if found != of {
        return None;
    }
    let body = (|| {
        let body_len = file.len()?.checked_sub(HEADER as u64 + slots_len);
        let Some(body_len) = body_len.and_then(|len| usize::try_from(len).ok()) else {
            return Ok(Vec::new());
        };
        read_range(&*file, HEADER as u64, body_len)
    })();
    let body = match body {
        Ok(body) if seal.sum(&body) == sum => body,
        Ok(_) => return None,
        Err(error) => return Some(Err(error)),
    };
    let slots_at = u32::try_from(HEADER + body.len()).ok()?;
    let mut index = decode_body(&body, (records, topics), slots_at, of.first)?;
    index.mark(end, of.segment_len);
    Some(Ok(Some(Index {
        slots: Slots::File { file, seal },
        ..index
    })))
}

fn decode_body(
    body: &[u8],
    (records, topics): (u32, u32),
    slots_at: u32,
    first: u64,
) -> Option<Index> {
    let mut fields = Fields::new(body);
    if body.len() / RECORD < records as usize {
        return None;
    }
    let mut index = Index::new(first);
    for _ in 0..records {
        let record = read_record(&mut fields)?;
        let rising = index.end() <= record.after && record.after < record.first_seq;
        if !rising || record.first_seq > record.last_seq {
            return None;
        }
        index.events += u64::from(record.count);
        index.add(record, None, |_, _, _| {});
    }
    index.topics = TopicMap::new();
    for _ in 0..topics {
        let (topic, stat) = read_topic(&mut fields, slots_at)?;
        index.bytes += stat.bytes;
        index.topics.insert(topic, stat);
    }
    fields.is_empty().then_some(index)
}

fn put_record(out: &mut Vec<u8>, record: &Record) {
    out.extend_from_slice(&record.offset.to_le_bytes());
    record.put_fields(|bytes| out.extend_from_slice(bytes));
}

fn read_record(fields: &mut Fields<'_>) -> Option<Record> {
    let offset = fields.u32()?;
    Record::read_fields(fields, offset)
}

fn put_topic(out: &mut Vec<u8>, topic: &Topic, stat: &Stat) {
    let name = topic.as_str();
    // A topic has at most 255 bytes.
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&stat.count.to_le_bytes());
    out.extend_from_slice(&stat.bytes.to_le_bytes());
    for number in [stat.first, stat.last, stat.at, stat.len, stat.sum] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn read_topic(fields: &mut Fields<'_>, slots_at: u32) -> Option<(Topic, Stat)> {
    let [len] = fields.array()?;
    let name = std::str::from_utf8(fields.bytes(usize::from(len))?).ok()?;
    let topic = Topic::new(name).ok()?;
    let stat = Stat {
        count: fields.u32()?,
        bytes: fields.u64()?,
        first: fields.u32()?,
        last: fields.u32()?,
        at: fields.u32()?.checked_add(slots_at)?,
        len: fields.u32()?,
        sum: fields.u32()?,
    };
    Some((topic, stat))
}

fn put_slots(out: &mut Vec<u8>, list: &[Slot]) {
    let (mut seq, mut record) = (0, 0);
    for slot in list {
        put_varint(out, slot.seq - seq);
        put_varint(out, slot.record - record);
        put_varint(out, slot.bytes);
        (seq, record) = (slot.seq, slot.record);
    }
}
