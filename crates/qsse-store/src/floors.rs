//! The floors of topics, in a file that is replaced in one step. Every store has the file from the
//! beginning, so that a missing one is noticed.
//!
//! ```text
//! | prologue | missing u64 | begin u64 | topics u32 | topic | topic ... | checksum u32 |
//!
//! topic: | name length u8 | name | floor u64 |
//! ```

use crate::error::OpenError;
use crate::format::{Fields, PROLOGUE, Prologue, Seal, prologue, put_prologue};
use crate::io::{Io, read_file, replace};
use crate::state::Topics;
use qsse_topic::Topic;
use std::io;

const MAGIC: &[u8; 8] = b"qsse.flo";
pub(crate) const NAME: &str = "floors";
/// More than four million topics with the longest names.
const LIMIT: u64 = 1 << 30;

/// The contents of the file.
#[derive(Default)]
pub(crate) struct Floors {
    /// Events of any topic may be missing up to here.
    pub(crate) missing: u64,
    /// Segments up to here were removed.
    pub(crate) begin: u64,
    pub(crate) topics: Vec<(Topic, u64)>,
}

impl Floors {
    /// Returns the highest seq in the file. All seqs up to it were used.
    pub(crate) fn through(&self) -> u64 {
        let topics = self.topics.iter().map(|(_, floor)| *floor);
        topics.fold(self.missing.max(self.begin), u64::max)
    }
}

/// Reads the file; `None` if it is missing or damaged.
pub(crate) fn read(io: &dyn Io, seal: Seal) -> Result<Option<Floors>, OpenError> {
    let error = || OpenError::io("read which events were removed");
    let bytes = match io.open(NAME).and_then(|file| read_file(&*file, LIMIT)) {
        Ok(bytes) => bytes,
        Err(found) => {
            return match found.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData => Ok(None),
                _ => Err(error()(found)),
            };
        }
    };
    prologue(&bytes, MAGIC).check(NAME)?;
    Ok(decode(&bytes, seal))
}

/// Replaces the file and syncs it.
pub(crate) fn write(io: &dyn Io, topics: &Topics, seal: Seal) -> io::Result<()> {
    let mut out = Vec::new();
    put_prologue(&mut out, MAGIC);
    out.extend_from_slice(&topics.missing.to_le_bytes());
    out.extend_from_slice(&topics.begin.to_le_bytes());
    let floors = || topics.iter().filter(|(_, state)| state.floor > 0);
    let count = u32::try_from(floors().count());
    let count = count.map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    out.extend_from_slice(&count.to_le_bytes());
    for (topic, state) in floors() {
        // A topic has at most 255 bytes.
        out.push(topic.as_str().len() as u8);
        out.extend_from_slice(topic.as_str().as_bytes());
        out.extend_from_slice(&state.floor.to_le_bytes());
    }
    let sum = seal.sum(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    replace(io, NAME, &out, true)
}

fn decode(bytes: &[u8], seal: Seal) -> Option<Floors> {
    let (checked, sum) = bytes.split_last_chunk::<4>()?;
    let known = prologue(checked, MAGIC) == Prologue::Known;
    if !known || u32::from_le_bytes(*sum) != seal.sum(checked) {
        return None;
    }
    let mut fields = Fields::new(checked.get(PROLOGUE..)?);
    let mut floors = Floors {
        missing: fields.u64()?,
        begin: fields.u64()?,
        topics: Vec::new(),
    };
    for _ in 0..fields.u32()? {
        let [len] = fields.array()?;
        let name = std::str::from_utf8(fields.bytes(usize::from(len))?).ok()?;
        floors.topics.push((Topic::new(name).ok()?, fields.u64()?));
    }
    fields.is_empty().then_some(floors)
}
