//! [`Gathering`]: the next group waits a moment for the publishers of the last one.
//!
//! Publishers that wait for each acknowledgement all return when a group is written. If the next
//! group began at once, it would have only the events that came meanwhile. The publishers would
//! form two halves that take turns, with twice the syncs for the same events.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::config::Acknowledge;
use crate::shared::Shared;
use crate::time::Now;

/// The next group may wait for this fraction of the last group's time.
const PART: u32 = 2;

/// The longest wait of a group. After a storage has hung for a minute, the next group must not wait
/// for half a minute.
const LONGEST: Duration = Duration::from_millis(10);

/// The resolution of a timer. A longer wait uses a timer, which needs no processor.
const TIMER: Duration = Duration::from_millis(1);

/// If the clock has stood still for this many turns, it is paused, and only a timer moves it.
const STILL: u32 = 64;

/// The most groups that do not wait after one that waited in vain. The number doubles each time.
const MOST_SKIPPED: u32 = 64;

/// How one group follows another.
#[derive(Default)]
pub(super) struct Gathering {
    /// The number of events in flight when the last group was written. As many come if their
    /// publishers continue.
    expected: u64,
    until: Duration,
    /// How many more groups do not wait.
    skip: u32,
    /// How many groups did not wait the last time; 0 after a wait that was worth it.
    skipped: u32,
}

impl Gathering {
    /// Waits until as many events are pending as were in flight, for as long as that is worth it.
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

    /// Records that a group was written, with `in_flight` events in it and after it.
    pub(super) fn written(
        &mut self,
        shared: &Shared,
        in_flight: u64,
        begun: Duration,
        ended: Duration,
    ) {
        self.expected = match shared.config.acknowledge {
            Acknowledge::Synced => in_flight,
            // Writing without a sync is fast, and memory is acknowledged before it is written.
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
