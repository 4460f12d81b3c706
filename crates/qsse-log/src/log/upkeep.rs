//! Upkeep and metrics.

use qsse_topic::Topic;

use super::Log;
use crate::state::Shed;
use crate::stats::Stats;
use crate::time::Now;

impl Log {
    /// Applies the retention by age, drops feeds without readers, forgets topics without events,
    /// and monitors the storage and the clock. Call it about once a second.
    ///
    /// The log is locked for short times only. With many topics, [`sweep_in_turns`] also lets other
    /// tasks run.
    ///
    /// [`sweep_in_turns`]: Self::sweep_in_turns
    pub fn sweep(&self, now: Now) {
        let mut part = self.begin_sweep(now);
        while let Some(from) = part {
            part = self.sweep_part(now, from);
        }
    }

    /// Does the same as [`sweep`](Self::sweep), and waits for what `between` returns after each
    /// part, to let other tasks run.
    ///
    /// Cancel-safe: the next sweep does the rest.
    pub async fn sweep_in_turns<F: Future>(&self, now: Now, between: impl Fn() -> F) {
        let mut part = self.begin_sweep(now);
        while let Some(from) = part {
            between().await;
            part = self.sweep_part(now, from);
        }
    }

    fn begin_sweep(&self, now: Now) -> Option<u32> {
        let set_back = self.shared.state.lock().sweep(now, &self.shared.config);
        if let Some(set_back) = set_back {
            tracing::warn!(
                ?set_back,
                "the clock was set back, and the times of new events with it"
            );
        }
        Some(0)
    }

    fn sweep_part(&self, now: Now, from: u32) -> Option<u32> {
        let mut state = self.shared.state.lock();
        state.sweep_part(now, &self.shared.config, from)
    }

    /// Releases about `bytes` bytes of memory: first feeds without readers and cached reads, then
    /// the oldest events of the history. Readers of those get a gap, or read the storage.
    ///
    /// Call it when the [budget](Self::budget) reports pressure.
    pub fn shed(&self, bytes: usize) -> Shed {
        self.shared.state.lock().shed(bytes)
    }

    /// Returns how many events each topic has had since it was last reported, for metrics. Reports
    /// at most `most` topics, because the log is locked meanwhile: call it until there are none.
    pub fn take_published(&self, most: usize) -> Vec<(Topic, u64)> {
        self.shared.state.lock().topics.take_published(most)
    }

    /// Returns the current contents of the log.
    pub fn stats(&self) -> Stats {
        let state = self.shared.state.lock();
        Stats {
            head: state.head,
            history_events: state.history.events(),
            history_bytes: state.history.bytes() + state.topics.index_bytes(),
            unread_bytes: state.batches.unread(),
            memory_bytes: state.budget.used(),
            feeds: state.feeds.len(),
            feed_bytes: state.feeds.bytes(),
            filter_bytes: state.feeds.filter_bytes(),
            topics: state.topics.len(),
            topic_bytes: state.topics.table_bytes(),
            dedup_keys: state.dedup.len(),
            dedup_publishers: state.publishers.len(),
        }
    }
}
