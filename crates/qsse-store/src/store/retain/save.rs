//! Saving what retention must not lose, before segments are removed.

use crate::error::StoreError;
use crate::floors;
use crate::keys;
use crate::meta::State as MetaState;
use crate::segment::Segment;
use crate::store::Store;
use std::sync::Arc;

impl Store {
    /// Saves the floors, before events below them are removed from the disk.
    pub(super) fn save_floors(&mut self) -> Result<(), StoreError> {
        if !self.floors_changed {
            return Ok(());
        }
        let written = {
            let state = self.shared.state.read();
            let files = &self.shared.files;
            floors::write(&*files.io, &state.topics, files.seal)
        };
        match written.map_err(StoreError::io("write what was removed")) {
            Ok(()) => {
                self.floors_changed = false;
                let (meta, missing) = (self.meta.state(), self.shared.state.read().topics.missing);
                if meta.missing > missing {
                    // This was written while the disk was full.
                    self.write_meta(MetaState { missing, ..meta })?;
                }
                Ok(())
            }
            // The meta files always have room, but for a single floor. It counts unless the floors
            // are saved before the next open.
            Err(StoreError::Full { .. }) => {
                let missing = {
                    let topics = &self.shared.state.read().topics;
                    topics.missing.max(topics.begin).max(topics.max_floor())
                };
                let state = self.meta.state();
                self.write_meta(MetaState { missing, ..state })
            }
            Err(error) => Err(error),
        }
    }

    /// Saves the keys of a segment that may still be looked up, before it is removed from the disk.
    pub(super) fn save_keys(&mut self, segment: &Arc<Segment>) -> Result<(), StoreError> {
        let keyed = self.keyed();
        self.save_publishers(segment)?;
        match keys::save(segment, &self.shared.files, &self.options, &keyed) {
            // As with floors: the meta files have room for a single time.
            Err(StoreError::Full { .. }) => {
                let state = self.meta.state();
                let keys_from = keyed.after(segment).max(state.keys_from);
                self.write_meta(MetaState { keys_from, ..state })
            }
            saved => saved,
        }
    }

    /// Saves the numbers of publishers, before a segment is removed from the disk. Returns false if
    /// there is no room: the next open then finds records missing and reports that it does not know
    /// all publishers.
    pub(super) fn save_publishers(&mut self, segment: &Arc<Segment>) -> Result<bool, StoreError> {
        if self.publishers.covers(segment.end()) {
            return Ok(true);
        }
        // A crash must not lose events that the file covers.
        self.sync()?;
        let head = self.head();
        match self.write_publishers(head) {
            Ok(()) => Ok(true),
            Err(StoreError::Full { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
