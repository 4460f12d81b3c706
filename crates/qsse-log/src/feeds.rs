//! [`Feeds`]: all feeds of a log. Publishing finds them by topic.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;
use qsse_topic::{Filter, Matcher, Pattern};

use crate::batches::{Batches, LargeBatch};
use crate::config::Config;
use crate::error::StartError;
use crate::event::Incoming;
use crate::feed::{Feed, FeedTotals, FeedWriter};

mod room;

/// The patterns that are added to the routes, or removed from them, in one step, which holds the
/// log's lock. That takes less than 100 microseconds.
pub(crate) const ROUTED: usize = 128;

/// All feeds of a log.
///
/// A filter may have many patterns, so a feed is made and dropped in small steps: the log's lock,
/// which publishing needs, is released in between.
#[derive(Default)]
pub(crate) struct Feeds {
    /// The slots of all feeds but those that are being dropped, by the hash of their filter.
    by_filter: HashTable<u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    routes: Matcher<Vec<u32>>,
    /// Changes whenever a feed was added or dropped, which invalidates cached routes.
    generation: u64,
    totals: Arc<FeedTotals>,
    /// Counts the batches of all feeds.
    batches: Batches,
    /// Feeds that are being dropped, oldest first.
    dropped: VecDeque<u32>,
    /// Bytes of all filters and routes.
    filter_bytes: usize,
    /// The slot at which the search for memory goes on.
    hand: usize,
}

struct Slot {
    feed: Arc<Feed>,
    key: FilterKey,
    /// How many of the filter's patterns are in the routes.
    routed: usize,
    /// Whether all patterns have been there, so that the feed lacks no event since then.
    complete: bool,
    /// When a sweep first saw the feed without readers.
    idle_since: Option<Duration>,
}

/// What is computed of a filter before the log is locked.
#[derive(Clone, Copy)]
pub(crate) struct FilterKey {
    hash: u64,
    /// About how many bytes its feed takes besides its batches.
    bytes: usize,
}

impl FilterKey {
    pub(crate) fn new(filter: &Filter, hasher: &impl BuildHasher) -> Self {
        let patterns = filter.patterns().iter().map(pattern_bytes);
        Self {
            hash: hasher.hash_one(filter),
            bytes: size_of::<Feed>() + size_of::<Slot>() + 256 + patterns.sum::<usize>(),
        }
    }
}

/// Returns about how many bytes a pattern takes, in the filter and in the routes.
fn pattern_bytes(pattern: &Pattern) -> usize {
    // A long text is allocated, once for both.
    let text = match pattern.as_str().len() {
        ..=24 => 0,
        long => long + 48,
    };
    let route = size_of::<Pattern>() + size_of::<Vec<u32>>() + 32;
    let indexed = match pattern.is_exact() {
        // In a hash map that is half full.
        true => 2 * route,
        // In a tree with a node for each segment.
        false => route + 104 * (1 + pattern.as_str().matches('.').count()),
    };
    size_of::<Pattern>() + text + indexed
}

/// A feed that somebody reads. Dropping it removes the reader.
pub(crate) struct JoinedFeed {
    feed: Arc<Feed>,
    id: u32,
}

impl JoinedFeed {
    /// Returns the feed without being its reader.
    pub(crate) fn shared(&self) -> Arc<Feed> {
        Arc::clone(&self.feed)
    }
}

impl Deref for JoinedFeed {
    type Target = Feed;

    fn deref(&self) -> &Feed {
        &self.feed
    }
}

impl Drop for JoinedFeed {
    fn drop(&mut self) {
        self.feed.leave();
    }
}

/// Appends a run of events to their feeds. A feed stays locked until an event goes to another one.
pub(crate) struct FeedsWriter<'a> {
    feeds: &'a Feeds,
    config: &'a Config,
    /// The most bytes of the feed that is locked.
    budget: usize,
    held: Option<(u32, FeedWriter<'a>)>,
}

impl FeedsWriter<'_> {
    /// Appends an event; `large` is the batch of a large one.
    pub(crate) fn append(&mut self, slot: u32, event: Incoming<'_>, large: Option<&LargeBatch>) {
        if self.held.as_ref().is_none_or(|(held, _)| *held != slot) {
            // The other feed is unlocked and counted first.
            self.held = None;
            self.budget = self.feeds.budget(self.config);
            self.held = Some((slot, self.feeds.slot(slot).feed.write()));
        }
        if let Some((_, writing)) = &mut self.held {
            writing.append(event, large, self.budget);
        }
    }
}

/// Opening.
impl Feeds {
    /// Creates none. `batches` counts those of all feeds.
    pub(crate) fn new(batches: Batches) -> Self {
        Self {
            batches,
            ..Self::default()
        }
    }

    /// Joins the feed of a filter, or a new one, which has to be [routed](Self::route). Returns
    /// `None` if room has to be made for it first: call it again.
    ///
    /// # Errors
    /// [`StartError::TooManyFilters`].
    pub(crate) fn join(
        &mut self,
        filter: &Filter,
        key: FilterKey,
        config: &Config,
    ) -> Result<Option<JoinedFeed>, StartError> {
        let known = self.by_filter.find(key.hash, |id| {
            let slot = self.slot(*id);
            slot.key.hash == key.hash && slot.feed.filter() == filter
        });
        if let Some(id) = known.copied() {
            let feed = Arc::clone(&self.slot(id).feed);
            feed.join();
            return Ok(Some(JoinedFeed { feed, id }));
        }
        if !self.make_room(key.bytes, config)? {
            return Ok(None);
        }
        let totals = Arc::clone(&self.totals);
        let feed = Arc::new(Feed::new(filter.clone(), totals, &self.batches));
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("the number of feeds has a limit")
        });
        self.slots[id as usize] = Some(Slot {
            feed: Arc::clone(&feed),
            key,
            routed: 0,
            complete: false,
            idle_since: None,
        });
        let slots = &self.slots;
        let hash = |id: &u32| slots[*id as usize].as_ref().map_or(0, |slot| slot.key.hash);
        self.by_filter.insert_unique(key.hash, id, hash);
        self.filter_bytes += key.bytes;
        Ok(Some(JoinedFeed { feed, id }))
    }

    /// Adds the next patterns of a feed to the routes. Returns true once all are there. The feed
    /// then begins after the log's `head`.
    pub(crate) fn route(&mut self, joined: &JoinedFeed, head: u64) -> bool {
        let id = joined.id;
        let slot = self.slots[id as usize]
            .as_mut()
            .expect("a feed with a reader is not dropped");
        if slot.complete {
            return true;
        }
        let patterns = joined.filter().patterns();
        let left = &patterns[slot.routed..];
        let part = &left[..left.len().min(ROUTED)];
        for pattern in part {
            match self.routes.get_mut(pattern) {
                Some(ids) => ids.push(id),
                None => drop(self.routes.insert(pattern.clone(), vec![id])),
            }
        }
        slot.routed += part.len();
        slot.complete = slot.routed == patterns.len();
        if slot.complete {
            // Events that came meanwhile may be missing.
            joined.begin_after(head);
            self.generation += 1;
        }
        slot.complete
    }
}

/// Publishing.
impl Feeds {
    pub(crate) fn routes(&self) -> (&Matcher<Vec<u32>>, u64) {
        (&self.routes, self.generation)
    }

    /// Prepares for appending a run of events.
    pub(crate) fn writer<'a>(&'a self, config: &'a Config) -> FeedsWriter<'a> {
        FeedsWriter {
            feeds: self,
            config,
            budget: 0,
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

    /// Returns the allocated bytes of all feeds, apart from their filters. A large event that
    /// several hold counts once, and not if the history holds it too.
    pub(crate) fn bytes(&self) -> usize {
        self.totals.bytes() + self.batches.large_beside_history()
    }

    /// Returns the part of [`bytes`](Self::bytes) that is no batch: open batches and other encodings.
    pub(crate) fn bytes_beside_batches(&self) -> usize {
        self.totals.bytes().saturating_sub(self.batches.own_bytes())
    }

    /// Returns the bytes of all filters and routes.
    pub(crate) fn filter_bytes(&self) -> usize {
        self.filter_bytes
    }

    fn slot(&self, id: u32) -> &Slot {
        self.slots[id as usize]
            .as_ref()
            .expect("a routed slot is taken")
    }
}

#[cfg(test)]
mod tests;
