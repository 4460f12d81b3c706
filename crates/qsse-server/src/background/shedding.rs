//! Shedding: makes room when memory is scarce, in this order: feeds without readers and cached
//! reads, the oldest history, the slowest subscriptions.

use std::sync::Arc;
use std::time::Duration;

use crate::shared::Shared;

/// The pause between two rounds, in which what was ended releases its memory.
const PAUSE: Duration = Duration::from_millis(50);

/// Makes room whenever it is needed, until the server ends.
pub(crate) async fn shed(shared: Arc<Shared>) {
    let (memory, unread) = (shared.log.budget(), shared.unread.budget());
    loop {
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            () = memory.pressure() => {}
            () = unread.pressure() => {}
        }
        relieve(&shared);
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Makes room once, if it is needed.
fn relieve(shared: &Shared) {
    let (memory, metrics) = (shared.log.budget(), &shared.metrics);
    let excess = memory.excess();
    if excess > 0 {
        // A little more, so that it is not needed again at once.
        let shed = shared.log.shed(excess + memory.limit() / 16);
        metrics.shed_feed_bytes.add(shed.feed_bytes as u64);
        metrics.shed_history_bytes.add(shed.history_bytes as u64);
        if shed.feed_bytes + shed.history_bytes > 0 {
            let (feeds, history) = (shed.feed_bytes, shed.history_bytes);
            tracing::info!(feeds, history, "memory is scarce: some was released");
        }
    }
    // What streams hold is counted where it is allocated: what they share counts once.
    let unread = shared.log.stats().unread_bytes;
    let over = unread.saturating_sub(shared.config.max_unread_bytes);
    let needed = over.max(memory.excess().min(unread));
    if needed > 0 {
        let ended = shared.unread.end_slowest(needed);
        metrics.shed_subscriptions.add(ended);
        if ended > 0 {
            tracing::warn!(
                ended,
                unread,
                "memory is scarce: the slowest subscriptions were ended"
            );
        }
    }
}
