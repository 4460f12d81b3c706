//! [`FeedWriter`]: a feed that is locked for appending.

use std::task::Waker;

use qsse_proto::limits::BATCH_BYTES;

use super::{Feed, State};
use crate::batches::LargeBatch;
use crate::event::Incoming;
use crate::sync::MutexGuard;

/// A feed that is locked for appending. Dropping it wakes the waiting readers.
pub(crate) struct FeedWriter<'f> {
    feed: &'f Feed,
    is_read: bool,
    /// Taken when this is dropped.
    state: Option<MutexGuard<'f, State>>,
}

impl<'f> FeedWriter<'f> {
    pub(super) fn new(feed: &'f Feed, is_read: bool, state: MutexGuard<'f, State>) -> Self {
        Self {
            feed,
            is_read,
            state: Some(state),
        }
    }

    /// Appends an event, and drops the oldest batches beyond `budget` bytes. `large` is the batch
    /// of a large event.
    pub(crate) fn append(
        &mut self,
        event: Incoming<'_>,
        large: Option<&LargeBatch>,
        budget: usize,
    ) {
        let Some(state) = &mut self.state else {
            return;
        };
        if !self.is_read {
            state.forget(event.seq);
            return;
        }
        if large.is_some() || !event.fits(&state.open) {
            state.seal();
        }
        if let Some(large) = large {
            state.push_large(large.clone());
            state.shrink_to(budget);
            return;
        }
        event.push_to(&mut state.open);
        // With a small budget batches are small, so that more than one fits.
        if state.open.len() >= BATCH_BYTES.min(budget / 4) {
            state.seal();
        }
        state.shrink_to(budget);
    }
}

impl Drop for FeedWriter<'_> {
    fn drop(&mut self) {
        if let Some(mut state) = self.state.take() {
            self.feed.count(&mut state);
            let waiting = state.waiters.take();
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}
