//! Noticing that the files are no longer where the next open looks for them.

use super::Store;
use crate::error::StoreError;
use crate::io::Lost;
use crate::segment::{Segment, segment_name};
use std::sync::Arc;

impl Store {
    /// An error for good if the folder, its lock, the meta files or one of these segments is no longer where it was opened.
    ///
    /// To be asked behind each write, before anybody hears that it succeeded: writes and syncs do succeed in files that have no name
    /// any more.
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

    /// The same of the segment that is written to, whether or not something was written.
    pub(crate) fn is_in_place(&mut self) -> Result<(), StoreError> {
        let active = self.shared.state.read().active().cloned();
        self.still_there(active.as_ref().as_slice())
    }
}
