//! One run: starts publishers and subscribers, ends them, and makes the report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Error, Result};
use qsse_client::SubscriptionError;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::clock::Clock;
use super::connections::Connections;
use super::figures::Figures;
use super::options::Options;
use super::pace;
use super::plan::Plan;
use super::publishing::{self, AllSent, Load};
use super::receiving::{self, Received, Reception, Tally};
use super::report::{Delivered, Published, Report};
use crate::console;
use crate::exit::{Status, fail};
use crate::stop::{Stop, Stopped};
use crate::text::thousands;

/// The interval of progress reports.
const PROGRESS: Duration = Duration::from_secs(1);

/// How long no event may be delivered before the missing ones count as lost.
const SETTLE: Duration = Duration::from_secs(2);

/// Why a run ended.
pub(super) enum End {
    Done,
    Stopped(Stopped),
    Failed(Error),
}

/// Runs a load to its end. Returns the report, and why it ended.
///
/// # Errors
/// It cannot begin.
pub(super) async fn measure(
    options: &Options,
    plan: Arc<Plan>,
    mut connections: Connections,
    stop: &Stop,
) -> Result<(Report, End)> {
    let run: u64 = random();
    let clock = Clock::start(options.warmup.into(), options.duration.into());
    let counted_run = (!options.subscribe_only).then_some(run);
    let mut subscribers = Subscribers::start(&mut connections, clock, counted_run);
    let mut publishers = Publishers::start(options, &plan, &mut connections, clock, run)?;

    let (load, reception) = (publishers.load.clone(), Arc::clone(&subscribers.reception));
    let mut end = tokio::select! {
        biased;
        why = stop.wait() => End::Stopped(why),
        error = publishers.first_failure() => End::Failed(error),
        error = subscribers.first_end() => End::Failed(error),
        () = tokio::time::sleep(clock.whole()) => End::Done,
        () = report_progress(&load, &reception) => End::Done,
    };
    let to = clock.now().min(clock.to);
    if let Err(error) = publishers.finish().await {
        end = End::Failed(error);
    }
    settle(&plan, &publishers.sent, &reception).await;
    subscribers.tasks.shutdown().await;

    let published = || publishers.published(to, matches!(end, End::Done));
    let delivered = || {
        let tally = subscribers.tally(&plan, run, &publishers.sent);
        subscribers.delivered(to, tally, options.subscribe_only)
    };
    let report = Report {
        subscribers: plan.filters.len(),
        publishers: plan.publishers,
        connections: connections.len(),
        rate: if options.subscribe_only {
            0
        } else {
            options.rate
        },
        size: plan.size,
        seconds: Duration::from(options.duration).as_secs_f64(),
        interrupted: !matches!(end, End::Done),
        reconnects: connections.reconnects(),
        published: (!options.subscribe_only).then(published),
        delivered: (!options.publish_only).then(delivered),
    };
    Ok((report, end))
}

/// The subscribers of a run.
struct Subscribers {
    reception: Arc<Reception>,
    /// What each has received.
    received: Vec<Arc<Mutex<Received>>>,
    tasks: JoinSet<Option<SubscriptionError>>,
}

impl Subscribers {
    fn start(connections: &mut Connections, clock: Clock, run: Option<u64>) -> Self {
        let reception = Arc::new(Reception {
            clock,
            run,
            figures: Figures::new(),
            total: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        let mut received = Vec::new();
        for (index, subscription) in connections.subscriptions.drain(..).enumerate() {
            let of_one = Arc::new(Mutex::new(Received::default()));
            received.push(Arc::clone(&of_one));
            let reception = Arc::clone(&reception);
            tasks.spawn(receiving::receive(subscription, index, reception, of_one));
        }
        Self {
            reception,
            received,
            tasks,
        }
    }

    /// Waits for a subscription that ends. Never returns if there is none.
    async fn first_end(&mut self) -> Error {
        match self.tasks.join_next().await {
            Some(ended) => subscription_ended(ended),
            None => std::future::pending().await,
        }
    }

    fn tally(&self, plan: &Plan, run: u64, sent: &AllSent) -> Tally {
        let each = plan.filters.iter().zip(&self.received);
        let each = each.map(|(filter, received)| {
            let received = received.lock().expect("receiving does not panic");
            received.tally(filter, plan, run, sent)
        });
        each.fold(Tally::default(), Tally::and)
    }

    fn delivered(&self, to: u64, tally: Tally, other_clock: bool) -> Delivered {
        let from = self.reception.clock.from;
        let (events, per_second, latency_us) = self.reception.figures.sum(from, to);
        let Tally {
            lost,
            duplicated,
            misordered,
            told,
            foreign,
        } = tally;
        Delivered {
            events,
            per_second,
            lost,
            duplicated,
            misordered,
            gaps: told,
            foreign,
            latency_us,
            other_clock,
        }
    }
}

/// The publishers of a run.
struct Publishers {
    load: Load,
    tasks: JoinSet<Result<AllSent>>,
    /// What those that have ended have sent.
    sent: AllSent,
    stop: watch::Sender<bool>,
}

impl Publishers {
    fn start(
        options: &Options,
        plan: &Arc<Plan>,
        connections: &mut Connections,
        clock: Clock,
        run: u64,
    ) -> Result<Self> {
        let (stop, stopping) = watch::channel(false);
        let load = Load {
            plan: Arc::clone(plan),
            clock,
            run,
            rate: options.rate,
            in_flight: options.in_flight as usize,
            due: pace::start(clock, options.rate)?,
            stop: stopping,
            figures: Arc::new(Figures::new()),
            acknowledged: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        for (index, client) in connections.publishers.drain(..).enumerate() {
            tasks.spawn(publishing::publish(client, index, load.clone()));
        }
        Ok(Self {
            load,
            tasks,
            sent: AllSent::new(),
            stop,
        })
    }

    /// Waits for a publisher that fails. Never returns if none does.
    async fn first_failure(&mut self) -> Error {
        while let Some(done) = self.tasks.join_next().await {
            match done.map_err(Error::from).and_then(|done| done) {
                Ok(of_one) => self.sent.extend(of_one),
                Err(error) => return error,
            }
        }
        std::future::pending().await
    }

    /// Stops the publishers and waits for them.
    ///
    /// # Errors
    /// The last error of a publisher.
    async fn finish(&mut self) -> Result<()> {
        self.stop.send_replace(true);
        let mut result = Ok(());
        while let Some(done) = self.tasks.join_next().await {
            match done.map_err(Error::from).and_then(|done| done) {
                Ok(of_one) => self.sent.extend(of_one),
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn published(&self, to: u64, is_done: bool) -> Published {
        let Load { clock, rate, .. } = &self.load;
        let (events, per_second, latency_us) = self.load.figures.sum(clock.from, to);
        let all: u64 = self.sent.values().map(|sent| sent.end).sum();
        let due = if is_done {
            pace::in_all(clock, *rate)
        } else {
            all
        };
        let unacknowledged = self
            .sent
            .values()
            .map(|sent| sent.unacknowledged.len() as u64);
        Published {
            events,
            per_second,
            unacknowledged: unacknowledged.sum(),
            not_sent: due.saturating_sub(all),
            latency_us,
        }
    }
}

/// Reports the progress on standard error, for ever.
async fn report_progress(load: &Load, reception: &Reception) {
    let mut ticks = tokio::time::interval(PROGRESS);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        console::tell(format_args!(
            "{:>4} s: {} published, {} delivered",
            load.clock.elapsed().as_secs(),
            thousands(load.acknowledged.load(Ordering::Relaxed)),
            thousands(reception.total.load(Ordering::Relaxed)),
        ));
    }
}

fn subscription_ended(ended: Result<Option<SubscriptionError>, JoinError>) -> Error {
    match ended {
        Ok(Some(error)) => error.into(),
        Ok(None) => fail(Status::Unreachable, "a subscription ended"),
        Err(error) => error.into(),
    }
}

/// Waits until all acknowledged events were delivered, or deliveries stop.
async fn settle(plan: &Plan, sent: &AllSent, reception: &Reception) {
    let expected = receiving::expected(plan, sent);
    let mut total = reception.total.load(Ordering::Relaxed);
    let mut since = reception.clock.elapsed();
    while total < expected && reception.clock.elapsed() - since < SETTLE {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = reception.total.load(Ordering::Relaxed);
        if now > total {
            total = now;
            since = reception.clock.elapsed();
        }
    }
}

/// Returns a random number, which no other load has.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
