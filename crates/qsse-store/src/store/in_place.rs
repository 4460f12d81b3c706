//! Checks that the files are still where the next open looks for them.

use super::Store;
use crate::error::StoreError;
use crate::io::Lost;
use crate::segment::{Segment, segment_name};
use std::sync::Arc;

impl Store {
    /// Checks that the folder, its lock, the meta files and these segments are still where they
    /// were opened. If not, the store ends.
    ///
    /// Call it after each write, before it is acknowledged: writes and syncs succeed even in files
    /// that no longer have a name.
    pub(super) fn still_there(&mut self, segments: &[&Arc<Segment>]) -> Result<(), StoreError> {
        let lock = &*self.lock;
        let gone = |segment: &&&Arc<Segment>| {
            let name = segment_name(segment.first);
            lock.is_lost(&name, &*segment.file)
        };
        let segment = || {
            let segment = segments.iter().find(gone)?;
            let name = segment_name(segment.first);
            Some(Lost::File { name })
        };
        let lost = lock
            .lost()
            .or_else(|| self.meta.lost(lock))
            .or_else(segment);
        match lost {
            Some(lost) => Err(self.end(lost.to_string())),
            None => Ok(()),
        }
    }

    /// Checks the same with the segment that is being written, even if nothing was written.
    pub(crate) fn is_in_place(&mut self) -> Result<(), StoreError> {
        let active = self.shared.state.read().active().cloned();
        self.still_there(active.as_ref().as_slice())
    }
}
