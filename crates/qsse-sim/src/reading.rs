//! Subscribers: each reads as it is told to, goes on where it can, and tells the model what it
//! sees.

mod rights;
mod ways;

use std::rc::Rc;
use std::time::Duration;

use qsse_client::{
    Code, EventId, Filter, Item, Notice, OnLag, Start, SubscribeError, Subscription,
    SubscriptionError,
};
use qsse_proto::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use crate::model::{Began, Reading, Stay};
use crate::program::{By, From, Lag};
use crate::world::World;

use ways::Next;

/// What a subscriber is told to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) reads: bool,
    /// To be read in all, stalled or not.
    pub(crate) owed: u64,
    pub(crate) stop: bool,
}

/// A subscriber at work.
pub(crate) struct Subscriber {
    pub(crate) reading: usize,
    pub(crate) orders: watch::Sender<Orders>,
    task: JoinHandle<()>,
}

/// What it subscribes to, and how it reads.
#[derive(Clone)]
pub(crate) struct Wish {
    place: usize,
    filter: Filter,
    from: From,
    lag: Lag,
    saved: Option<EventId>,
    by: By,
}

impl Wish {
    pub(crate) fn new(
        place: usize,
        filter: &[String],
        from: From,
        lag: Lag,
        saved: Option<EventId>,
        by: By,
    ) -> Self {
        let patterns = filter.iter().map(|text| text.parse().expect("a pattern"));
        Self {
            place,
            filter: Filter::new(patterns).expect("not empty"),
            from,
            lag,
            saved,
            by,
        }
    }

    /// Where to start when the wall clock shows `wall`: behind the cursor if there is one.
    fn start(&self, cursor: Option<EventId>, wall: u64) -> Start {
        let saved = self.saved.filter(|_| self.from == From::Saved);
        match (cursor.or(saved), self.from) {
            (Some(id), _) => Start::After(id),
            (None, From::Live | From::Saved) => Start::Live,
            (None, From::Earliest) => Start::Earliest,
            (None, From::Since { back_ms }) => {
                Start::Since(Timestamp::from_micros(wall.saturating_sub(back_ms * 1_000)))
            }
            (None, From::Last(n)) => Start::Last(n),
        }
    }
}

fn policy(lag: Lag) -> OnLag {
    match lag {
        Lag::CatchUp => OnLag::CatchUp,
        Lag::Skip => OnLag::Skip,
        Lag::Latest => OnLag::Latest,
        Lag::Disconnect => OnLag::Disconnect,
    }
}

impl Subscriber {
    pub(crate) fn start(world: &Rc<World>, name: String, wish: Wish, reads: bool) -> Self {
        let mut model = world.model.borrow_mut();
        model.readings.push(Reading {
            name,
            client: wish.place,
            filter: wish.filter.clone(),
            lag: wish.lag,
            stays: Vec::new(),
            over: false,
        });
        let reading = model.readings.len() - 1;
        drop(model);
        let (orders, told) = watch::channel(Orders {
            reads,
            ..Orders::default()
        });
        let actor = Actor {
            world: Rc::clone(world),
            reading,
            wish,
            read: 0,
        };
        let task = spawn_local(actor.run(told));
        Self {
            reading,
            orders,
            task,
        }
    }

    /// Ends the subscription, and tells its cursor.
    pub(crate) async fn stop(self, world: &World) -> Option<EventId> {
        self.orders.send_modify(|orders| orders.stop = true);
        let _ = self.task.await;
        world.model.borrow().cursor(self.reading)
    }
}

struct Actor {
    world: Rc<World>,
    reading: usize,
    wish: Wish,
    read: u64,
}

/// Why reading stopped.
enum Left {
    /// It was told to.
    Stopped,
    /// The next subscription goes on.
    Again,
    Over,
}

impl Actor {
    async fn run(mut self, mut orders: watch::Receiver<Orders>) {
        let stopped = |orders: &Orders| orders.stop;
        let mut stop = orders.clone();
        loop {
            let subscribed = tokio::select! {
                biased;
                _ = stop.wait_for(stopped) => break,
                subscribed = self.subscribe() => subscribed,
            };
            let Some((made, generation)) = subscribed else {
                break;
            };
            let left = self.follow(made, generation, &mut orders).await;
            match left {
                Left::Stopped | Left::Over => break,
                Left::Again => {}
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(stopped) => break,
                () = sleep(Duration::from_millis(300)) => {}
            }
        }
        self.world.model.borrow_mut().readings[self.reading].over = true;
    }

    /// Subscribes, from the cursor if there is one by now. `None` if it may not.
    async fn subscribe(&mut self) -> Option<(Subscription, u64)> {
        let world = Rc::clone(&self.world);
        let Wish {
            place, filter, lag, ..
        } = self.wish.clone();
        loop {
            let (client, generation) = world.client(place).await;
            let asked = world.model.borrow_mut().moment();
            let resumes = world.model.borrow().cursor(self.reading);
            let start = self.wish.start(resumes, world.wall());
            let (log, acked) = {
                let model = world.model.borrow();
                (model.logs().len(), model.acked())
            };
            let subscribe = client
                .subscribe(filter.clone())
                .start(start)
                .on_lag(policy(lag));
            drop(client);
            match subscribe.await {
                Ok(subscription) => {
                    if !self.may_be_let_in(asked) {
                        world.fault(format!(
                            "client {place} may not subscribe to {filter}, and did"
                        ));
                    }
                    if resumes.is_none() {
                        self.begin(&subscription, start, (log, acked), asked);
                    }
                    self.tell_made(&subscription, start);
                    return Some((subscription, generation));
                }
                Err(SubscribeError::Refused { code, .. })
                    if code == Code::NOT_AUTHORISED && self.may_be_refused(asked) =>
                {
                    return None;
                }
                Err(SubscribeError::Refused { code, .. }) if code.is_retryable() => {
                    sleep(Duration::from_millis(300)).await;
                }
                Err(SubscribeError::Closed(_)) if world.generation(place) != generation => {}
                Err(SubscribeError::Closed(_)) if world.model.borrow().was_out(place) => {
                    world.turned_away(place, generation);
                }
                Err(error) => {
                    world.fault(format!(
                        "client {place} cannot subscribe to {filter} ({start:?}): {error:?}"
                    ));
                    return None;
                }
            }
        }
    }

    /// Notes where a subscription begins that resumes nothing: `log` and `acked` are the number of
    /// logs and what was acknowledged, when it was asked for.
    fn begin(
        &self,
        subscription: &Subscription,
        start: Start,
        (log, acked): (usize, u64),
        asked: u64,
    ) {
        let cursor = subscription.cursor().id();
        let model = self.world.model.borrow();
        let same = model.logs().len() == log && model.log().knows(cursor);
        let acked = if same { acked } else { 0 };
        let head = self.world.head().filter(|_| model.log().knows(cursor));
        let head = head.unwrap_or(u64::MAX);
        drop(model);
        let began = match start {
            Start::After(_) => Began::After,
            Start::Earliest => Began::Earliest,
            Start::Since(time) => Began::Since {
                time: time.as_micros(),
                acked,
            },
            Start::Last(n) => Began::Last {
                n: u64::from(n),
                acked,
                head,
            },
            _ => Began::Live { acked },
        };
        let at = match start {
            Start::After(id) => id,
            _ => cursor,
        };
        self.stay(began, at, asked);
    }

    fn tell_made(&self, subscription: &Subscription, start: Start) {
        let world = &self.world;
        crate::tell(|| {
            let name = &world.model.borrow().readings[self.reading].name;
            let (now, cursor) = (world.now_ms(), subscription.cursor());
            format!("    {now} ms: {name} is made, {start:?}, at {cursor}")
        });
    }

    fn stay(&self, began: Began, at: EventId, asked: u64) {
        let mut model = self.world.model.borrow_mut();
        let when = (asked, model.moment());
        let stay = Stay::new(began, at, when);
        model.readings[self.reading].stays.push(stay);
    }

    /// Reads as it is told to.
    async fn follow(
        &mut self,
        mut subscription: Subscription,
        generation: u64,
        orders: &mut watch::Receiver<Orders>,
    ) -> Left {
        loop {
            let now = *orders.borrow_and_update();
            if now.stop {
                self.note(&subscription);
                return Left::Stopped;
            }
            if !now.reads && self.read >= now.owed {
                if orders.changed().await.is_err() {
                    return Left::Stopped;
                }
                continue;
            }
            let item = tokio::select! {
                biased;
                _ = orders.changed() => continue,
                item = ways::next(self.wish.by, &mut subscription) => item,
            };
            self.read += 1;
            if let Some(left) = self.take(&subscription, generation, item) {
                return left;
            }
        }
    }

    fn note(&self, subscription: &Subscription) {
        let cursor = subscription.cursor().id();
        self.world.model.borrow_mut().position(self.reading, cursor);
    }

    fn take(&self, subscription: &Subscription, generation: u64, item: Next) -> Option<Left> {
        let (world, reading, place) = (&self.world, self.reading, self.wish.place);
        let replaced = world.generation(place) != generation;
        match item {
            Some(Ok(Item::Event(event))) => {
                world.model.borrow_mut().event(reading, &event);
                if subscription.cursor().id() != event.id() {
                    let cursor = subscription.cursor();
                    world.fault(format!("after {} the cursor is {cursor}", event.id()));
                }
            }
            Some(Ok(Item::Notice(Notice::Gap(gap)))) => {
                let now = world.now_ms();
                world.model.borrow_mut().gap(reading, &gap, now);
                let cursor = subscription.cursor().id();
                let one = world.model.borrow().of_one_log(cursor, gap.to);
                if one && cursor.seq() >= gap.to.seq() {
                    world.fault(format!("a gap has moved the cursor to {cursor}: {gap:?}"));
                }
            }
            Some(Ok(Item::Notice(Notice::Reset(reset)))) => {
                let mut model = world.model.borrow_mut();
                model.reset(reading, reset.after, reset.position);
            }
            Some(Ok(Item::Notice(notice))) => world.fault(format!("as of a Go server: {notice}")),
            Some(Err(SubscriptionError::Lagged)) => {
                if self.wish.lag != Lag::Disconnect {
                    world.fault("a subscription was cut off, which had not asked for that");
                }
                self.note(subscription);
                return Some(Left::Again);
            }
            Some(Err(SubscriptionError::Refused { code, .. })) if code.is_retryable() => {
                self.note(subscription);
                return Some(Left::Again);
            }
            Some(Err(SubscriptionError::Refused {
                code: Code::NOT_AUTHORISED,
                ..
            })) => {
                self.note(subscription);
                let model = world.model.borrow();
                let stay = model.readings[reading].stays.last();
                let asked = stay.map_or(0, |stay| stay.asked);
                drop(model);
                if !self.may_be_refused(asked) {
                    world.fault(format!(
                        "a subscription of client {place} was refused, to which it has every right"
                    ));
                }
                return Some(Left::Over);
            }
            Some(Err(SubscriptionError::Closed(_))) | None if replaced => {
                self.note(subscription);
                return Some(Left::Again);
            }
            Some(Err(SubscriptionError::Closed(_))) if self.may_be_out() => {
                self.note(subscription);
                world.turned_away(place, generation);
                return Some(Left::Again);
            }
            None => {
                world.fault(format!(
                    "a subscription of client {place} has ended without a word"
                ));
                return Some(Left::Over);
            }
            Some(Err(error)) => {
                world.fault(format!(
                    "a subscription of client {place} failed: {error:?}"
                ));
                return Some(Left::Over);
            }
        }
        self.note(subscription);
        None
    }
}
