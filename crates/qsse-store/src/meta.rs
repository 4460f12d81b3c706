//! The used seqs and their epochs, in two files that are overwritten in place.
//!
//! ```text
//! | prologue | store u64 | salt u64 | number u64 | mark u64 | clean head u64
//! | missing u64 | keys from u64 | clean u32 | epochs u32 | epoch | epoch ... | checksum u32
//!
//! epoch: | epoch u64 | first seq u64 |
//! ```
//!
//! `store` is a number that is chosen when the store is created. Each open adds an epoch. Its first
//! seq is the one after all that may have been used before. The files have room for the most epochs
//! from the beginning, so that a store can be opened on a full disk.
//!
//! A change counts only after it was written and synced in both files, one after the other. So
//! either file may be torn or decay, and the newer good one has everything that counts.

use crate::error::OpenError;
use crate::format::{Fields, PROLOGUE, Prologue, prologue, put_prologue};
use crate::io::{Io, IoFile, Lock, Lost, read_file, write_all};
use crc32c::crc32c;
use qsse_proto::Epoch;
use std::io;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"qsse.met";
const NAMES: [&str; 2] = ["meta.0", "meta.1"];
/// The length of the fields before the epochs.
const FIXED: usize = PROLOGUE + 7 * 8 + 2 * 4;
const EPOCH: usize = 16;
/// The most epochs that a store remembers.
const MAX_EPOCHS: usize = 1_024;
/// The length of a file with room for the most epochs.
const ROOM: usize = FIXED + MAX_EPOCHS * EPOCH + 4;

/// The epochs of a store, each with the first seq that an event of it may have, in order.
pub(crate) type Epochs = Arc<[(Epoch, u64)]>;

/// The contents of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The number that was chosen when the store was created.
    pub(crate) store: u64,
    pub(crate) salt: u64,
    /// Rises with each change.
    pub(crate) number: u64,
    /// Seqs up to here may have been used.
    pub(crate) mark: u64,
    /// The last used seq, after a clean end.
    pub(crate) clean: Option<u64>,
    /// Events of any topic may have been removed up to here. Used if there is no room for the
    /// floors.
    pub(crate) missing: u64,
    /// Keys of events before this time may have been removed. Used if there is no room for them.
    pub(crate) keys_from: u64,
    pub(crate) epochs: Epochs,
}

impl State {
    /// Adds an epoch for the seqs from `first` on. If the store already has it, the next free
    /// number is used.
    pub(crate) fn begin_epoch(&self, mut epoch: Epoch, first: u64) -> Self {
        let mut epochs = self.epochs.to_vec();
        while epochs.iter().any(|(known, _)| *known == epoch) {
            epoch = Epoch::new(epoch.get().wrapping_add(1).max(1));
        }
        while epochs.len() >= MAX_EPOCHS {
            let without_events = epochs.windows(2).position(|pair| pair[0].1 == pair[1].1);
            epochs.remove(without_events.unwrap_or(0));
        }
        epochs.push((epoch, first));
        let epochs = epochs.into();
        Self {
            epochs,
            ..self.clone()
        }
    }
}

/// A file and its name.
type Named = (&'static str, Arc<dyn IoFile>);

/// The two meta files.
pub(crate) struct Meta {
    /// In the order in which they are written: a damaged file first, while the other one is good.
    files: [Named; 2],
    state: State,
}

/// Why a change does not count.
pub(crate) enum WriteError {
    /// It was not written and may be retried.
    Write(io::Error),
    /// The state of the disk is unknown.
    Sync(io::Error),
}

impl Meta {
    /// Opens the files of the directory; `None` if no good one exists.
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
            let bytes = match read_file(&*file, 2 * ROOM as u64) {
                Ok(bytes) => bytes,
                Err(found) if found.kind() == io::ErrorKind::InvalidData => continue,
                Err(found) => return Err(error()(found)),
            };
            prologue(&bytes, MAGIC).check(name)?;
            let state = decode(&bytes);
            let number = |state: &Option<State>| state.as_ref().map(|state| state.number);
            if number(&state) > number(&best) {
                best = state;
                best_is_first = place == 0;
            }
        }
        let Some(state) = best else {
            return Ok(None);
        };
        let mut files = open_both(io).map_err(error())?;
        for (_, file) in &files {
            // If there is no room now, there may be some when it is needed.
            let _ = make_room(&**file);
        }
        if best_is_first {
            files.swap(0, 1);
        }
        Ok(Some(Self { files, state }))
    }

    /// Creates the files of a new store.
    pub(crate) fn create(io: &dyn Io, store: u64, salt: u64) -> Result<Self, OpenError> {
        let error = || OpenError::io("make its meta files");
        let state = State {
            store,
            salt,
            number: 0,
            mark: 0,
            clean: Some(0),
            missing: 0,
            keys_from: 0,
            epochs: [].into(),
        };
        let files = open_both(io).map_err(error())?;
        for (_, file) in &files {
            make_room(&**file).map_err(error())?;
        }
        let mut meta = Self {
            files,
            state: state.clone(),
        };
        match meta.write(state) {
            Ok(()) => {}
            Err(WriteError::Write(found) | WriteError::Sync(found)) => return Err(error()(found)),
        }
        io.sync_dir().map_err(error())?;
        Ok(meta)
    }

    pub(crate) fn state(&self) -> State {
        self.state.clone()
    }

    /// Returns whether both files were removed or replaced. One is enough to open the store.
    pub(crate) fn lost(&self, lock: &dyn Lock) -> Option<Lost> {
        let gone = |(name, file): &Named| lock.is_lost(name, &**file);
        let lost = self.files.iter().all(gone);
        lost.then(|| Lost::File {
            name: NAMES[0].to_owned(),
        })
    }

    /// Writes a change to both files.
    pub(crate) fn write(&mut self, state: State) -> Result<(), WriteError> {
        let number = self.state.number + 1;
        let state = State { number, ..state };
        // A number is used once, even if writing it fails halfway.
        self.state.number = number;
        let bytes = encode(&state);
        for (_, file) in &self.files {
            write_all(&**file, &bytes, 0).map_err(WriteError::Write)?;
            file.sync_data().map_err(WriteError::Sync)?;
        }
        self.state = state;
        Ok(())
    }
}

fn open_both(io: &dyn Io) -> io::Result<[Named; 2]> {
    let [first, second] = NAMES.map(|name| {
        let file = match io.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => io.create(name),
            result => result,
        };
        file.map(|file| (name, file))
    });
    Ok([first?, second?])
}

/// Makes a file as long as possible, up to its greatest length.
fn make_room(file: &dyn IoFile) -> io::Result<()> {
    let len = file.len()?;
    let missing = (ROOM as u64).saturating_sub(len);
    write_all(file, &vec![0; missing as usize], len)
}

fn encode(state: &State) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + state.epochs.len() * EPOCH + 4);
    put_prologue(&mut out, MAGIC);
    let head = state.clean.unwrap_or_default();
    let marks = [
        state.number,
        state.mark,
        head,
        state.missing,
        state.keys_from,
    ];
    for number in [state.store, state.salt].into_iter().chain(marks) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&u32::from(state.clean.is_some()).to_le_bytes());
    // At most MAX_EPOCHS.
    out.extend_from_slice(&(state.epochs.len() as u32).to_le_bytes());
    for (epoch, first) in state.epochs.iter() {
        out.extend_from_slice(&epoch.get().to_le_bytes());
        out.extend_from_slice(&first.to_le_bytes());
    }
    let sum = crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<State> {
    if prologue(bytes, MAGIC) != Prologue::Known {
        return None;
    }
    let (fixed, rest) = bytes.split_at_checked(FIXED)?;
    let mut fields = Fields::new(fixed.get(PROLOGUE..)?);
    let (store, salt) = (fields.u64()?, fields.u64()?);
    let (number, mark, head) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (missing, keys_from) = (fields.u64()?, fields.u64()?);
    let clean = (fields.u32()? == 1).then_some(head);
    let count = usize::try_from(fields.u32()?).ok()?;
    let list = rest.get(..count.checked_mul(EPOCH)?)?;
    let (checked, rest) = bytes.split_at_checked(FIXED + list.len())?;
    if Fields::new(rest).u32()? != crc32c(checked) {
        return None;
    }
    let mut fields = Fields::new(list);
    let mut epochs = Vec::with_capacity(count);
    for _ in 0..count {
        epochs.push((Epoch::new(fields.u64()?), fields.u64()?));
    }
    let epochs = epochs.into();
    Some(State {
        store,
        salt,
        number,
        mark,
        clean,
        missing,
        keys_from,
        epochs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            store: 3,
            salt: 4,
            number: 5,
            mark: 6,
            clean: None,
            missing: 0,
            keys_from: 0,
            epochs: [].into(),
        }
    }

    #[test]
    fn an_epoch_that_the_store_had_is_counted_up() {
        let (one, two) = (Epoch::new(1), Epoch::new(2));
        let twice = state().begin_epoch(one, 1).begin_epoch(one, 9);
        assert_eq!(*twice.epochs, [(one, 1), (two, 9)]);
        assert_eq!(decode(&encode(&twice)), Some(twice));
    }

    #[test]
    fn of_too_many_epochs_those_without_events_go_first() {
        let (mut full, most) = (state(), MAX_EPOCHS as u64);
        // Number 7 has no event, because number 8 begins at the same seq.
        for number in 0..most {
            let first = if number < 8 { number } else { number - 1 };
            full = full.begin_epoch(Epoch::new(100 + number), first);
        }
        assert_eq!(encode(&full).len(), ROOM);
        let next = full.begin_epoch(Epoch::new(1), 9_000);
        let gone =
            |state: &State, number| !state.epochs.iter().any(|(epoch, _)| epoch.get() == number);
        assert!(gone(&next, 107) && !gone(&next, 100));
        let next = next.begin_epoch(Epoch::new(2), 9_001);
        assert!(gone(&next, 100) && !gone(&next, 101));
        assert_eq!(decode(&encode(&next)), Some(next));
    }
}
