//! [`Subscriptions`]: the subscriptions of a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use qsse_proto::Code;
use qsse_topic::Filter;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::fairness::quota::Place;

/// A connection's subscriptions, in the order of their ids, which only grow.
///
/// A list, because mostly there is one, and a map reserves room for four.
#[derive(Default)]
pub(crate) struct Subscriptions(Vec<(u32, ClientSubscription)>);

/// A subscription, as the control loop knows it.
pub(crate) struct ClientSubscription {
    /// Ends it.
    pub(crate) ends: Ends,
    /// What it was accepted for; `None` while it waits.
    pub(crate) filter: Option<Filter>,
    /// How many patterns it asked for.
    pub(crate) patterns: u32,
}

/// Ends a subscription from outside, and says how far it is. Holds its places in the quotas until
/// it ends.
#[derive(Clone, Default)]
pub(crate) struct Ends {
    token: CancellationToken,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Why it ended, unless the client asked for it: the number of a code.
    reason: AtomicU64,
    /// Everything up to this seq was written; [`UP_TO_DATE`] if there is nothing else to write.
    written: AtomicU64,
    /// Its places in the quotas; none once it has ended.
    places: Mutex<Vec<Place>>,
}

/// Above every seq.
const UP_TO_DATE: u64 = u64::MAX;

impl Ends {
    /// Makes the end of a subscription with these places in the quotas.
    pub(crate) fn new(places: Vec<Place>) -> Self {
        let ends = Self::default();
        *ends.state.places.lock() = places;
        ends
    }

    /// Ends it because the client asked for it, or because its task is done.
    pub(crate) fn cancel(&self) {
        // At once: it may take a while until its task notices, and until the control loop sweeps.
        drop(std::mem::take(&mut *self.state.places.lock()));
        self.token.cancel();
    }

    /// Ends it because it is no longer allowed.
    pub(crate) fn deny(&self) {
        self.end_with(Code::NOT_AUTHORISED);
    }

    /// Ends it because its client reads nothing, and memory is scarce.
    pub(crate) fn end_unread(&self) {
        self.end_with(Code::LAGGED);
    }

    fn end_with(&self, code: Code) {
        self.state.reason.store(code.get(), Ordering::Release);
        self.cancel();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    pub(crate) fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// Ends it when this is dropped.
    pub(crate) fn drop_guard(self) -> EndGuard {
        EndGuard(self)
    }

    /// Notes that everything up to `seq` was written, and that there is more.
    pub(crate) fn note_written(&self, seq: u64) {
        self.state.written.store(seq, Ordering::Relaxed);
    }

    /// Notes that everything was written.
    pub(crate) fn note_up_to_date(&self) {
        self.note_written(UP_TO_DATE);
    }

    /// Returns how many events there are up to `head` that may still have to be written.
    pub(crate) fn lag(&self, head: u64) -> u64 {
        head.saturating_sub(self.state.written.load(Ordering::Relaxed))
    }

    /// Returns the code with which its stream is reset.
    pub(crate) fn code(&self) -> Code {
        match self.state.reason.load(Ordering::Acquire) {
            0 => Code::UNSUBSCRIBED,
            number => Code::new(number),
        }
    }
}

/// Ends a subscription when it is dropped.
pub(crate) struct EndGuard(Ends);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the number of patterns of all subscriptions.
    pub(crate) fn patterns(&self) -> u32 {
        let patterns = self.0.iter().map(|(_, own)| own.patterns);
        patterns.fold(0, u32::saturating_add)
    }

    /// Adds a subscription with an id above all others.
    pub(crate) fn add(&mut self, id: u32, subscription: ClientSubscription) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < id));
        if self.0.is_empty() {
            self.0.reserve_exact(1);
        }
        self.0.push((id, subscription));
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut ClientSubscription> {
        let at = self.at(id)?;
        Some(&mut self.0[at].1)
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<ClientSubscription> {
        let at = self.at(id)?;
        Some(self.0.remove(at).1)
    }

    /// Forgets those that have ended.
    pub(crate) fn sweep(&mut self) {
        self.0
            .retain(|(_, subscription)| !subscription.ends.is_cancelled());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &ClientSubscription)> {
        self.0.iter().map(|(id, subscription)| (*id, subscription))
    }

    fn at(&self, id: u32) -> Option<usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id).ok()
    }
}
