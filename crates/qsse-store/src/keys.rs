//! The keys of publishes. They are in the records of their events. Before those are removed from
//! the disk, their keys are saved in a file that is replaced in one step.
//!
//! ```text
//! | prologue | keys u32 | key | key ... | checksum u32 |
//!
//! key: | seq u64 | time u64 | scope 16 | length u8 | key |
//! ```

use crate::entry::{PublishKey, read_keys};
use crate::error::{OpenError, StoreError};
use crate::format::{Fields, PROLOGUE, Prologue, Record, Seal, prologue, put_prologue};
use crate::io::{Io, read_file, replace};
use crate::options::Options;
use crate::segment::{Files, Segment};
use crate::since::seq_since;
use bytes::Bytes;
use qsse_proto::{Since, Timestamp};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"qsse.key";
pub(crate) const NAME: &str = "keys";
/// Ten million of the longest keys.
const LIMIT: u64 = 1 << 30;

/// A key with the seq and the time of its event.
pub(crate) type Keyed = (PublishKey, u64, Timestamp);

/// The dedup window: the times of the events whose keys may still be looked up.
pub(crate) struct Window {
    oldest: u64,
    newest: u64,
    /// The first of these events in a segment.
    from: u64,
}

impl Window {
    /// Returns the window that ends at `newest`, the time of the newest event.
    pub(crate) fn new(
        segments: &[Arc<Segment>],
        files: &Files,
        options: &Options,
        newest: u64,
    ) -> Self {
        let oldest = newest.saturating_sub(options.keys_age_micros());
        let [from, until] = [oldest, newest].map(Timestamp::from_micros);
        Self {
            oldest,
            newest,
            from: seq_since(segments, files, Since::new(from, until), u64::MAX),
        }
    }

    /// Returns whether a record may have keys of the window.
    pub(crate) fn has(&self, record: &Record) -> bool {
        record.has_keys() && record.last_seq >= self.from
    }

    /// Returns a time after all keys of a segment.
    pub(crate) fn after(&self, segment: &Segment) -> u64 {
        let latest = segment.times().map_or(0, |(_, latest)| latest.as_micros());
        latest.min(self.newest) + 1
    }

    /// Returns the time that counts for an event of a segment, even if the clock was wrong.
    fn time(&self, time: Timestamp) -> Timestamp {
        match (self.oldest..=self.newest).contains(&time.as_micros()) {
            true => time,
            false => Timestamp::from_micros(self.newest),
        }
    }
}

/// The newest keys of a store.
pub(crate) struct Newest {
    /// The keys in the order of their seqs. Of a key that occurs twice this has the newer one.
    pub(crate) keys: Vec<Keyed>,
    /// Whether the saved keys are undamaged.
    pub(crate) complete: bool,
}

/// Finds the newest keys of a store. `last_time` is the time of its newest event.
pub(crate) fn newest(
    segments: &[Arc<Segment>],
    files: &Files,
    options: &Options,
    last_time: u64,
) -> Result<Newest, OpenError> {
    let window = Window::new(segments, files, options, last_time);
    let mut newest: HashMap<PublishKey, (u64, Timestamp)> = HashMap::new();
    let mut add = |found: Vec<Keyed>| {
        for (key, seq, time) in found.into_iter().rev() {
            if newest.len() < options.max_keys {
                newest.entry(key).or_insert((seq, time));
            }
        }
        newest.len() < options.max_keys
    };
    let mut room = options.max_keys > 0;
    for segment in segments.iter().rev() {
        if !room || segment.end() < window.from {
            break;
        }
        let keyed = records(segment, files, &window);
        let keyed = keyed.map_err(OpenError::io("read an index"))?;
        for record in keyed.iter().rev() {
            let found = of_record(segment, record, files, &window);
            room = add(found.map_err(OpenError::io("read the newest keys"))?);
            if !room {
                break;
            }
        }
    }
    let removed = read(&*files.io, files.seal)?;
    let complete = removed.is_some();
    let mut removed = removed.unwrap_or_default();
    removed.retain(|(.., time)| time.as_micros() >= window.oldest);
    add(removed);
    let newest = newest.into_iter();
    let mut keys: Vec<_> = newest.map(|(key, (seq, time))| (key, seq, time)).collect();
    keys.sort_unstable_by_key(|(_, seq, _)| *seq);
    Ok(Newest { keys, complete })
}

/// Saves the keys of the window that are in a segment, before it is removed.
pub(crate) fn save(
    segment: &Arc<Segment>,
    files: &Files,
    options: &Options,
    window: &Window,
) -> Result<(), StoreError> {
    let mut keys = Vec::new();
    if options.max_keys > 0 && segment.end() >= window.from {
        let keyed = records(segment, files, window).map_err(StoreError::io("read an index"))?;
        for record in &keyed {
            let found = of_record(segment, record, files, window);
            keys.extend(found.map_err(StoreError::io("read the keys of what is removed"))?);
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    // If the file cannot be read, its keys are lost.
    let removed = read(&*files.io, files.seal).unwrap_or_default();
    let mut removed = removed.unwrap_or_default();
    removed.retain(|(.., time)| time.as_micros() >= window.oldest);
    removed.append(&mut keys);
    let surplus = removed.len().saturating_sub(options.max_keys);
    let bytes = encode(&removed[surplus..], files.seal);
    replace(&*files.io, NAME, &bytes, true)
        .map_err(StoreError::io("write the keys of what is removed"))
}

/// Returns the records that may have keys of the window.
fn records(segment: &Arc<Segment>, files: &Files, window: &Window) -> io::Result<Vec<Record>> {
    let asked = |record: &&Record| window.has(record);
    segment.index(files, |index| {
        index.records().iter().filter(asked).copied().collect()
    })
}

/// Returns the keys of the window in a record; none if it is damaged.
fn of_record(
    segment: &Arc<Segment>,
    record: &Record,
    files: &Files,
    window: &Window,
) -> io::Result<Vec<Keyed>> {
    let Some((Some(batch), keys)) = segment.whole(record, files.seal)? else {
        return Ok(Vec::new());
    };
    let keys = read_keys(&keys, record.first_seq).unwrap_or_default();
    let mut events = batch.iter();
    let mut found = Vec::with_capacity(keys.len());
    for (seq, key) in keys {
        if let Some(event) = events.find(|event| event.seq() >= seq)
            && event.seq() == seq
            && seq >= window.from
        {
            found.push((key, seq, window.time(event.time())));
        }
    }
    Ok(found)
}

/// Reads the file; `None` if it is damaged.
fn read(io: &dyn Io, seal: Seal) -> Result<Option<Vec<Keyed>>, OpenError> {
    let bytes = match io.open(NAME).and_then(|file| read_file(&*file, LIMIT)) {
        Ok(bytes) => bytes,
        Err(found) => {
            return match found.kind() {
                io::ErrorKind::NotFound => Ok(Some(Vec::new())),
                io::ErrorKind::InvalidData => Ok(None),
                _ => Err(OpenError::io("read the keys of what was removed")(found)),
            };
        }
    };
    prologue(&bytes, MAGIC).check(NAME)?;
    Ok(decode(&bytes, seal))
}

fn encode(keys: &[Keyed], seal: Seal) -> Vec<u8> {
    let mut out = Vec::new();
    put_prologue(&mut out, MAGIC);
    // Bounded by `max_keys` here, and by LIMIT when it is read.
    out.extend_from_slice(&(keys.len() as u32).to_le_bytes());
    for (key, seq, time) in keys {
        out.extend_from_slice(&seq.to_le_bytes());
        out.extend_from_slice(&time.as_micros().to_le_bytes());
        out.extend_from_slice(&key.scope);
        out.push(key.key.len() as u8);
        out.extend_from_slice(&key.key);
    }
    let sum = seal.sum(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn decode(bytes: &[u8], seal: Seal) -> Option<Vec<Keyed>> {
    let (checked, sum) = bytes.split_last_chunk::<4>()?;
    let known = prologue(checked, MAGIC) == Prologue::Known;
    if !known || u32::from_le_bytes(*sum) != seal.sum(checked) {
        return None;
    }
    let mut fields = Fields::new(checked.get(PROLOGUE..)?);
    let mut keys = Vec::new();
    for _ in 0..fields.u32()? {
        let (seq, time) = (fields.u64()?, Timestamp::from_micros(fields.u64()?));
        let scope = fields.array()?;
        let [len] = fields.array()?;
        let key = Bytes::copy_from_slice(fields.bytes(usize::from(len))?);
        keys.push((PublishKey { scope, key }, seq, time));
    }
    fields.is_empty().then_some(keys)
}
