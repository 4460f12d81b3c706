//! [`Store`]: appends, syncs, leases seqs and closes.

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

/// A store that is open for writing. A directory has only one at a time.
///
/// All methods block while files are written. [`reader`](Store::reader) returns handles for other
/// threads, which do not wait for the writer. Dropping a store is an unclean end, as if the process
/// had been killed. [`close`](Store::close) is a clean end.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) meta: Meta,
    pub(crate) options: Options,
    ages: Ages,
    pub(crate) publishers: Table,
    /// The time of the newest event, or that of the open if it is earlier and nothing was appended
    /// since.
    pub(crate) last_time: u64,
    /// Seqs through here may be used.
    mark: u64,
    /// Whether something was written and not synced.
    dirty: bool,
    /// A buffer for records, reused for its memory.
    buf: Vec<u8>,
    /// Whether floors were raised since they were written.
    pub(crate) floors_changed: bool,
    /// Whether a closed segment may have no or few retained events.
    pub(crate) may_be_dead: bool,
    /// Segments that begin before this were checked for that.
    pub(crate) looked_through: u64,
    /// Floors that were raised since they were last taken.
    pub(crate) raised: Vec<(Topic, u64)>,
    /// Unlocks the directory when the store is dropped.
    lock: Box<dyn Lock>,
}

impl Store {
    /// Opens the store in `io`, or creates it if there is none.
    ///
    /// The last segment is cut back to its last good record. Nothing else is changed by damage:
    /// lost events are reported here and by reads.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if it is already open, [`OpenError::Newer`] if it has the format of a
    /// later version, [`OpenError::Meta`] if it is unknown which seqs were used.
    pub fn open(io: Arc<dyn Io>, options: Options) -> Result<(Self, Recovered), OpenError> {
        let (opened, recovered) = recover::open(io, options)?;
        Ok((Self::new(opened), recovered))
    }

    /// Opens the store in a directory of the system, which is created if it does not exist; see
    /// [`StdIo`].
    ///
    /// # Errors
    /// The errors of [`open`](Store::open).
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

    /// Returns a handle for reading. It stays usable after the store is closed or has failed.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Returns whether the store can take events.
    pub fn health(&self) -> Health {
        self.shared.health.lock().clone()
    }

    /// Returns the last seq that was appended or is lost. The next event must have a later one.
    pub fn head(&self) -> u64 {
        self.shared.state.read().known
    }

    /// Returns the seq up to which seqs may be used without another lease.
    pub fn reserved(&self) -> u64 {
        self.mark
    }

    /// Guarantees that no seq up to `upto` is ever assigned to another event. Such a seq must not
    /// be shown to anyone before that.
    ///
    /// It writes and syncs once for [`Options::lease`] seqs, and needs no room on the disk. Seqs
    /// that were reserved and not appended before an unclean end are a gap.
    ///
    /// # Errors
    /// Nothing was reserved. [`StoreError::Failed`] is final until the store is opened again.
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

    /// Writes entries to the operating system: all of them, or none if it fails.
    ///
    /// They are durable only after the next [`sync`](Store::sync). Seqs must rise from entry to
    /// entry and be above [`head`](Store::head); omitted seqs are reported as lost. Seqs that are
    /// not reserved are reserved first. A full segment is synced and the next one begun, even in
    /// the middle of the entries.
    ///
    /// # Errors
    /// [`StoreError::Full`] if there is no room: nothing remains, and the same append succeeds once
    /// there is room. [`StoreError::Entry`] for an invalid entry. [`StoreError::Failed`] is final
    /// until the store is opened again; it also says that the directory is gone.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.put(entries, false)
    }

    /// Does [`append`](Store::append) and [`sync`](Store::sync) in one step, which is cheaper.
    /// Readers see the events once they are durable.
    ///
    /// # Errors
    /// The errors of both.
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
        // Checked after an error too: this may be its cause, and then there is nothing to undo.
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

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// [`StoreError::Failed`], also of every later call that writes. After a failed sync the state
    /// of the disk is unknown, and a second sync would succeed without having written anything. A
    /// sync also fails if the directory is gone.
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

    /// Closes the store cleanly: the next open continues at the seq after `given_out` without a
    /// gap.
    ///
    /// `given_out` is the last seq that was shown to anyone, even if its event was never appended.
    /// Appended events count by themselves.
    ///
    /// # Errors
    /// The store may be as after an unclean end. Nothing that was synced is lost.
    pub fn close(mut self, given_out: u64) -> Result<(), StoreError> {
        self.sync()?;
        self.is_in_place()?;
        if self.floors_changed {
            // Without room for the floors, removed events that are still on the disk come back
            // once.
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

    /// Leases what an append through `upto` needs.
    fn lease(&mut self, upto: u64) -> Result<(), StoreError> {
        let state = self.meta.state();
        if self.options.lease > 0 {
            return self.reserve(upto);
        }
        if state.clean.is_some() {
            // From now on the end of the files says where to continue.
            self.write_meta(MetaState {
                clean: None,
                ..state
            })?;
        }
        Ok(())
    }

    /// Checks whether the store may write.
    pub(crate) fn usable(&self) -> Result<(), StoreError> {
        match &*self.shared.health.lock() {
            Health::Failed { reason } => Err(StoreError::Failed {
                reason: reason.clone(),
            }),
            Health::Good | Health::Full => Ok(()),
        }
    }

    /// Ends all writing after a failure.
    pub(crate) fn fail(&mut self, what: &str, error: &io::Error) -> StoreError {
        self.end(format!("{what} failed ({error})"))
    }

    /// Ends all writing, for this reason.
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

    /// Returns the window of keys that may still be looked up.
    pub(crate) fn keyed(&self) -> Window {
        let segments = self.shared.state.read().segments.clone();
        Window::new(&segments, &self.shared.files, &self.options, self.last_time)
    }

    /// Returns the same error, and reports a full disk by `health`.
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
