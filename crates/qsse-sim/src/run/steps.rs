//! The steps of a program: what each operation does to the world.
//!
//! Each group of operations is a function that tells whether the operation is one of its own.

use std::rc::Rc;
use std::time::Duration;

use qsse_store::io::mem::Failure;
use qsse_testing::net::Conditions;
use tokio::time::sleep;

use super::Run;
use crate::model::To;
use crate::program::{How, Op};
use crate::publishing::{send, single};
use crate::reading::{Subscriber, Wish};
use crate::world::Batch;

impl Run {
    /// Takes one step.
    pub(super) async fn step(&mut self, at: usize, op: &Op) {
        let is_quiet = self.reads(at, op).await || self.publishes(op).await;
        let is_taken = is_quiet
            || self.meddles_with_clients(op)
            || self.meddles_with_the_disk(op)
            || self.stops_the_server(at, op).await;
        assert!(is_taken, "no group has {op:?}");
        let world = &self.world;
        world.model.borrow_mut().disturbed |= !is_quiet || world.setting.token_ms.is_some();
    }

    /// Subscriptions, and time that goes by.
    async fn reads(&mut self, at: usize, op: &Op) -> bool {
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
            Op::Wait { ms } => sleep(Duration::from_millis(ms)).await,
            _ => return false,
        }
        true
    }

    async fn publishes(&mut self, op: &Op) -> bool {
        let world = Rc::clone(&self.world);
        match op.clone() {
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
            _ => return false,
        }
        true
    }

    /// Connections, the network between them, tokens and the clock.
    fn meddles_with_clients(&mut self, op: &Op) -> bool {
        let world = Rc::clone(&self.world);
        match op.clone() {
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
            Op::Clock { seconds } => {
                world.model.borrow_mut().clock_jumped = true;
                let jumped = world.jumped.get() + seconds * 1_000_000;
                world.jumped.set(jumped);
            }
            Op::Refresh { client, rights } => self.tasks.push(world.refresh(client, rights)),
            Op::Revoke { client, rights } => world.revoke(client, rights),
            _ => return false,
        }
        true
    }

    /// Disks that are full, fail or hang.
    fn meddles_with_the_disk(&mut self, op: &Op) -> bool {
        let world = Rc::clone(&self.world);
        match op.clone() {
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
            Op::Hang { ms } => {
                world.troubled.set(true);
                world.hang(Duration::from_millis(ms));
            }
            _ => return false,
        }
        true
    }

    /// Servers that end and come back, and what happens to the store in between.
    async fn stops_the_server(&mut self, at: usize, op: &Op) -> bool {
        let world = Rc::clone(&self.world);
        match op.clone() {
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
            _ => return false,
        }
        true
    }

    /// The server starts again after a while.
    async fn comes_back(&self, down_ms: u64) {
        sleep(Duration::from_millis(down_ms)).await;
        self.world.uncut_server();
        self.world.start().await;
    }
}
