//! The writer: appending, syncing, leasing seqs and closing.

mod in_place;
mod part;
mod retain;
mod write;

use crate::entry::Entry;
use crate::error::{Health, OpenError, StoreError};
use crate::floors;
use crate::io::{Io, Lock, StdIo};
use crate::keys::Window;
use crate::meta::{Meta, State as MetaState, WriteError};
use crate::options::Options;
use crate::publishers::Table;
use crate::read::Reader;
use crate::recover::{self, Opened, Recovered};
use crate::state::Shared;
use qsse_topic::Topic;
use std::io;
use std::path::Path;
use std::sync::Arc;

use retain::Ages;
pub use retain::Trimmed;

/// A store that is open for writing. There is one at a time of a directory.
///
/// All its methods block while files are written; [`reader`](Store::reader) gives handles for
/// other threads, which do not wait for it. Dropping it is an unclean end, as of a process that was
/// killed; [`close`](Store::close) is a clean one.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) meta: Meta,
    pub(crate) options: Options,
    ages: Ages,
    pub(crate) publishers: Table,
    /// The time of the newest event, or that of the open where it is earlier and nothing was appended since.
    pub(crate) last_time: u64,
    /// Seqs through here may be given out.
    mark: u64,
    /// Something was written that was not synced.
    dirty: bool,
    /// Records on their way to the file, kept for its memory.
    buf: Vec<u8>,
    /// Floors were raised since they were written.
    pub(crate) floors_changed: bool,
    /// A closed segment may have nothing left, or little.
    pub(crate) may_be_dead: bool,
    /// Segments that begin before this were looked at for that.
    pub(crate) looked_through: u64,
    /// Floors that the last call of `retain` raised.
    pub(crate) raised: Vec<(Topic, u64)>,
    /// Given back when the store is dropped.
    lock: Box<dyn Lock>,
}

impl Store {
    /// Opens the store in `io`, or makes it if there is none.
    ///
    /// The end of the last segment is cut back to its last good record. Nothing else is changed
    /// by damage: what is lost is told, here and by reads.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if it is open already, [`OpenError::Newer`] if it was written by a
    /// later version, [`OpenError::Meta`] if nobody knows which seqs were given out.
    pub fn open(io: Arc<dyn Io>, options: Options) -> Result<(Self, Recovered), OpenError> {
        let (opened, recovered) = recover::open(io, options)?;
        Ok((Self::new(opened), recovered))
    }

    /// Opens the store in a directory of the system, which is made if there is none; see [`StdIo`].
    ///
    /// # Errors
    /// Those of [`open`](Store::open).
    pub fn open_dir(
        path: impl AsRef<Path>,
        options: Options,
    ) -> Result<(Self, Recovered), OpenError> {
        let io = StdIo::new(path.as_ref()).map_err(OpenError::io("make its directory"))?;
        Self::open(Arc::new(io), options)
    }

    fn new(opened: Opened) -> Self {
        Self {
            shared: opened.shared,
            meta: opened.meta,
            options: opened.options,
            ages: Ages::new(opened.last_time, opened.known),
            publishers: opened.publishers,
            last_time: opened.last_time,
            mark: opened.known,
            dirty: false,
            buf: Vec::new(),
            floors_changed: false,
            may_be_dead: true,
            looked_through: 0,
            raised: Vec::new(),
            lock: opened.lock,
        }
    }

    /// A handle for reading. It stays of use when the store is closed or fails.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Whether it can take events.
    pub fn health(&self) -> Health {
        self.shared.health.lock().clone()
    }

    /// The last seq that was appended or is lost: the next event must have a later one.
    pub fn head(&self) -> u64 {
        self.shared.state.read().known
    }

    /// Seqs up to here may be given out without asking again.
    pub fn reserved(&self) -> u64 {
        self.mark
    }

    /// Makes sure that no seq up to `upto` is ever given to another event, whatever happens from
    /// now on: only after this may such a seq be told to anyone.
    ///
    /// It writes, and syncs, once in [`Options::lease`] seqs, and needs no room on the disk. What was
    /// reserved and not appended when the store ends uncleanly is a gap for good.
    ///
    /// # Errors
    /// Nothing was reserved then. [`StoreError::Failed`] stays until the store is opened anew.
    pub fn reserve(&mut self, upto: u64) -> Result<(), StoreError> {
        self.usable()?;
        if upto <= self.mark && self.meta.state().clean.is_none() {
            return Ok(());
        }
        let mark = upto.max(self.mark).saturating_add(self.options.lease);
        let state = MetaState {
            mark,
            clean: None,
            ..self.meta.state()
        };
        self.write_meta(state)?;
        self.mark = mark;
        Ok(())
    }

    /// Writes entries to the operating system: all of them or, after an error, none.
    ///
    /// They last only after the next [`sync`](Store::sync). Seqs must rise from entry to entry and be above
    /// [`head`](Store::head); ones left out are told as lost. It reserves what was not reserved. When
    /// a segment is full it is synced and the next one begun, also in the middle of the entries.
    ///
    /// # Errors
    /// [`StoreError::Full`] without room: nothing remains, and the same append succeeds when there is
    /// some. [`StoreError::Entry`] for what may not be appended. [`StoreError::Failed`] stays until
    /// the store is opened anew; it also says that the directory is no longer there.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.put(entries, false)
    }

    /// [`append`](Store::append) and [`sync`](Store::sync) in one step, for less than both: readers see the events once they last.
    ///
    /// # Errors
    /// Those of both.
    pub fn append_synced(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.put(entries, true)
    }

    fn put(&mut self, entries: &[Entry], sync: bool) -> Result<(), StoreError> {
        self.usable()?;
        let Some(last) = entries.last() else {
            return Ok(());
        };
        self.check(entries)?;
        self.lease(last.batch.last_seq())?;
        let mut parts = Vec::new();
        let mut written = self.write_parts(entries, &mut parts);
        if sync && let (Ok(()), Some(part)) = (&written, parts.last()) {
            let synced = part.segment.file.sync_data();
            written = synced.map_err(|error| self.fail("a sync", &error));
        }
        // Asked after an error too: this may be what is behind it, and then there is nothing to take back.
        self.still_there(&parts.iter().map(|part| &part.segment).collect::<Vec<_>>())?;
        if let Err(error) = written {
            return Err(self.take_back(parts, error));
        }
        self.dirty = !sync;
        self.show(parts);
        for entry in entries {
            self.last_time = entry.batch.last_time().as_micros();
            self.publishers.take(&entry.runs, self.last_time);
        }
        *self.shared.health.lock() = Health::Good;
        Ok(())
    }

    /// Makes everything appended last.
    ///
    /// # Errors
    /// [`StoreError::Failed`], and from then on for every call that writes: after a failed sync
    /// nobody knows what is on the disk, and a second one would succeed without having written it. A sync of a directory that is no
    /// longer there fails too.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.usable()?;
        if !self.dirty {
            return Ok(());
        }
        let active = self.shared.state.read().active().cloned();
        if let Some(segment) = active
            && let Err(error) = segment.file.sync_data()
        {
            return Err(self.fail("a sync", &error));
        }
        self.is_in_place()?;
        self.dirty = false;
        Ok(())
    }

    /// Ends cleanly: the next open goes on at the seq after `given_out` without a gap.
    ///
    /// `given_out` is the last seq that anyone was told, also if its event was never appended; what
    /// was appended counts by itself.
    ///
    /// # Errors
    /// The store may then be as after an unclean end, with nothing lost that was synced.
    pub fn close(mut self, given_out: u64) -> Result<(), StoreError> {
        self.sync()?;
        self.is_in_place()?;
        if self.floors_changed {
            // Without room for them, what was removed but is still on the disk comes back once.
            let state = self.shared.state.read();
            let _ = floors::write(
                &*self.shared.files.io,
                &state.topics,
                self.shared.files.seal,
            );
        }
        let head = self.head().max(given_out);
        let state = MetaState {
            mark: self.meta.state().mark.max(head),
            clean: Some(head),
            ..self.meta.state()
        };
        self.write_meta(state)
    }

    /// What has to be leased for an append through `upto`.
    fn lease(&mut self, upto: u64) -> Result<(), StoreError> {
        let state = self.meta.state();
        if self.options.lease > 0 {
            return self.reserve(upto);
        }
        if state.clean.is_some() {
            // From now on the end of the files is where it goes on.
            self.write_meta(MetaState {
                clean: None,
                ..state
            })?;
        }
        Ok(())
    }

    /// An error if nothing may be written any more.
    pub(crate) fn usable(&self) -> Result<(), StoreError> {
        match &*self.shared.health.lock() {
            Health::Failed { reason } => Err(StoreError::Failed {
                reason: reason.clone(),
            }),
            Health::Good | Health::Full => Ok(()),
        }
    }

    /// Nothing is written from now on.
    pub(crate) fn fail(&mut self, what: &str, error: &io::Error) -> StoreError {
        self.end(format!("{what} failed ({error})"))
    }

    /// Nothing is written from now on, for this reason.
    fn end(&mut self, reason: String) -> StoreError {
        *self.shared.health.lock() = Health::Failed {
            reason: reason.clone(),
        };
        StoreError::Failed { reason }
    }

    pub(crate) fn write_meta(&mut self, state: MetaState) -> Result<(), StoreError> {
        match self.meta.write(state) {
            Ok(()) => Ok(()),
            Err(WriteError::Write(error)) => {
                Err(self.noted(StoreError::io("note which seqs are given out")(error)))
            }
            Err(WriteError::Sync(error)) => Err(self.fail("a sync of the meta file", &error)),
        }
    }

    /// The keys that may still be asked for.
    pub(crate) fn keyed(&self) -> Window {
        let segments = self.shared.state.read().segments.clone();
        Window::new(&segments, &self.shared.files, &self.options, self.last_time)
    }

    /// The same error, told by `health` too if the disk is full.
    fn noted(&self, error: StoreError) -> StoreError {
        if matches!(error, StoreError::Full { .. }) {
            *self.shared.health.lock() = Health::Full;
        }
        error
    }

    fn check(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut before = self.head();
        for entry in entries {
            entry.check()?;
            if entry.batch.first_seq() <= before {
                let what = "its seqs are not above those that were given out before";
                return Err(StoreError::Entry { what });
            }
            before = entry.batch.last_seq();
        }
        let first = entries.first().map_or(0, |entry| entry.batch.first_seq());
        if before - first > u64::from(u32::MAX) / 2 {
            let what = "the seqs of one append are too far apart";
            return Err(StoreError::Entry { what });
        }
        Ok(())
    }
}
