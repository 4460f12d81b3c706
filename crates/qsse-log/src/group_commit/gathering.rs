//! [`Gathering`]: the next group waits a moment for the publishers of the last one.
//!
//! Publishers that wait for each acknowledgement come back all at once when a group is kept. Taken at once, the next group has only
//! those that came meanwhile, and the publishers part into two halves that take turns: twice the syncs for the same events.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::config::Acknowledge;
use crate::shared::Shared;
use crate::time::Now;

/// The part of the last group's time that the next one may wait.
const PART: u32 = 2;

/// The longest that a group waits: a storage that once hung for a minute must not delay the next group by half of that.
const LONGEST: Duration = Duration::from_millis(10);

/// How fine a timer is. A longer wait uses one and needs no processor.
const TIMER: Duration = Duration::from_millis(1);

/// After so many turns in which the clock stood still it is a paused one, which only a timer moves.
const STILL: u32 = 64;

/// Groups that do not wait after one that waited in vain, doubling up to so many.
const MOST_SKIPPED: u32 = 64;

/// How the groups follow one another.
#[derive(Default)]
pub(super) struct Gathering {
    /// Events in flight when the last group was kept: so many come if their publishers go on.
    expected: u64,
    until: Duration,
    /// Groups that are taken at once.
    skip: u32,
    /// How many those were the last time; 0 when it was worth the while.
    skipped: u32,
}

impl Gathering {
    /// Waits until as many events are pending as there were before, for as long as that is worth.
    pub(super) async fn gather(&mut self, shared: &Shared, now: &impl Fn() -> Now) {
        if self.expected < 2 {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let (mut seen, mut still) = (Duration::MAX, 0);
        loop {
            {
                let state = shared.state.lock();
                let full = state.pending.bytes() >= shared.config.pending_bytes / 2;
                if state.pending.len() >= self.expected || full {
                    self.skipped = 0;
                    return;
                }
            }
            let at = now().monotonic;
            let left = self.until.saturating_sub(at);
            if left.is_zero() {
                break;
            }
            still = if at == seen { still + 1 } else { 0 };
            seen = at;
            let wait = match left {
                left if still >= STILL => Some(left),
                left => left.checked_sub(TIMER).filter(|wait| *wait >= TIMER),
            };
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, shared.appended.notified()).await),
                // The publishers run meanwhile.
                None => give_way().await,
            }
        }
        self.skipped = (2 * self.skipped).clamp(1, MOST_SKIPPED);
        self.skip = self.skipped;
    }

    /// A group was kept, and at its end there were so many events with those behind it.
    pub(super) fn written(
        &mut self,
        shared: &Shared,
        in_flight: u64,
        begun: Duration,
        ended: Duration,
    ) {
        self.expected = match shared.config.acknowledge {
            Acknowledge::Synced => in_flight,
            // What is not synced is quick, and what is in memory is acknowledged before.
            _ => 0,
        };
        let part = ended.saturating_sub(begun) / PART;
        self.until = ended + part.min(LONGEST);
    }
}

/// Lets other tasks run.
async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
