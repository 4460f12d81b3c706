//! Which publishes were taken lately, by key: so that one that is tried again is not taken twice.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use qsse_proto::{EventId, Timestamp};

use crate::append::Appended;
use crate::config::Config;
use crate::storage::Opened;
use crate::time::Now;

/// How much later than its sender says a retry may have been sent: what a connection may hold it up before it is given up.
const DELAY: Duration = Duration::from_secs(30);

/// Added to every time here, so that there is room for those before the start.
const BEFORE: Duration = Duration::from_secs(1 << 32);

/// What makes two publishes the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    scope: [u8; 16],
    key: Bytes,
}

impl Key {
    /// A key within a scope: two scopes never share a key. The scope stands for who publishes and under which name.
    pub fn new(scope: [u8; 16], key: impl Into<Bytes>) -> Self {
        let key = key.into();
        Self { scope, key }
    }

    /// The scope.
    pub fn scope(&self) -> [u8; 16] {
        self.scope
    }

    /// The key itself.
    pub fn key(&self) -> &Bytes {
        &self.key
    }
}

/// What is known of a keyed publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It was not taken before.
    New,
    /// It was taken: these are its events; `None` if it reached no topic.
    Taken(Option<Appended>),
    /// It is tried again, and it is not known any more whether it was taken.
    Unknown,
}

/// The keys of the window, oldest first.
#[derive(Default)]
pub(crate) struct Dedup {
    taken: HashMap<Key, Option<Appended>>,
    /// When each was taken.
    order: VecDeque<(Duration, Key)>,
    /// When the newest of those was taken that are known no more.
    forgotten: Option<Duration>,
}

impl Dedup {
    /// What is known of `key`, first sent `ago` if this is not the first attempt.
    pub(crate) fn look_up(&self, key: &Key, ago: Option<Duration>, now: Duration) -> Known {
        if let Some(taken) = self.taken.get(key) {
            return Known::Taken(*taken);
        }
        let (Some(ago), Some(forgotten)) = (ago, self.forgotten) else {
            return Known::New;
        };
        // Had it been taken, it would have been after this.
        let earliest = (now + BEFORE).checked_sub(ago + DELAY);
        if earliest.is_some_and(|earliest| earliest > forgotten) {
            Known::New
        } else {
            Known::Unknown
        }
    }

    /// Notes what a publish has become.
    pub(crate) fn insert(
        &mut self,
        key: Key,
        taken: Option<Appended>,
        now: Duration,
        config: &Config,
    ) {
        if self.taken.insert(key.clone(), taken).is_none() {
            self.order.push_back((now + BEFORE, key));
        }
        self.trim(now, config);
    }

    /// Forgets one that was not taken after all.
    pub(crate) fn remove(&mut self, key: &Key) {
        if self.taken.remove(key).is_some() {
            self.order.retain(|(_, other)| other != key);
        }
    }

    /// Takes over the keys of an earlier process.
    pub(crate) fn recover(&mut self, opened: &Opened, now: Now) {
        let age = |time: Timestamp| now.wall.saturating_since(time);
        let then = |age: Duration| (now.monotonic + BEFORE).saturating_sub(age);
        self.forgotten = Some(then(age(opened.last_time) + opened.keys_age));
        for (key, seq, time) in &opened.keys {
            let id = EventId::new(opened.epoch, *seq);
            let (first, last) = (id, id);
            self.taken
                .insert(key.clone(), Some(Appended { first, last }));
            self.order.push_back((then(age(*time)), key.clone()));
        }
    }

    /// Forgets what is out of the window.
    pub(crate) fn trim(&mut self, now: Duration, config: &Config) {
        let horizon = (now + BEFORE).checked_sub(config.dedup_window);
        while let Some((taken, _)) = self.order.front()
            && (self.order.len() > config.dedup_keys
                || horizon.is_some_and(|horizon| *taken < horizon))
        {
            if let Some((taken, key)) = self.order.pop_front() {
                self.taken.remove(&key);
                self.forgotten = Some(taken);
            }
        }
    }

    /// How many keys are known.
    pub(crate) fn len(&self) -> usize {
        self.taken.len()
    }
}
