//! [`Budget`]: memory that is counted in one sum, with a limit.

use std::fmt;
use std::sync::Arc;

use qsse_proto::batch::Batch;
use tokio::sync::Notify;

use crate::sync::atomic::{AtomicUsize, Ordering};

/// A sum of bytes that are in use somewhere, with a limit. Clones count in the same sum.
///
/// What holds memory takes a [`Charge`] and releases it by dropping it. A charge always succeeds,
/// because the memory is in use already. Beyond seven eighths of the limit it wakes
/// [`pressure`](Self::pressure), so that somebody makes room.
///
/// ```
/// let all = qsse_log::Budget::new(800);
/// let one = all.part(usize::MAX);
/// let charge = one.charge(750);
/// assert_eq!((one.used(), all.used(), all.excess()), (750, 750, 50));
/// drop(charge);
/// assert_eq!(all.used(), 0);
/// ```
#[derive(Clone)]
pub struct Budget {
    counts: Arc<Counts>,
}

struct Counts {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// The budget that this one is a part of.
    whole: Option<Budget>,
    /// Wakes the one that makes room.
    pressure: Notify,
}

impl Budget {
    /// Creates a budget of its own. With `usize::MAX` it only counts.
    pub fn new(limit: usize) -> Self {
        Self::with(limit, None)
    }

    /// Creates a budget for a part: its charges count here too.
    #[must_use]
    pub fn part(&self, limit: usize) -> Self {
        Self::with(limit, Some(self.clone()))
    }

    fn with(limit: usize, whole: Option<Self>) -> Self {
        let counts = Counts {
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            whole,
            pressure: Notify::new(),
        };
        Self {
            counts: Arc::new(counts),
        }
    }

    /// Returns the most bytes.
    pub fn limit(&self) -> usize {
        self.counts.limit.load(Ordering::Relaxed)
    }

    /// Sets the most bytes. What is in use beyond it stays in use until somebody makes room.
    pub fn set_limit(&self, limit: usize) {
        self.counts.limit.store(limit, Ordering::Relaxed);
        if self.excess() > 0 {
            self.counts.pressure.notify_one();
        }
    }

    /// Returns the bytes of all charges.
    pub fn used(&self) -> usize {
        self.counts.used.load(Ordering::Relaxed)
    }

    /// Returns the bytes beyond seven eighths of the limit: so much has to be released.
    pub fn excess(&self) -> usize {
        self.used().saturating_sub(self.mark())
    }

    fn mark(&self) -> usize {
        let limit = self.limit();
        limit - limit / 8
    }

    /// Counts bytes that are in use, also beyond the limit.
    #[must_use = "dropping a charge releases it"]
    pub fn charge(&self, bytes: usize) -> Charge {
        self.add(bytes);
        Charge {
            budget: self.clone(),
            bytes,
        }
    }

    /// Counts the memory of a batch until the last part of its bytes is dropped, also beyond the
    /// limit.
    #[must_use]
    pub fn hold(&self, batch: Batch) -> Batch {
        let charge = self.charge(batch.allocated());
        batch.guarded(charge)
    }

    /// Waits until more than seven eighths of the limit are in use. Let one task call it.
    ///
    /// Cancel-safe.
    pub async fn pressure(&self) {
        while self.excess() == 0 {
            self.counts.pressure.notified().await;
        }
    }

    fn add(&self, bytes: usize) {
        let used = self.counts.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used > self.mark() {
            self.counts.pressure.notify_one();
        }
        if let Some(whole) = &self.counts.whole {
            whole.add(bytes);
        }
    }

    fn subtract(&self, bytes: usize) {
        self.counts.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.counts.whole {
            whole.subtract(bytes);
        }
    }
}

/// A budget without a limit.
impl Default for Budget {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("used", &self.used())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}

/// Bytes that count in a [`Budget`] until this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Charge {
    /// Returns the bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes the bytes to what is in use now, also beyond the limit. Costs nothing if they are
    /// the same.
    #[inline]
    pub fn resize(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => self.budget.add(more),
            None => self.budget.subtract(self.bytes - bytes),
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use qsse_proto::Timestamp;
    use qsse_proto::batch::Builder;

    use super::*;

    #[test]
    fn charges_count_in_the_part_and_in_the_whole_until_they_are_dropped() {
        let whole = Budget::new(1_000);
        let (one, other) = (whole.part(usize::MAX), whole.part(300));
        let mut charge = one.charge(500);
        let held = other.charge(300);
        assert_eq!((one.used(), other.used(), whole.used()), (500, 300, 800));
        charge.resize(600);
        assert_eq!((charge.bytes(), one.used(), whole.used()), (600, 600, 900));
        charge.resize(100);
        assert_eq!((charge.bytes(), one.used(), whole.used()), (100, 100, 400));
        drop((charge, held));
        assert_eq!((one.used(), other.used(), whole.used()), (0, 0, 0));
    }

    #[test]
    fn memory_in_use_counts_beyond_the_limit() {
        let budget = Budget::new(800);
        let charge = budget.charge(900);
        assert_eq!((budget.used(), budget.excess()), (900, 200));
        drop(charge);
        assert_eq!((budget.used(), budget.excess()), (0, 0));
        let endless = Budget::new(usize::MAX);
        let _held = endless.charge(usize::MAX / 2);
        assert_eq!(endless.excess(), 0);
    }

    #[tokio::test]
    async fn a_lower_limit_counts_at_once_and_a_higher_one_ends_the_pressure() {
        let budget = Budget::new(usize::MAX);
        let _held = budget.charge(900);
        let mut pressure = Box::pin(budget.pressure());
        let pending = poll_fn(|cx| Poll::Ready(pressure.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
        budget.set_limit(800);
        pressure.await;
        assert_eq!((budget.limit(), budget.excess()), (800, 200));
        budget.set_limit(1_600);
        assert_eq!(budget.excess(), 0);
    }

    #[test]
    fn a_batch_counts_once_until_the_last_part_of_its_bytes_is_dropped() {
        let budget = Budget::default();
        let mut builder = Builder::new();
        builder.push(1, Timestamp::default(), "a", "message", &[7; 1_000]);
        let batch = budget.hold(builder.finish());
        let allocated = batch.allocated();
        assert!(allocated > 1_000);
        let part = batch.clone().bytes().slice(10..20);
        assert_eq!((budget.used(), part.len()), (allocated, 10));
        drop(batch);
        assert_eq!(budget.used(), allocated);
        drop(part);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn pressure_begins_beyond_seven_eighths() {
        let whole = Budget::new(800);
        let part = whole.part(usize::MAX);
        let _most = part.charge(700);
        let mut pressure = Box::pin(whole.pressure());
        let pending = poll_fn(|cx| Poll::Ready(pressure.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
        let more = part.charge(1);
        pressure.await;
        drop(more);
        assert_eq!(whole.excess(), 0);
    }
}
