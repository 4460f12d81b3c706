//! `qsse bench`: loads a server and measures what comes of it.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Error, Result};
use bytesize::ByteSize;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use qsse_client::{Pattern, Topic};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Stopped, stopped};
use crate::connect::lacking_in_go;
use crate::exit::{Status, fail};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::text::{counted, thousands};

mod clock;
mod connections;
mod figures;
mod pace;
mod payload;
mod plan;
mod publishing;
mod receiving;
mod report;
mod sequence;

use clock::Clock;
use connections::Connections;
use figures::Figures;
use plan::Plan;
use publishing::{AllSent, Load};
use receiving::{Received, Reception, Tally};
use report::{Delivered, Published, Report};

/// Load a server, and measure how fast and how reliably events come
#[derive(Args)]
#[command(after_help = "\
Latency counts from when an event was due by the rate, not from when it was sent: a server that stalls is charged for
all that had to wait. With --rate 0 nothing is due, and it counts from the sending.

Examples:
  qsse bench                                             10 subscribers, 1,000 events a second
  qsse bench --rate 0 --publishers 4 --duration 30s      as fast as it goes
  qsse bench --topic bench.a --topic bench.b --pattern 'bench.*' --pattern bench.a
  qsse bench --publish-only --topic bench                from several machines: one publishes,
  qsse bench --subscribe-only --topic bench              the others subscribe; begin these first

Across machines latency has the difference of their clocks in it: keep them in step, or compare percentiles only.")]
pub(crate) struct Options {
    /// Subscribers, each with every event that its pattern matches
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    subscribers: u32,
    /// Publishers, each with a connection of its own, who take turns
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    publishers: u32,
    /// Events published a second, by all publishers together; 0 is as fast as they are acknowledged
    #[arg(long, value_name = "R", default_value_t = 1000)]
    rate: u64,
    /// Data of each event, at least 32 bytes
    #[arg(long, value_name = "SIZE", default_value = "128")]
    size: ByteSize,
    /// How long it measures
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    duration: humantime::Duration,
    /// How long it runs before that
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    warmup: humantime::Duration,
    /// A topic to publish to; may be repeated, then events go to each in turn
    #[arg(long = "topic", value_name = "TOPIC", default_value = "bench")]
    topics: Vec<Topic>,
    /// What a subscriber subscribes to; may be repeated, then subscribers take one each in turn [default: all topics]
    #[arg(long = "pattern", value_name = "PATTERN")]
    patterns: Vec<Pattern>,
    /// Subscribers that share a connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    per_connection: u32,
    /// Events of each publisher that may wait for their acknowledgement
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    in_flight: u32,
    /// Only publish: the subscribers are elsewhere
    #[arg(long, conflicts_with_all = ["subscribe_only", "subscribers", "patterns", "per_connection"])]
    publish_only: bool,
    /// Only subscribe: the publishers are elsewhere
    #[arg(long, conflicts_with_all = ["publishers", "rate", "size", "in_flight"])]
    subscribe_only: bool,
    /// End with status 9 when an event was lost, came twice or out of order
    #[arg(long)]
    fail_on_gap: bool,
    /// Print the result as a JSON object
    #[arg(long)]
    json: bool,
}

/// How often it tells how far it is.
const TELL: Duration = Duration::from_secs(1);

/// How long deliveries may stay away before those that are missing count as lost.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    let plan = Arc::new(Plan::new(&options)?);
    if plan.publishers > 0 {
        lacking_in_go(settings, "publishing: take --subscribe-only")?;
    }
    let signals = Signals::watch()?;
    let mut stop = pin!(stopped(&signals, settings));
    let connections = tokio::select! {
        biased;
        why = stop.as_mut() => return match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(fail(Status::Unreachable, "time is up before all were connected")),
        },
        opened = Connections::open(&plan, options.per_connection as usize, settings) => opened?,
    };
    eprintln!(
        "{} and {} on {}, for {} and {} before that",
        counted(plan.filters.len() as u64, "subscriber"),
        counted(plan.publishers as u64, "publisher"),
        counted(connections.len() as u64, "connection"),
        options.duration,
        options.warmup,
    );
    let (report, end) = measure(&options, plan, connections, stop).await?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{}", report.text());
    }
    match end {
        End::Failed(error) => Err(error),
        End::Stopped(Stopped::Timeout) => Err(fail(
            Status::Unreachable,
            "time is up before it was measured",
        )),
        _ if report.unacknowledged() > 0 => Ok(Status::Unacknowledged),
        _ if options.fail_on_gap && !report.is_whole() => Ok(Status::Gap),
        _ => Ok(Status::Done),
    }
}

/// Why it ended.
enum End {
    Done,
    Stopped(Stopped),
    Failed(Error),
}

async fn measure(
    options: &Options,
    plan: Arc<Plan>,
    mut connections: Connections,
    stop: Pin<&mut impl Future<Output = Stopped>>,
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
        why = stop => End::Stopped(why),
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
    connections.close().await;
    Ok((report, end))
}

/// Tells on standard error how far it is, for ever.
async fn tell(load: &Load, reception: &Reception) {
    let mut ticks = tokio::time::interval(TELL);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        eprintln!(
            "{:>4} s: {} published, {} delivered",
            load.clock.elapsed().as_secs(),
            thousands(load.acknowledged.load(Ordering::Relaxed)),
            thousands(reception.total.load(Ordering::Relaxed)),
        );
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

fn subscription_ended(
    ended: Result<Option<qsse_client::SubscriptionError>, tokio::task::JoinError>,
) -> Error {
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
