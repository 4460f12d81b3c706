//! [`Dedup`]: the keys of recent publishes, by which repetitions are recognised.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::time::Duration;

use qsse_proto::{Epoch, EventId};

use crate::config::Config;
use crate::event::Appended;
use crate::key::{Known, PublishKey};
use crate::storage::Recovered;
use crate::time::{BEFORE, Now};

/// The keys of the window, oldest first.
///
/// A key is stored as a hash of 128 bits with secret seeds. It is short for any key, and nobody can
/// construct a collision.
#[derive(Default)]
pub(crate) struct Dedup {
    seeds: [RandomState; 2],
    taken: HashMap<u128, Taken, BuildHasherDefault<Hashed>>,
    /// When each key was taken.
    order: VecDeque<(Duration, u128)>,
    /// When the newest forgotten key was taken.
    forgotten: Option<Duration>,
    /// When the keys of an earlier process were recovered. Keys of publishes to many topics are not
    /// among them.
    recovered: Option<Duration>,
}

/// The events of a publish: `count` events from `first` on.
#[derive(Clone, Copy)]
struct Taken {
    first: u64,
    count: u32,
}

impl Dedup {
    /// Looks up `key`. `ago` is an upper bound of the time since the first attempt, if this is a
    /// retry; `many` says that it is a publish to many topics.
    pub(crate) fn look_up(
        &self,
        key: &PublishKey,
        ago: Option<Duration>,
        many: bool,
        now: Duration,
        epoch: Epoch,
    ) -> Known {
        if let Some(taken) = self.taken.get(&self.hash(key)) {
            return Known::Taken(taken.events(epoch));
        }
        let forgotten = match self.recovered {
            Some(recovered) if many => self.forgotten.max(Some(recovered)),
            _ => self.forgotten,
        };
        let (Some(ago), Some(forgotten)) = (ago, forgotten) else {
            return Known::New;
        };
        // A publish that was taken would have been taken after this.
        let earliest = (now + BEFORE).checked_sub(ago);
        if earliest.is_some_and(|earliest| earliest > forgotten) {
            Known::New
        } else {
            Known::Unknown
        }
    }

    /// Remembers the events of a publish.
    pub(crate) fn insert(
        &mut self,
        key: &PublishKey,
        events: Option<Appended>,
        now: Duration,
        config: &Config,
    ) {
        let hash = self.hash(key);
        if self.taken.insert(hash, Taken::new(events)).is_none() {
            self.order.push_back((now + BEFORE, hash));
        }
        self.trim(now, config);
    }

    /// Forgets the keys of publishes that were given up.
    pub(crate) fn remove<'k>(&mut self, keys: impl IntoIterator<Item = &'k PublishKey>) {
        let mut removed = false;
        for key in keys {
            let hash = self.hash(key);
            removed |= self.taken.remove(&hash).is_some();
        }
        if removed {
            let taken = &self.taken;
            self.order.retain(|(_, hash)| taken.contains_key(hash));
        }
    }

    /// Recovers the keys of an earlier process. `lost` says that there may be others, of events
    /// that readers have seen and that were not stored.
    pub(crate) fn recover(&mut self, recovered: &Recovered, now: Now, lost: bool) {
        // Counts as if no time has passed since the last event: a wall clock may have jumped.
        let now = now.monotonic + BEFORE;
        let known = if lost {
            Duration::ZERO
        } else {
            recovered.keys_age
        };
        self.recovered = Some(now);
        self.forgotten = Some(now.saturating_sub(known));
        for (key, seq) in &recovered.keys {
            let hash = self.hash(key);
            let (first, count) = (*seq, 1);
            self.taken.insert(hash, Taken { first, count });
            self.order.push_back((now, hash));
        }
    }

    /// Forgets the keys that are outside the window.
    pub(crate) fn trim(&mut self, now: Duration, config: &Config) {
        let horizon = (now + BEFORE).checked_sub(config.dedup_window);
        while let Some((taken, _)) = self.order.front()
            && (self.order.len() > config.dedup_keys
                || horizon.is_some_and(|horizon| *taken < horizon))
        {
            if let Some((taken, hash)) = self.order.pop_front() {
                self.taken.remove(&hash);
                // Never moves back: more keys may be forgotten than were here.
                self.forgotten = self.forgotten.max(Some(taken));
            }
        }
    }

    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.taken.len()
    }

    fn hash(&self, key: &PublishKey) -> u128 {
        let [high, low] = [0, 1].map(|seed| u128::from(self.seeds[seed].hash_one(key)));
        high << 64 | low
    }
}

impl Taken {
    fn new(events: Option<Appended>) -> Self {
        events.map_or(Self { first: 0, count: 0 }, |Appended { first, last }| {
            let count = last.seq() + 1 - first.seq();
            Self {
                first: first.seq(),
                count: u32::try_from(count).unwrap_or(u32::MAX),
            }
        })
    }

    fn events(self, epoch: Epoch) -> Option<Appended> {
        // Both numbers are 0 if there are no events.
        let last = (self.first + u64::from(self.count)).checked_sub(1)?;
        Some(Appended {
            first: EventId::new(epoch, self.first),
            last: EventId::new(epoch, last),
        })
    }
}

/// A hasher for keys that are already hashes.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys of the map are numbers");
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch::new(9);

    fn key(text: &'static str) -> PublishKey {
        PublishKey::new([1; 16], text)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn taken(first: u64, last: u64) -> Appended {
        Appended {
            first: EventId::new(EPOCH, first),
            last: EventId::new(EPOCH, last),
        }
    }

    /// A window with key `a` of an earlier process, which knew the keys of its last 100 s, at 50 s.
    fn recovered(lost: bool) -> Dedup {
        let mut recovered = Recovered::new(EPOCH);
        recovered.keys = vec![(key("a"), 7)];
        recovered.keys_age = seconds(100);
        let now = Now {
            monotonic: seconds(50),
            ..Now::default()
        };
        let mut dedup = Dedup::default();
        dedup.recover(&recovered, now, lost);
        dedup
    }

    #[test]
    fn keys_of_an_earlier_process_are_known_as_far_back_as_it_knew_them() {
        for (many, lost, ago, known) in [
            (false, false, 99, Known::New),
            (false, false, 100, Known::Unknown),
            // Keys of publishes to many topics are not stored.
            (true, false, 0, Known::Unknown),
            // Readers have seen events that were not stored.
            (false, true, 0, Known::Unknown),
        ] {
            let dedup = recovered(lost);
            let look_up = |text, now| {
                let (ago, now) = (Some(seconds(ago)), seconds(now));
                dedup.look_up(&key(text), ago, many, now, EPOCH)
            };
            assert_eq!(look_up("a", 50), Known::Taken(Some(taken(7, 7))));
            assert_eq!(look_up("b", 50), known, "{many} {lost} {ago}");
            assert_eq!(
                look_up("b", 151),
                Known::New,
                "it is younger than this start"
            );
        }
        assert_eq!(recovered(false).len(), 1);
    }

    #[test]
    fn keys_of_an_earlier_process_are_forgotten_after_the_window() {
        let config = Config::default().dedup(seconds(60), 10);
        let mut dedup = recovered(false);
        dedup.trim(seconds(110), &config);
        assert_eq!(dedup.len(), 1, "the window is over only behind its end");
        dedup.trim(seconds(111), &config);
        assert_eq!(dedup.len(), 0);
    }

    #[test]
    fn keys_that_are_given_back_are_free_and_the_others_are_not() {
        let config = Config::default();
        let mut dedup = Dedup::default();
        for (text, seq) in [("a", 1), ("b", 2), ("c", 3)] {
            dedup.insert(&key(text), Some(taken(seq, seq)), seconds(1), &config);
        }
        dedup.remove([&key("a"), &key("x")]);
        let look_up = |text| dedup.look_up(&key(text), None, false, seconds(1), EPOCH);
        assert_eq!(look_up("a"), Known::New);
        assert_eq!(look_up("c"), Known::Taken(Some(taken(3, 3))));
        assert_eq!((dedup.len(), dedup.order.len()), (2, 2));
    }

    #[test]
    fn a_repetition_gets_the_events_of_the_first_publish() {
        for (events, known) in [
            (Some(taken(5, 9)), Some(taken(5, 9))),
            (Some(taken(1, 1)), Some(taken(1, 1))),
            (None, None),
        ] {
            assert_eq!(Taken::new(events).events(EPOCH), known);
        }
    }

    #[test]
    fn scope_and_key_make_a_key() {
        let one = key("a");
        assert_eq!(PublishKey::new([3; 16], "b").scope(), [3; 16]);
        assert_eq!((one.scope(), &one.key()[..]), ([1; 16], &b"a"[..]));
        let dedup = Dedup::default();
        let others = [PublishKey::new([2; 16], "a"), key("b")];
        assert!(
            others
                .iter()
                .all(|other| dedup.hash(other) != dedup.hash(&one))
        );
        assert_eq!(dedup.hash(&key("a")), dedup.hash(&one));
        let [high, low] = [
            dedup.hash(&one) >> 64,
            dedup.hash(&one) & u128::from(u64::MAX),
        ];
        assert!(
            high != 0 && low != 0 && high != low,
            "two hashes of 64 bits"
        );
    }
}
