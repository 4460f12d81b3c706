//! [`Budget`]: memory that is counted in one sum, with a limit.

use std::fmt;
use std::sync::Arc;

use qsse_proto::batch::Batch;
use tokio::sync::Notify;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A sum of bytes that are held somewhere, with a limit. Clones count in the same sum.
///
/// What holds memory takes a [`Charge`] and releases it by dropping it. Two kinds of charges meet
/// the limit differently: [`try_charge`](Self::try_charge) is refused beyond it, for memory that a
/// client asks for. [`charge`](Self::charge) always succeeds, for memory that is in use already;
/// beyond seven eighths of the limit it wakes [`pressure`](Self::pressure), so that somebody makes
/// room.
///
/// ```
/// let all = qsse_log::Budget::new(1_000);
/// let one = all.part(100);
/// let charge = one.try_charge(80)?;
/// assert!(one.try_charge(30).is_err());
/// assert_eq!((one.used(), all.used(), one.refused()), (80, 80, 1));
/// drop(charge);
/// assert_eq!(all.used(), 0);
/// # Ok::<(), qsse_log::OverBudget>(())
/// ```
#[derive(Clone)]
pub struct Budget {
    counts: Arc<Counts>,
}

struct Counts {
    limit: usize,
    used: AtomicUsize,
    refused: AtomicU64,
    /// The budget that this one is a part of.
    whole: Option<Budget>,
    /// Wakes the one that makes room.
    pressure: Notify,
}

/// A budget has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes more would exceed the limit of {limit} bytes: try again later")]
#[non_exhaustive]
pub struct OverBudget {
    /// The bytes that were asked for.
    pub bytes: usize,
    /// The limit of the budget that refused, which may be the whole of the one that was asked.
    pub limit: usize,
}

impl Budget {
    /// Creates a budget of its own. With `usize::MAX` it only counts.
    pub fn new(limit: usize) -> Self {
        Self::with(limit, None)
    }

    /// Creates a budget for a part: its charges count here too, and need room in both.
    #[must_use]
    pub fn part(&self, limit: usize) -> Self {
        Self::with(limit, Some(self.clone()))
    }

    fn with(limit: usize, whole: Option<Self>) -> Self {
        let counts = Counts {
            limit,
            used: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            whole,
            pressure: Notify::new(),
        };
        Self {
            counts: Arc::new(counts),
        }
    }

    /// Returns the most bytes.
    pub fn limit(&self) -> usize {
        self.counts.limit
    }

    /// Returns the bytes of all charges.
    pub fn used(&self) -> usize {
        self.counts.used.load(Ordering::Relaxed)
    }

    /// Returns how many charges this budget has refused, for a metric.
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }

    /// Returns the bytes beyond seven eighths of the limit: so much has to be released before
    /// charges are refused.
    pub fn excess(&self) -> usize {
        self.used().saturating_sub(self.mark())
    }

    fn mark(&self) -> usize {
        self.counts.limit - self.counts.limit / 8
    }

    /// Counts bytes that are about to be used.
    ///
    /// # Errors
    /// There is no room here, or in the budget that this is a part of. Nothing is counted.
    pub fn try_charge(&self, bytes: usize) -> Result<Charge, OverBudget> {
        let mut charge = self.charge(0);
        charge.try_resize(bytes)?;
        Ok(charge)
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

    fn try_add(&self, bytes: usize) -> Result<(), OverBudget> {
        let (counts, limit) = (&*self.counts, self.counts.limit);
        let used = counts.used.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) > limit {
            counts.used.fetch_sub(bytes, Ordering::Relaxed);
            counts.refused.fetch_add(1, Ordering::Relaxed);
            return Err(OverBudget { bytes, limit });
        }
        if used + bytes > self.mark() {
            counts.pressure.notify_one();
        }
        let Some(whole) = &counts.whole else {
            return Ok(());
        };
        let added = whole.try_add(bytes);
        if added.is_err() {
            counts.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        added
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
            .field("limit", &self.counts.limit)
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

    /// Changes the bytes to what is about to be used. Fewer bytes always succeed.
    ///
    /// # Errors
    /// There is no room. The charge is unchanged.
    pub fn try_resize(&mut self, bytes: usize) -> Result<(), OverBudget> {
        if let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) {
            self.budget.try_add(more)?;
            self.bytes = bytes;
        }
        self.resize(bytes);
        Ok(())
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
        let held = other.try_charge(300).unwrap();
        assert_eq!((one.used(), other.used(), whole.used()), (500, 300, 800));
        charge.resize(600);
        assert_eq!((charge.bytes(), one.used(), whole.used()), (600, 600, 900));
        charge.try_resize(100).unwrap();
        assert_eq!((charge.bytes(), one.used(), whole.used()), (100, 100, 400));
        drop((charge, held));
        assert_eq!((one.used(), other.used(), whole.used()), (0, 0, 0));
    }

    #[test]
    fn a_refused_charge_counts_nowhere_and_names_the_limit() {
        let whole = Budget::new(1_000);
        let part = whole.part(600);
        let mut charge = part.try_charge(600).unwrap();
        let refused = part.try_charge(1).unwrap_err();
        assert_eq!((refused.bytes, refused.limit), (1, 600));
        let other = whole.part(600);
        assert_eq!(other.try_charge(401).unwrap_err().limit, 1_000);
        assert_eq!(charge.try_resize(601).unwrap_err().limit, 600);
        assert_eq!((charge.bytes(), part.used(), other.used()), (600, 600, 0));
        assert_eq!((whole.used(), whole.refused()), (600, 1));
        assert_eq!((part.refused(), other.refused()), (2, 0));
    }

    #[test]
    fn memory_in_use_counts_beyond_the_limit() {
        let budget = Budget::new(800);
        let charge = budget.charge(900);
        assert_eq!((budget.used(), budget.excess()), (900, 200));
        assert!(budget.try_charge(1).is_err());
        drop(charge);
        assert_eq!((budget.used(), budget.excess()), (0, 0));
        let endless = Budget::new(usize::MAX);
        let _held = endless.try_charge(usize::MAX / 2).unwrap();
        assert_eq!(endless.excess(), 0);
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
