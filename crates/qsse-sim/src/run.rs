//! Runs a program: its steps, then a time without disturbance, then the judgement.

mod judge;
mod steps;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use qsse_client::EventId;
use qsse_testing::net::Conditions;
use qsse_topic::TopicRef;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{sleep, timeout};

use crate::model::{To, Told};
use crate::program::{By, CLIENTS, From, Lag, Program, SUBS, StoreKind, TOPICS};
use crate::publishing::single;
use crate::reading::{Subscriber, Wish};
use crate::world::World;

/// The longest that a run may take on its own clock.
const WATCHDOG: Duration = Duration::from_secs(4 * 60 * 60);

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What was found to be wrong; empty is good.
    pub(crate) faults: Vec<String>,
    /// Of every datagram and of everything that was seen and told.
    pub(crate) trace: u64,
    pub(crate) publishes: u64,
    /// Events that subscribers saw.
    pub(crate) seen: u64,
    /// Gaps and resets.
    pub(crate) news: u64,
    pub(crate) kills: u64,
    /// On its own clock.
    pub(crate) took: Duration,
}

/// Runs a program in a runtime of its own.
pub(crate) fn run(program: &Program) -> Outcome {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true);
    // Whom a channel wakes first is drawn by the runtime.
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(
        &program.seed.to_le_bytes(),
    ));
    let runtime = builder.build().expect("a runtime");
    let local = LocalSet::new();
    let outcome = local.block_on(&runtime, async {
        let world = Rc::new(World::new(program.seed, &program.setting));
        let begun = tokio::time::Instant::now();
        let mut run = Run {
            world: Rc::clone(&world),
            subscribers: BTreeMap::new(),
            saved: BTreeMap::new(),
            tasks: Vec::new(),
            kills: 0,
        };
        if timeout(WATCHDOG, run.all(program)).await.is_err() {
            world.fault(format!("it does not end within {WATCHDOG:?}"));
        }
        let model = world.model.borrow();
        Outcome {
            faults: model.faults.clone(),
            trace: world.network.trace_hash() ^ model.hash.rotate_left(1),
            publishes: model.publishes.len() as u64,
            seen: model.seen,
            news: model.news,
            kills: run.kills,
            took: begun.elapsed(),
        }
    });
    drop(local);
    runtime.shutdown_background();
    outcome
}

struct Run {
    world: Rc<World>,
    subscribers: BTreeMap<usize, Subscriber>,
    /// The last cursor of each place.
    saved: BTreeMap<usize, EventId>,
    /// Single publishes under way.
    tasks: Vec<JoinHandle<()>>,
    kills: u64,
}

impl Run {
    async fn all(&mut self, program: &Program) {
        self.world.start().await;
        (0..CLIENTS).for_each(|place| self.world.connect(place));
        sleep(Duration::from_millis(500)).await;
        for (at, step) in program.steps.iter().enumerate() {
            sleep(Duration::from_millis(step.after_ms)).await;
            crate::tell(|| format!("{} ms: {at} {:?}", self.world.now_ms(), step.op));
            self.step(at, &step.op).await;
        }
        crate::tell(|| format!("{} ms: peace", self.world.now_ms()));
        self.make_peace().await;
        crate::tell(|| format!("{} ms: judging", self.world.now_ms()));
        if self.judge().await.is_some() {
            self.leave().await;
        }
    }

    fn order(&self, sub: usize, change: impl FnOnce(&mut crate::reading::Orders)) {
        if let Some(subscriber) = self.subscribers.get(&sub) {
            subscriber.orders.send_modify(change);
        }
    }

    async fn unsubscribe(&mut self, sub: usize) {
        if let Some(subscriber) = self.subscribers.remove(&sub)
            && let Some(cursor) = subscriber.stop(&self.world).await
        {
            self.saved.insert(sub, cursor);
        }
    }
}

thread_local! {
    /// What tasks of the run panicked with.
    pub(crate) static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}
