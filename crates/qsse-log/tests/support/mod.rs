//! A storage in memory, and one whose calls hang, fail, take long or panic on demand.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use qsse_log::{Acknowledge, Entry, Now, Recovered, Storage, StorageError, StoredEvents};
use qsse_proto::batch::Batch;
use qsse_proto::{Epoch, Timestamp};
use qsse_topic::{Filter, Topic, TopicRef};
use tokio::sync::watch;

pub(crate) const EPOCH: Epoch = Epoch::new(9);

/// Stores batches in memory.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<Batch>>);

impl Memory {
    fn all(&self) -> Vec<(u64, Topic)> {
        let kept = self.0.lock().unwrap();
        let events = kept.iter().flat_map(Batch::iter);
        let named = events.map(|event| (event.seq(), Topic::new(event.topic()).unwrap()));
        named.collect()
    }
}

#[async_trait]
impl Storage for Memory {
    fn recovered(&self) -> Recovered {
        Recovered::new(EPOCH)
    }

    async fn append(&self, entries: Vec<Entry>, _: Acknowledge) -> Result<(), StorageError> {
        let batches = entries.into_iter().map(|entry| entry.batch);
        self.0.lock().unwrap().extend(batches);
        Ok(())
    }

    async fn reserve(&self, upto: u64) -> Result<u64, StorageError> {
        Ok(upto)
    }

    async fn read(
        &self,
        filter: Filter,
        after: u64,
        upto: u64,
        _: usize,
    ) -> Result<StoredEvents, StorageError> {
        let kept = self.0.lock().unwrap();
        let last = kept.last().map_or(0, Batch::last_seq);
        let wanted = |seq: u64, topic: &str| {
            seq > after && seq <= upto && filter.matches(TopicRef::new(topic).unwrap())
        };
        let batches = kept
            .iter()
            .filter_map(|batch| batch.filter(|event| wanted(event.seq(), event.topic())));
        let mut stored = StoredEvents::default();
        stored.batches = batches.collect();
        stored.through = upto.min(last);
        Ok(stored)
    }

    fn topics(&self, filter: &Filter, limit: usize) -> Vec<Topic> {
        let mut topics: Vec<_> = self.all().into_iter().map(|(_, topic)| topic).collect();
        topics.retain(|topic| filter.matches(topic));
        topics.sort_unstable();
        topics.dedup();
        topics.truncate(limit);
        topics
    }

    fn floor(&self, _: &Filter, _: u64) -> u64 {
        0
    }

    fn oldest(&self) -> u64 {
        0
    }

    async fn seq_at(&self, _: Timestamp, _: Timestamp) -> Result<u64, StorageError> {
        Ok(1)
    }

    async fn tail(
        &self,
        filter: Filter,
        n: u64,
        upto: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError> {
        let mut tail: Vec<(Topic, Vec<u64>)> = Vec::new();
        for (seq, topic) in self.all().into_iter().rev() {
            if seq > upto || !filter.matches(&topic) {
                continue;
            }
            match tail.iter_mut().find(|(known, _)| *known == topic) {
                Some((_, seqs)) if seqs.len() as u64 == n => {}
                Some((_, seqs)) => seqs.push(seq),
                None => tail.push((topic, vec![seq])),
            }
        }
        let firsts = tail
            .into_iter()
            .map(|(topic, seqs)| (topic, *seqs.last().unwrap()));
        Ok(firsts.collect())
    }

    async fn retain(&self, _: Now) -> Result<Vec<(Topic, u64)>, StorageError> {
        Ok(Vec::new())
    }

    async fn close(&self, _: u64) -> Result<(), StorageError> {
        Ok(())
    }

    fn health(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// What a call of a [`Faulty`] storage does instead of its work.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Waits until the fault is changed or the call may pass.
    Hang,
    /// Takes this long, and then does its work.
    Slow(Duration),
    Fail(StorageError),
    Panic,
}

#[derive(Default)]
struct Plan {
    faults: HashMap<&'static str, Fault>,
    /// How many hanging calls may pass.
    passes: HashMap<&'static str, usize>,
    /// How many calls were begun.
    begun: HashMap<&'static str, usize>,
}

/// A storage whose calls do what a test says, by the names of the trait's methods.
pub(crate) struct Faulty {
    inner: Box<dyn Storage>,
    plan: watch::Sender<Plan>,
}

impl Faulty {
    pub(crate) fn new(inner: impl Storage) -> Arc<Self> {
        Arc::new(Self {
            inner: Box::new(inner),
            plan: watch::Sender::default(),
        })
    }

    pub(crate) fn set(&self, call: &'static str, fault: Fault) {
        self.plan
            .send_modify(|plan| drop(plan.faults.insert(call, fault)));
    }

    pub(crate) fn clear(&self, call: &'static str) {
        self.plan.send_modify(|plan| drop(plan.faults.remove(call)));
    }

    /// Lets one hanging call pass, now or later.
    pub(crate) fn pass(&self, call: &'static str) {
        self.plan
            .send_modify(|plan| *plan.passes.entry(call).or_default() += 1);
    }

    /// Waits until `count` of these calls were begun in total.
    pub(crate) async fn begun(&self, call: &'static str, count: usize) {
        let mut plans = self.plan.subscribe();
        let begun = |plan: &Plan| plan.begun.get(call).is_some_and(|begun| *begun >= count);
        plans.wait_for(begun).await.unwrap();
    }

    /// Waits until nobody waits for a hanging call any more.
    pub(crate) async fn given_up(&self) {
        self.plan.closed().await;
    }

    async fn meet(&self, call: &'static str) -> Result<(), StorageError> {
        self.plan
            .send_modify(|plan| *plan.begun.entry(call).or_default() += 1);
        let mut plans = self.plan.subscribe();
        loop {
            let fault = plans.borrow_and_update().faults.get(call).cloned();
            match fault {
                None => return Ok(()),
                Some(Fault::Hang) => {
                    let passes = self.plan.send_if_modified(|plan| {
                        let passes = plan.passes.entry(call).or_default();
                        let may = *passes > 0;
                        *passes -= usize::from(may);
                        may
                    });
                    if passes {
                        return Ok(());
                    }
                    plans.changed().await.unwrap();
                }
                Some(Fault::Slow(time)) => {
                    tokio::time::sleep(time).await;
                    return Ok(());
                }
                Some(Fault::Fail(error)) => return Err(error),
                Some(Fault::Panic) => panic!("{call} of the storage panics"),
            }
        }
    }

    /// Meets the fault of a call that does not wait.
    fn meet_now(&self, call: &'static str) -> Result<(), StorageError> {
        match self.plan.borrow().faults.get(call).cloned() {
            Some(Fault::Panic) => panic!("{call} of the storage panics"),
            Some(Fault::Fail(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// A handle of a storage, for logs that need one of their own.
pub(crate) struct Shared(pub(crate) Arc<Faulty>);

#[async_trait]
impl Storage for Shared {
    fn recovered(&self) -> Recovered {
        self.0.inner.recovered()
    }

    async fn append(
        &self,
        entries: Vec<Entry>,
        acknowledge: Acknowledge,
    ) -> Result<(), StorageError> {
        self.0.meet("append").await?;
        self.0.inner.append(entries, acknowledge).await
    }

    async fn reserve(&self, upto: u64) -> Result<u64, StorageError> {
        self.0.meet("reserve").await?;
        self.0.inner.reserve(upto).await
    }

    async fn read(
        &self,
        filter: Filter,
        after: u64,
        upto: u64,
        budget: usize,
    ) -> Result<StoredEvents, StorageError> {
        self.0.meet("read").await?;
        self.0.inner.read(filter, after, upto, budget).await
    }

    fn topics(&self, filter: &Filter, limit: usize) -> Vec<Topic> {
        let _ = self.0.meet_now("topics");
        self.0.inner.topics(filter, limit)
    }

    fn floor(&self, filter: &Filter, above: u64) -> u64 {
        let _ = self.0.meet_now("floor");
        self.0.inner.floor(filter, above)
    }

    fn oldest(&self) -> u64 {
        let _ = self.0.meet_now("oldest");
        self.0.inner.oldest()
    }

    async fn seq_at(&self, time: Timestamp, until: Timestamp) -> Result<u64, StorageError> {
        self.0.meet("seq_at").await?;
        self.0.inner.seq_at(time, until).await
    }

    async fn tail(
        &self,
        filter: Filter,
        n: u64,
        upto: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError> {
        self.0.meet("tail").await?;
        self.0.inner.tail(filter, n, upto).await
    }

    async fn retain(&self, now: Now) -> Result<Vec<(Topic, u64)>, StorageError> {
        self.0.meet("retain").await?;
        self.0.inner.retain(now).await
    }

    async fn close(&self, given_out: u64) -> Result<(), StorageError> {
        self.0.meet("close").await?;
        self.0.inner.close(given_out).await
    }

    fn health(&self) -> Result<(), StorageError> {
        self.0.meet_now("health")?;
        self.0.inner.health()
    }
}
