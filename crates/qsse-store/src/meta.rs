//! Which seqs were given out: two small files that are written over in place.
//!
//! ```text
//! | prologue | epoch u64 | salt u64 | number u64 | mark u64 | clean head u64
//! | missing u64 | keys from u64 | clean u32 | checksum u32
//! ```
//!
//! Each change is written and synced in both, one after the other, before it counts. So one may be
//! torn or rot without harm, and the newer of two good ones says no less than what counted.

use crate::error::OpenError;
use crate::format::{Fields, PROLOGUE, Prologue, VERSION, prologue, put_prologue};
use crate::io::{Io, IoFile, read_file, write_all};
use crc32c::crc32c;
use qsse_proto::Epoch;
use std::io;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"qsse.met";
pub(crate) const NAMES: [&str; 2] = ["meta.0", "meta.1"];
const CHECKED: usize = PROLOGUE + 7 * 8 + 4;

/// What the files say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) salt: u64,
    /// Grows with each change.
    pub(crate) number: u64,
    /// Seqs up to here may have been given out.
    pub(crate) mark: u64,
    /// After a clean end: the last seq that was.
    pub(crate) clean: Option<u64>,
    /// Events of any topic may have been removed up to here: for when there is no room for floors.
    pub(crate) missing: u64,
    /// Keys of events before this time may have been removed: for when there is no room for them.
    pub(crate) keys_from: u64,
}

/// The two files.
pub(crate) struct Meta {
    /// In the order of writing: one that is damaged comes first, while the other still stands.
    files: [Arc<dyn IoFile>; 2],
    state: State,
}

/// Why a change does not count.
pub(crate) enum WriteError {
    /// It was not written, and may be tried again.
    Write(io::Error),
    /// Nobody knows what is on the disk.
    Sync(io::Error),
}

impl Meta {
    /// The files of the directory; `None` if there is no good one.
    pub(crate) fn open(io: &dyn Io) -> Result<Option<Self>, OpenError> {
        let error = || OpenError::io("read its meta files");
        let mut best: Option<State> = None;
        let mut best_is_first = false;
        for (place, name) in NAMES.into_iter().enumerate() {
            let file = match io.open(name) {
                Ok(file) => file,
                Err(found) if found.kind() == io::ErrorKind::NotFound => continue,
                Err(found) => return Err(error()(found)),
            };
            let bytes = match read_file(&*file, 1 << 16) {
                Ok(bytes) => bytes,
                Err(found) if found.kind() == io::ErrorKind::InvalidData => continue,
                Err(found) => return Err(error()(found)),
            };
            if let Prologue::Newer(found) = prologue(&bytes, MAGIC) {
                let (file, known) = (name.to_owned(), VERSION);
                return Err(OpenError::Newer { file, found, known });
            }
            let state = decode(&bytes);
            if state.map(|state| state.number) > best.map(|state| state.number) {
                best = state;
                best_is_first = place == 0;
            }
        }
        let Some(state) = best else {
            return Ok(None);
        };
        let mut files = open_both(io).map_err(error())?;
        if best_is_first {
            files.swap(0, 1);
        }
        Ok(Some(Self { files, state }))
    }

    /// Makes the files of a new store.
    pub(crate) fn create(io: &dyn Io, epoch: Epoch, salt: u64) -> Result<Self, OpenError> {
        let error = || OpenError::io("make its meta files");
        let state = State {
            epoch,
            salt,
            number: 0,
            mark: 0,
            clean: Some(0),
            missing: 0,
            keys_from: 0,
        };
        let files = open_both(io).map_err(error())?;
        let mut meta = Self { files, state };
        match meta.write(state) {
            Ok(()) => {}
            Err(WriteError::Write(found) | WriteError::Sync(found)) => return Err(error()(found)),
        }
        io.sync_dir().map_err(error())?;
        Ok(meta)
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Makes a change last, in both files.
    pub(crate) fn write(&mut self, state: State) -> Result<(), WriteError> {
        let number = self.state.number + 1;
        let state = State { number, ..state };
        // A number is used once, also if writing it fails half way.
        self.state.number = number;
        let bytes = encode(&state);
        for file in &self.files {
            write_all(&**file, &bytes, 0).map_err(WriteError::Write)?;
            file.sync_data().map_err(WriteError::Sync)?;
        }
        self.state = state;
        Ok(())
    }
}

fn open_both(io: &dyn Io) -> io::Result<[Arc<dyn IoFile>; 2]> {
    let [first, second] = NAMES.map(|name| match io.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => io.create(name),
        result => result,
    });
    Ok([first?, second?])
}

fn encode(state: &State) -> Vec<u8> {
    let mut out = Vec::with_capacity(CHECKED + 4);
    put_prologue(&mut out, MAGIC);
    let head = state.clean.unwrap_or_default();
    let marks = [
        state.number,
        state.mark,
        head,
        state.missing,
        state.keys_from,
    ];
    for number in [state.epoch.get(), state.salt].into_iter().chain(marks) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&u32::from(state.clean.is_some()).to_le_bytes());
    let sum = crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<State> {
    let (checked, rest) = bytes.split_at_checked(CHECKED)?;
    if prologue(bytes, MAGIC) != Prologue::Known || Fields::new(rest).u32()? != crc32c(checked) {
        return None;
    }
    let mut fields = Fields::new(checked.get(PROLOGUE..)?);
    let (epoch, salt) = (Epoch::new(fields.u64()?), fields.u64()?);
    let (number, mark, head) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (missing, keys_from) = (fields.u64()?, fields.u64()?);
    let clean = (fields.u32()? == 1).then_some(head);
    Some(State {
        epoch,
        salt,
        number,
        mark,
        clean,
        missing,
        keys_from,
    })
}
