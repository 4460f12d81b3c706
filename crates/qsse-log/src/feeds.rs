//! [`Feeds`]: all feeds of a log. Publishing finds them by topic.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use qsse_proto::batch::Batch;
use qsse_topic::{Filter, Matcher};

use crate::budget::Budget;
use crate::config::Config;
use crate::event::Incoming;
use crate::feed::{Feed, FeedWriter};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// If there are more feeds without readers, they are dropped at once.
const IDLE_FEEDS: usize = 1_024;

/// The feeds by filter, by slot and by pattern.
#[derive(Default)]
pub(crate) struct Feeds {
    by_filter: HashMap<Filter, u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    routes: Matcher<Vec<u32>>,
    /// Changes whenever a feed is added or dropped, which invalidates cached routes.
    generation: u64,
    bytes: Arc<AtomicUsize>,
    /// Counts the batches of all feeds.
    pub(crate) batches: Budget,
}

struct Slot {
    feed: Arc<Feed>,
    /// When a sweep first saw the feed without readers.
    idle_since: Option<Duration>,
}

/// Appends a run of events to their feeds. A feed stays locked until an event goes to another one.
pub(crate) struct FeedsWriter<'a> {
    feeds: &'a Feeds,
    budget: usize,
    held: Option<(u32, FeedWriter<'a>)>,
}

impl FeedsWriter<'_> {
    /// Appends an event; `large` is the batch of a large one.
    pub(crate) fn append(&mut self, slot: u32, event: Incoming<'_>, large: Option<&Batch>) {
        if self.held.as_ref().is_none_or(|(held, _)| *held != slot) {
            // The other feed is unlocked first.
            self.held = None;
            self.held = Some((slot, self.feeds.slot(slot).feed.write()));
        }
        if let Some((_, writing)) = &mut self.held {
            writing.append(event, large, self.budget);
        }
    }
}

impl Feeds {
    /// Returns the feed of a filter. A new feed has the log's head as its floor.
    pub(crate) fn open(&mut self, filter: &Filter, head: u64, config: &Config) -> Arc<Feed> {
        if let Some(slot) = self.by_filter.get(filter) {
            return Arc::clone(&self.slot(*slot).feed);
        }
        if self.len() >= IDLE_FEEDS && self.idle() >= IDLE_FEEDS {
            self.drop_if(|slot| slot.feed.readers() == 0);
        }
        let feed = Arc::new(Feed::new(
            filter.clone(),
            head,
            Arc::clone(&self.bytes),
            self.batches.clone(),
        ));
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("feeds are bounded by memory")
        });
        self.slots[id as usize] = Some(Slot {
            feed: Arc::clone(&feed),
            idle_since: None,
        });
        self.by_filter.insert(filter.clone(), id);
        for pattern in filter.patterns() {
            match self.routes.get_mut(pattern) {
                Some(ids) => ids.push(id),
                None => drop(self.routes.insert(pattern.clone(), vec![id])),
            }
        }
        self.generation += 1;
        if self.bytes() > config.feeds_bytes {
            let budget = self.budget(config);
            self.slots
                .iter()
                .flatten()
                .for_each(|slot| slot.feed.shrink_to(budget));
        }
        feed
    }

    /// Drops the feeds that have had no reader for `feed_idle`.
    pub(crate) fn sweep(&mut self, now: Duration, config: &Config) {
        for slot in self.slots.iter_mut().flatten() {
            slot.feed.past.sweep();
            slot.feed.stored.sweep();
            slot.idle_since = match slot.idle_since {
                _ if slot.feed.readers() > 0 => None,
                None => Some(now),
                since => since,
            };
        }
        let idle = config.feed_idle;
        self.drop_if(|slot| {
            slot.feed.readers() == 0
                && slot
                    .idle_since
                    .is_some_and(|since| now.saturating_sub(since) >= idle)
        });
    }

    /// Drops all feeds without readers, and all cached reads.
    pub(crate) fn shed(&mut self) {
        self.drop_if(|slot| slot.feed.readers() == 0);
        for slot in self.slots.iter().flatten() {
            slot.feed.past.clear();
            slot.feed.stored.clear();
        }
    }

    /// Returns the most bytes that one feed may have, given the current number of feeds.
    pub(crate) fn budget(&self, config: &Config) -> usize {
        config
            .feed_bytes
            .min(config.feeds_bytes / self.len().max(1))
    }

    pub(crate) fn routes(&self) -> (&Matcher<Vec<u32>>, u64) {
        (&self.routes, self.generation)
    }

    /// Prepares for appending a run of events to feeds of at most `budget` bytes.
    pub(crate) fn writer(&self, budget: usize) -> FeedsWriter<'_> {
        FeedsWriter {
            feeds: self,
            budget,
            held: None,
        }
    }

    /// Returns the feeds that have a reader.
    pub(crate) fn read(&self) -> Vec<Arc<Feed>> {
        let read = self.slots.iter().flatten();
        let read = read.filter(|slot| slot.feed.readers() > 0);
        read.map(|slot| Arc::clone(&slot.feed)).collect()
    }

    /// Returns the number of feeds.
    pub(crate) fn len(&self) -> usize {
        self.by_filter.len()
    }

    /// Returns the allocated bytes of all feeds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn idle(&self) -> usize {
        self.slots
            .iter()
            .flatten()
            .filter(|slot| slot.feed.readers() == 0)
            .count()
    }

    fn drop_if(&mut self, condition: impl Fn(&Slot) -> bool) {
        for (id, place) in self.slots.iter_mut().enumerate() {
            let Some(slot) = place.take_if(|slot| condition(slot)) else {
                continue;
            };
            let id = id as u32;
            self.by_filter.remove(slot.feed.filter());
            for pattern in slot.feed.filter().patterns() {
                let Some(ids) = self.routes.get_mut(pattern) else {
                    continue;
                };
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.routes.remove(pattern);
                }
            }
            self.free.push(id);
            self.generation += 1;
        }
    }

    fn slot(&self, id: u32) -> &Slot {
        self.slots[id as usize]
            .as_ref()
            .expect("a routed slot is taken")
    }
}

#[cfg(test)]
mod tests {
    use qsse_proto::Timestamp;

    use super::*;

    fn open(feeds: &mut Feeds, filter: &str, config: &Config) -> Arc<Feed> {
        feeds.open(&filter.parse().unwrap(), 0, config)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn feeds_that_nobody_reads_go_when_there_are_too_many() {
        for read in [0, 1] {
            let config = Config::default();
            let mut feeds = Feeds::default();
            for n in 0..IDLE_FEEDS {
                let feed = open(&mut feeds, &format!("t{n}"), &config);
                if n < read {
                    feed.join();
                }
            }
            let generation = feeds.routes().1;
            assert_eq!((feeds.len(), feeds.read().len()), (IDLE_FEEDS, read));
            open(&mut feeds, "one.more", &config);
            let left = if read == 0 { 1 } else { IDLE_FEEDS + 1 };
            assert_eq!(feeds.len(), left);
            assert!(feeds.routes().1 > generation);
        }
    }

    #[test]
    fn a_feed_goes_when_nobody_has_read_it_for_a_while() {
        let config = Config::default();
        let mut feeds = Feeds::default();
        let feed = open(&mut feeds, "a", &config);
        feeds.sweep(seconds(1), &config);
        feed.join();
        feeds.sweep(seconds(5), &config);
        feed.leave(None);
        feeds.sweep(seconds(12), &config);
        feeds.sweep(seconds(21), &config);
        assert_eq!(feeds.len(), 1, "it was read in between");
        feeds.sweep(seconds(22), &config);
        assert_eq!((feeds.len(), feeds.routes().0.len()), (0, 0));
    }

    #[test]
    fn more_feeds_leave_less_room_for_each() {
        let bound = 100 << 10;
        let config = Config::default().feeds_bytes(bound).feed_bytes(bound);
        let mut feeds = Feeds::default();
        for name in ["a", "b", "c"] {
            let feed = open(&mut feeds, name, &config);
            feed.join();
            assert!(feeds.bytes() <= bound, "{} bytes", feeds.bytes());
            for seq in 1..=200 {
                let event = Incoming {
                    seq,
                    time: Timestamp::default(),
                    topic: name,
                    kind: "message",
                    data: &[7; 1_000],
                };
                feed.write().append(event, None, feeds.budget(&config));
            }
            assert!(feeds.bytes() > bound * 3 / 4, "{} bytes", feeds.bytes());
        }
    }
}
