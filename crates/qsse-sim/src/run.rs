//! Running a program: its steps, then peace, then what must be true.

mod judge;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use qsse_client::EventId;
use qsse_store::io::mem::Failure;
use qsse_testing::net::Conditions;
use qsse_topic::TopicRef;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{sleep, timeout};

use crate::model::{To, Told};
use crate::program::{By, CLIENTS, From, How, Lag, Op, Program, SUBS, StoreKind, TOPICS};
use crate::publishing::{send, single};
use crate::reading::{Subscriber, Wish};
use crate::world::{Batch, World};

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

    async fn step(&mut self, at: usize, op: &Op) {
        let world = Rc::clone(&self.world);
        match op.clone() {
            Op::Subscribe {
                sub,
                client,
                filter,
                start,
                lag,
                by,
                reads,
            } => {
                self.unsubscribe(sub).await;
                let name = format!(
                    "subscription {at} ({}, {start:?}, {lag:?})",
                    filter.join(" ")
                );
                let saved = self.saved.get(&sub).copied();
                let wish = Wish::new(client, &filter, start, lag, saved, by);
                let subscriber = Subscriber::start(&world, name, wish, reads);
                self.subscribers.insert(sub, subscriber);
            }
            Op::Unsubscribe { sub } => self.unsubscribe(sub).await,
            Op::Stall { sub } => self.order(sub, |orders| orders.reads = false),
            Op::Resume { sub } => self.order(sub, |orders| orders.reads = true),
            Op::Read { sub, count } => self.order(sub, |orders| orders.owed += count),
            Op::Publish {
                client,
                topic,
                size,
                count,
            } => {
                for _ in 0..count {
                    let to = To::Topic(topic.clone());
                    self.tasks.push(single(&world, client, to, size, None));
                }
            }
            Op::Keyed {
                client,
                topic,
                size,
                key,
                times,
                every_ms,
            } => {
                for _ in 0..times {
                    let to = To::Topic(topic.clone());
                    self.tasks.push(single(&world, client, to, size, Some(key)));
                    sleep(Duration::from_millis(every_ms)).await;
                }
            }
            Op::Matching {
                client,
                pattern,
                size,
            } => {
                let to = To::Pattern(pattern);
                self.tasks.push(single(&world, client, to, size, None));
            }
            Op::Send {
                client,
                exactly_once,
                topic,
                size,
                count,
            } => {
                let batch = Batch { topic, size, count };
                send(&world, client, exactly_once, batch);
            }
            Op::DropClient { client } => {
                world.disconnect(client);
                world.connect(client);
            }
            Op::Partition { client, ms } => {
                world.partition(client, Duration::from_millis(ms));
            }
            Op::Network {
                loss_percent,
                duplicate_percent,
                min_ms,
                max_ms,
            } => {
                let (min, max) = (Duration::from_millis(min_ms), Duration::from_millis(max_ms));
                let conditions = Conditions::default()
                    .loss(f64::from(loss_percent) / 100.0)
                    .duplicate(f64::from(duplicate_percent) / 100.0)
                    .delay(min, max);
                world.network.set_conditions(conditions);
            }
            Op::Restart { drain_ms } => {
                world.drain(Duration::from_millis(drain_ms)).await;
                world.start().await;
            }
            Op::Kill {
                power,
                operations,
                down_ms,
            } => {
                self.kills += 1;
                world.kill(power, operations, at as u64 * 7919).await;
                self.comes_back(down_ms).await;
            }
            Op::Copy => world.copy_store(),
            Op::Restore { down_ms } if world.has_copy() => {
                self.kills += 1;
                world.kill(false, 0, 0).await;
                world.restore();
                self.comes_back(down_ms).await;
            }
            Op::Restore { .. } => {}
            Op::Damage {
                drains,
                part,
                harm,
                per_mille,
            } => {
                match drains {
                    true => world.drain(Duration::from_secs(1)).await,
                    false => world.kill(false, 0, 0).await,
                }
                world.damage(part, harm, f64::from(per_mille) / 1_000.0);
                self.comes_back(0).await;
            }
            Op::Full { room } => {
                world.troubled.set(true);
                world.hurt.set(true);
                world.model.borrow_mut().was_full = true;
                if let Some(disk) = &world.disk {
                    let most = disk.files.used() + room;
                    disk.files.set_capacity(Some(most));
                }
            }
            Op::Room => {
                if let Some(disk) = &world.disk {
                    disk.files.set_capacity(None);
                }
            }
            Op::Fail { operations, how } => {
                world.troubled.set(true);
                world.hurt.set(true);
                world.model.borrow_mut().was_full |= matches!(how, How::Full);
                if let Some(disk) = &world.disk {
                    let failure = match how {
                        How::Io => Failure::Io,
                        How::Full => Failure::Full,
                        How::Short => Failure::Short,
                    };
                    disk.fail_after(operations, failure);
                }
            }
            Op::Clock { seconds } => {
                world.model.borrow_mut().clock_jumped = true;
                let jumped = world.jumped.get() + seconds * 1_000_000;
                world.jumped.set(jumped);
            }
            Op::Refresh { client, rights } => self.tasks.push(world.refresh(client, rights)),
            Op::Revoke { client, rights } => world.revoke(client, rights),
            Op::Hang { ms } => {
                world.troubled.set(true);
                world.hang(Duration::from_millis(ms));
            }
            Op::Wait { ms } => sleep(Duration::from_millis(ms)).await,
        }
        let disturbs = !matches!(
            op,
            Op::Subscribe { .. }
                | Op::Unsubscribe { .. }
                | Op::Publish { .. }
                | Op::Send { .. }
                | Op::Keyed { .. }
                | Op::Matching { .. }
                | Op::Stall { .. }
                | Op::Resume { .. }
                | Op::Read { .. }
                | Op::Wait { .. }
        );
        world.model.borrow_mut().disturbed |= disturbs || world.setting.token_ms.is_some();
    }

    /// The server starts again after a while.
    async fn comes_back(&self, down_ms: u64) {
        sleep(Duration::from_millis(down_ms)).await;
        self.world.uncut_server();
        self.world.start().await;
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
