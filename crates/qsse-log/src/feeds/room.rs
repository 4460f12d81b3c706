//! What feeds share, what they leave to others, and how they go.

use std::sync::Arc;
use std::time::Duration;

use qsse_topic::{Matcher, Pattern};

use super::{Feeds, ROUTED, Slot};
use crate::config::Config;
use crate::error::StartError;

/// If there are more feeds without readers, some are dropped whenever a new one is made.
pub(super) const IDLE_FEEDS: usize = 1_024;

/// The most slots that a new feed looks at for some without readers.
pub(super) const LOOKED_AT: usize = 256;

/// The most slots that one run of events takes memory from.
const RELIEVED: usize = 64;

/// The number of feeds.
impl Feeds {
    /// Makes room for another feed. Returns false if there is more to do first: call it again.
    ///
    /// # Errors
    /// There are too many feeds or patterns that somebody reads.
    pub(super) fn make_room(&mut self, bytes: usize, config: &Config) -> Result<bool, StartError> {
        let used = self.filter_bytes + bytes;
        let full = self.len() >= config.max_feeds || used > config.filters_bytes;
        // Beyond half of the memory, those without readers go at once.
        let crowded = self.totals.idle() > IDLE_FEEDS || used > config.filters_bytes / 2;
        if full || crowded {
            self.drop_idle(LOOKED_AT);
        }
        let more = self.remove_dropped(ROUTED);
        let used = self.filter_bytes + bytes;
        if self.len() < config.max_feeds && used <= config.filters_bytes {
            return Ok(true);
        }
        if more || self.totals.idle() > 0 {
            return Ok(false);
        }
        Err(StartError::TooManyFilters)
    }

    /// Drops the feeds without readers among the next `count` slots.
    fn drop_idle(&mut self, count: usize) {
        if self.totals.idle() == 0 {
            return;
        }
        for _ in 0..count.min(self.slots.len()) {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            self.drop_unread(self.hand, |_| true);
            self.hand += 1;
        }
    }

    /// Drops a feed if it has no reader and `condition` holds: nobody finds it from now on. Its
    /// patterns are removed later.
    fn drop_unread(&mut self, at: usize, condition: impl Fn(&Slot) -> bool) {
        let Some(slot) = &self.slots[at] else {
            return;
        };
        if slot.feed.readers() > 0 || !condition(slot) {
            return;
        }
        let id = at as u32;
        // It is not in the table if it is being dropped already.
        if let Ok(entry) = self.by_filter.find_entry(slot.key.hash, |own| *own == id) {
            entry.remove();
            slot.feed.end();
            self.dropped.push_back(id);
        }
    }

    /// Removes up to `most` patterns of dropped feeds from the routes. Returns whether there are
    /// more.
    pub(crate) fn remove_dropped(&mut self, mut most: usize) -> bool {
        while most > 0
            && let Some(id) = self.dropped.front().copied()
        {
            let Some(slot) = &mut self.slots[id as usize] else {
                self.dropped.pop_front();
                continue;
            };
            let first = slot.routed.saturating_sub(most);
            for pattern in &slot.feed.filter().patterns()[first..slot.routed] {
                remove_route(&mut self.routes, pattern, id);
            }
            // A feed counts too, so that many small ones go in several steps.
            most = most.saturating_sub(slot.routed - first + 1);
            slot.routed = first;
            if first == 0 {
                self.filter_bytes -= slot.key.bytes;
                self.slots[id as usize] = None;
                self.dropped.pop_front();
                self.free.push(id);
                self.generation += 1;
            }
        }
        !self.dropped.is_empty()
    }

    /// Drops those of the next `count` feeds that have had no reader for `feed_idle`, and removes
    /// some of their patterns. Returns whether there is nothing more to do.
    pub(crate) fn sweep(&mut self, from: u32, count: u32, now: Duration, config: &Config) -> bool {
        let end = (from as usize + count as usize).min(self.slots.len());
        for at in (from as usize).min(end)..end {
            if let Some(slot) = &mut self.slots[at] {
                slot.feed.past.sweep();
                slot.feed.stored.sweep();
                slot.idle_since = match slot.idle_since {
                    _ if slot.feed.readers() > 0 => None,
                    None => Some(now),
                    since => since,
                };
            }
            let idle = |since| now.saturating_sub(since) >= config.feed_idle;
            self.drop_unread(at, |slot| slot.idle_since.is_some_and(idle));
        }
        !self.remove_dropped(ROUTED) && end == self.slots.len()
    }

    /// Drops all feeds without readers, and all cached reads.
    pub(crate) fn shed(&mut self) {
        self.drop_idle(self.slots.len());
        for slot in self.slots.iter().flatten() {
            slot.feed.past.clear();
            slot.feed.stored.clear();
        }
    }
}

/// The memory of feeds.
impl Feeds {
    /// Returns the most bytes of a feed that an event is appended to.
    ///
    /// While all feeds together have room, one may have `feed_bytes`. Beyond that, those that have
    /// more than an even share give way, but no feed is left less than `feed_min_bytes`. Feeds
    /// without events have no share.
    #[inline]
    pub(super) fn budget(&self, config: &Config) -> usize {
        if self.bytes() <= config.feeds_bytes {
            return config.feed_bytes;
        }
        let share = config.feeds_bytes / self.totals.filled().max(1);
        config.feed_bytes.min(share.max(config.feed_min_bytes))
    }

    /// Takes memory from some feeds if all together have too much: everything from those without
    /// readers, and then from others what exceeds their share.
    #[inline]
    pub(crate) fn relieve(&mut self, config: &Config) {
        if self.bytes() > config.feeds_bytes {
            self.take_excess(config);
        }
    }

    #[cold]
    fn take_excess(&mut self, config: &Config) {
        if self.hand >= self.slots.len() {
            self.hand = 0;
        }
        let end = (self.hand + RELIEVED).min(self.slots.len());
        let feeds = self.slots[self.hand..end].iter().flatten();
        let feeds = feeds.map(|slot| Arc::as_ref(&slot.feed));
        for idle in feeds.clone().filter(|feed| feed.readers() == 0) {
            idle.shrink_to(0);
        }
        if self.bytes() > config.feeds_bytes {
            let budget = self.budget(config);
            feeds.for_each(|feed| feed.shrink_to(budget));
        }
        self.hand = end;
    }
}

/// Removes a slot from the routes of a pattern.
fn remove_route(routes: &mut Matcher<Vec<u32>>, pattern: &Pattern, id: u32) {
    let Some(ids) = routes.get_mut(pattern) else {
        return;
    };
    if let Some(at) = ids.iter().position(|other| *other == id) {
        ids.swap_remove(at);
    }
    if ids.is_empty() {
        routes.remove(pattern);
    } else if ids.len() < ids.capacity() / 4 {
        ids.shrink_to(ids.len() * 2);
    }
}
