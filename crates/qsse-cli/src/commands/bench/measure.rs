//! One run: starts publishers and subscribers, ends them, and sums up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Error, Result};
use qsse_client::SubscriptionError;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::Options;
use super::clock::Clock;
use super::connections::Connections;
use super::figures::Figures;
use super::pace;
use super::plan::Plan;
use super::publishing::{self, AllSent, Load};
use super::receiving::{self, Received, Reception, Tally};
use super::report::{Delivered, Published, Report};
use crate::commands::{Stop, Stopped};
use crate::console;
use crate::exit::{Status, fail};
use crate::text::thousands;

/// How often it tells how far it is.
const TELL: Duration = Duration::from_secs(1);

/// How long deliveries may stay away before those that are missing count as lost.
const SETTLE: Duration = Duration::from_secs(2);

/// Why it ended.
pub(super) enum End {
    Done,
    Stopped(Stopped),
    Failed(Error),
}

/// Runs a load to its end; tells what was measured, and why it ended.
///
/// # Errors
/// When it cannot begin.
pub(super) async fn measure(
    options: &Options,
    plan: Arc<Plan>,
    mut connections: Connections,
    stop: &Stop,
) -> Result<(Report, End)> {
    let run: u64 = random();
    let clock = Clock::start(options.warmup.into(), options.duration.into());
    let reception = Arc::new(Reception {
        clock,
        run: (!options.subscribe_only).then_some(run),
        figures: Figures::new(),
        total: AtomicU64::new(0),
    });
    let mut subscribers = JoinSet::new();
    let mut received = Vec::new();
    for (index, subscription) in connections.subscriptions.drain(..).enumerate() {
        let of_one = Arc::new(Mutex::new(Received::default()));
        received.push(Arc::clone(&of_one));
        subscribers.spawn(receiving::receive(
            subscription,
            index,
            Arc::clone(&reception),
            of_one,
        ));
    }
    let (stop_publishing, stopping) = watch::channel(false);
    let load = Load {
        plan: Arc::clone(&plan),
        clock,
        run,
        rate: options.rate,
        in_flight: options.in_flight as usize,
        due: pace::start(clock, options.rate)?,
        stop: stopping,
        figures: Arc::new(Figures::new()),
        acknowledged: Arc::default(),
    };
    let mut publishers = JoinSet::new();
    for (index, client) in connections.publishers.drain(..).enumerate() {
        publishers.spawn(publishing::publish(client, index, load.clone()));
    }

    let mut sent = AllSent::new();
    let mut end = tokio::select! {
        biased;
        why = stop.wait() => End::Stopped(why),
        error = first_failure(&mut publishers, &mut sent) => End::Failed(error),
        Some(ended) = subscribers.join_next() => End::Failed(subscription_ended(ended)),
        () = tokio::time::sleep(clock.whole()) => End::Done,
        () = tell(&load, &reception) => End::Done,
    };
    let to = clock.now().min(clock.to);
    stop_publishing.send_replace(true);
    while let Some(done) = publishers.join_next().await {
        match done.map_err(Error::from).and_then(|done| done) {
            Ok(of_one) => sent.extend(of_one),
            Err(error) => end = End::Failed(error),
        }
    }
    settle(&plan, &sent, &reception).await;
    subscribers.shutdown().await;
    let tally = plan
        .filters
        .iter()
        .zip(&received)
        .map(|(filter, received)| {
            let received = received.lock().expect("receiving does not panic");
            received.tally(filter, &plan, run, &sent)
        });
    let tally = tally.fold(Tally::default(), Tally::and);

    let published = || {
        let (events, per_second, latency_us) = load.figures.sum(clock.from, to);
        let all: u64 = sent.values().map(|sent| sent.end).sum();
        let due = match end {
            End::Done => pace::in_all(&clock, options.rate),
            _ => all,
        };
        Published {
            events,
            per_second,
            unacknowledged: sent
                .values()
                .map(|sent| sent.unacknowledged.len() as u64)
                .sum(),
            not_sent: due.saturating_sub(all),
            latency_us,
        }
    };
    let delivered = || {
        let (events, per_second, latency_us) = reception.figures.sum(clock.from, to);
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
            other_clock: options.subscribe_only,
        }
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

/// Tells on standard error how far it is, for ever.
async fn tell(load: &Load, reception: &Reception) {
    let mut ticks = tokio::time::interval(TELL);
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

/// Waits for a publisher that cannot go on; for ever if none fails.
async fn first_failure(publishers: &mut JoinSet<Result<AllSent>>, sent: &mut AllSent) -> Error {
    while let Some(done) = publishers.join_next().await {
        match done.map_err(Error::from).and_then(|done| done) {
            Ok(of_one) => sent.extend(of_one),
            Err(error) => return error,
        }
    }
    std::future::pending().await
}

fn subscription_ended(ended: Result<Option<SubscriptionError>, JoinError>) -> Error {
    match ended {
        Ok(Some(error)) => error.into(),
        Ok(None) => fail(Status::Unreachable, "a subscription ended"),
        Err(error) => error.into(),
    }
}

/// Waits until all that was acknowledged has come, or nothing comes any more.
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

/// A number that no other load has.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
