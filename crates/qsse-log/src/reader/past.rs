//! What a reader gets from the history.

use qsse_proto::batch::Batch;
use qsse_proto::stream::GapReason;

use super::{FEW_BYTES, MANY_EVENTS, Reader, Step, gap, unreadable};
use crate::event::is_large;
use crate::history::Read;
use crate::shared::stored_floor;
use crate::state::State;
use crate::storage::StorageError;

/// The next events in the history.
enum Past {
    /// They were read.
    Read(Read),
    /// They are in the storage, up to `through`.
    Stored { through: u64 },
    /// Matching events up to `floor` have been removed.
    Removed { floor: u64 },
}

impl Reader {
    /// Returns why events below a floor are missing.
    pub(super) fn lost_reason(&self) -> GapReason {
        if self.caught_up {
            GapReason::Lag
        } else {
            GapReason::Retention
        }
    }

    pub(super) fn read_history(&mut self, feed_floor: u64, out: &mut Vec<Batch>) -> Step {
        self.lagging = true;
        match self.past(feed_floor) {
            Ok(Past::Read(read)) => {
                let events = read.through.saturating_sub(self.position);
                let bytes = read.batch.as_ref().map_or(0, |batch| batch.bytes().len());
                self.searching = events >= MANY_EVENTS && bytes < FEW_BYTES;
                self.position = read.through;
                match read.batch {
                    Some(batch) => {
                        out.push(batch);
                        Step::Batches
                    }
                    None => Step::Looking,
                }
            }
            Ok(Past::Stored { through }) => {
                self.fetched.through = through;
                Step::Stored
            }
            Ok(Past::Removed { floor }) => {
                let after = self.position.max(self.reported);
                self.reported = floor;
                Step::Gap(gap(after, floor, self.lost_reason()))
            }
            Err(error) => unreadable(&error),
        }
    }

    /// Looks for the next events below the feed.
    fn past(&self, feed_floor: u64) -> Result<Past, StorageError> {
        let (shared, filter) = (&*self.shared, self.feed.filter());
        let after = self.position.max(self.reported);
        let state = shared.state.lock();
        if shared.storage.is_some() {
            let through = state.history.floor().min(feed_floor);
            if self.position < through {
                return Ok(Past::Stored { through });
            }
        } else {
            let floor = state.topics.floor(filter, after).min(feed_floor);
            if floor > after {
                return Ok(Past::Removed { floor });
            }
        }
        let read = self.read_cached(&state, feed_floor);
        drop(state);
        if let Some(storage) = &shared.storage {
            // The storage removes events before memory does, so it is asked after memory was read.
            let floor = stored_floor(&**storage, filter, after)?.min(feed_floor);
            if floor > after {
                return Ok(Past::Removed { floor });
            }
        }
        Ok(Past::Read(read))
    }

    /// Reads the history, or returns what another reader of the filter has read at this position.
    fn read_cached(&self, state: &State, feed_floor: u64) -> Read {
        let (position, topics) = (self.position, &state.topics);
        // A read from which retention has removed events since then is out of date.
        let complete = topics.retains_after(position);
        if let Some(read) = self.feed.past.get(position).filter(|_| complete) {
            return read;
        }
        let filter = self.feed.filter();
        let read = state.history.read(filter, topics, position, feed_floor);
        // A large event needs no cache: its batch is shared.
        let small = read.batch.as_ref().is_some_and(|batch| !is_large(batch));
        if complete && small {
            let most = self.shared.config.feeds_bytes;
            self.feed.past.insert(position, &read, most);
        }
        read
    }
}
