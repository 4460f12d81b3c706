//! Saving what retention must not lose, before segments are removed.

use crate::error::StoreError;
use crate::floors;
use crate::keys;
use crate::meta::State as MetaState;
use crate::segment::Segment;
use crate::store::Store;
use std::sync::Arc;

impl Store {
    /// Makes the floors last, before what is below them goes off the disk.
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
                    // Said while the disk was full.
                    self.write_meta(MetaState { missing, ..meta })?;
                }
                Ok(())
            }
            // The meta files have their room already: say less, which counts if there is no better time until the next open.
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

    /// Makes the keys of a segment last that may still be asked for, before it goes off the disk.
    pub(super) fn save_keys(&mut self, segment: &Arc<Segment>) -> Result<(), StoreError> {
        let keyed = self.keyed();
        self.save_publishers(segment)?;
        match keys::save(segment, &self.shared.files, &self.options, &keyed) {
            // As with floors: say less, and make some.
            Err(StoreError::Full { .. }) => {
                let state = self.meta.state();
                let keys_from = keyed.after(segment).max(state.keys_from);
                self.write_meta(MetaState { keys_from, ..state })
            }
            saved => saved,
        }
    }

    /// Makes the numbers of publishers last that are in a segment which goes off the disk; `false` if there is no room for that. Then
    /// the next open finds records missing, and does not say that it knows all.
    pub(super) fn save_publishers(&mut self, segment: &Arc<Segment>) -> Result<bool, StoreError> {
        if self.publishers.covers(segment.end()) {
            return Ok(true);
        }
        // What the file tells must not be gone after a crash.
        self.sync()?;
        let head = self.head();
        match self.write_publishers(head) {
            Ok(()) => Ok(true),
            Err(StoreError::Full { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
