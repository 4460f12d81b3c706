//! Subscribers that stop reading: what it does to the others, and to the server's memory.

mod replaying;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use qsse_client::{Client, Config, ServerUrl, Subscription, TransportConfig};
use tokio::task::JoinSet;

use crate::bench::EVENT_BYTES;
use qsse_testing::process::{Program, Running};
use replaying::GUARD;

/// Arguments of `stalled`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program `qsse`.
    #[arg(long)]
    qsse: PathBuf,
    /// Subscribers, each with a connection of its own.
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Events published to all of them in the first two runs.
    #[arg(long, default_value_t = 20_000)]
    events: u64,
    /// MiB published while all are stalled.
    #[arg(long, default_value_t = 48)]
    megabytes: u64,
    /// Events that each of the replaying subscriptions gets.
    #[arg(long, default_value_t = 300_000)]
    replayed: u64,
}

/// Of an event while all are stalled.
const LARGE_EVENT_BYTES: usize = 1 << 10;

/// Connections made at a time.
const AT_ONCE: usize = 32;

/// Events that the slowest reader may be behind before the publisher waits.
const AHEAD: u64 = 8_000;

/// What a stalled client takes in before it takes no more.
const WINDOW: u64 = 32 << 10;

/// The history of the run in which all are stalled, so that it fills up.
const HISTORY: u64 = 32 << 20;
/// The server's defaults, as docs/architecture.md tells them.
const FEEDS: u64 = 64 << 20;
const SEND_WINDOW: u64 = 256 << 10;
const TURN: u64 = 96 << 10;

/// A run's figures.
struct Outcome {
    delivered: u64,
    seconds: f64,
    /// Resident memory with all subscribers idle, and the most later on.
    idle: u64,
    most: u64,
    feeds: u64,
    history: u64,
    /// Events written to subscribers, by the server's own count.
    written: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        one(args).await?;
        all(args).await?;
        replaying::run(&args.qsse, args.replayed).await
    });
    runtime.shutdown_background();
    result
}

/// One stalled of many, against the same run without it.
async fn one(args: &Args) -> Result<()> {
    let Args {
        subscribers,
        events,
        ..
    } = *args;
    println!("{subscribers} subscribers, {events} events of {EVENT_BYTES} bytes to each");
    let without = deliver(args, 0).await?;
    without.tell("none stalled");
    let with = deliver(args, 1).await?;
    with.tell("one stalled");
    let (wanted, others) = (
        events * subscribers as u64,
        events * (subscribers as u64 - 1),
    );
    ensure!(
        without.delivered == wanted,
        "of {wanted} events {} came",
        without.delivered
    );
    ensure!(
        with.delivered == others,
        "of {others} events {} came",
        with.delivered
    );
    let one = with.written.saturating_sub(others);
    ensure!(
        one < events / 2,
        "the stalled one was given {one} events: it did not stall"
    );
    let more = with.grown().saturating_sub(without.grown());
    let bound = SEND_WINDOW + TURN;
    println!(
        "  the others got all of theirs, {:.2} times as fast as with none stalled; the stall cost {:.2} MiB of resident memory, and may hold {:.2} MiB (send window and turn)\n",
        without.seconds / with.seconds,
        mib(more),
        mib(bound)
    );
    Ok(())
}

/// Publishes to all, of which the first few do not read.
async fn deliver(args: &Args, stalled: usize) -> Result<Outcome> {
    let mut program = Program::new(&args.qsse, None)?.metrics();
    let server = program.start()?;
    let url = program.url();
    let sleeping = subscribe(&url, stalled, Some(WINDOW), |_| vec!["news".into()]).await?;
    let reading = subscribe(&url, args.subscribers - stalled, None, |_| {
        vec!["news".into()]
    })
    .await?;
    let mut tasks = JoinSet::new();
    let mut counts = Vec::new();
    for subscription in reading {
        let count = Arc::new(AtomicU64::new(0));
        tasks.spawn(count_all(subscription, Arc::clone(&count)));
        counts.push(count);
    }
    let idle = server.memory()?.0;
    let slowest = || {
        let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
        counts.min().unwrap_or(0)
    };
    let publisher = Client::connect(url).await?.publisher();
    let begun = Instant::now();
    for number in 0..args.events {
        while number > slowest() + AHEAD {
            ensure!(
                begun.elapsed() < GUARD,
                "the slowest has {} events",
                slowest()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        publisher.send("news", [7; EVENT_BYTES]).await?;
    }
    publisher.flush().await?;
    while slowest() < args.events {
        ensure!(
            begun.elapsed() < GUARD,
            "the slowest has {} events",
            slowest()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let delivered = counts
        .iter()
        .map(|count| count.load(Ordering::Relaxed))
        .sum();
    let outcome = watch(&server, idle, seconds, delivered).await;
    drop(sleeping);
    outcome
}

/// All stalled, each with a filter and so a feed of its own: the bounds of the sum.
async fn all(args: &Args) -> Result<()> {
    let subscribers = args.subscribers;
    println!(
        "{subscribers} subscribers of {subscribers} filters, all stalled; {} MiB of events of {LARGE_EVENT_BYTES} bytes, a history of {} MiB",
        args.megabytes,
        HISTORY >> 20
    );
    let mut program = Program::new(&args.qsse, None)?
        .metrics()
        .limit("history", &HISTORY.to_string());
    let server = program.start()?;
    let url = program.url();
    let own = |index: usize| vec!["news".to_owned(), format!("own.{index}")];
    let sleeping = subscribe(&url, subscribers, Some(WINDOW), own).await?;
    let idle = server.memory()?.0;
    let publisher = Client::connect(url).await?.publisher();
    let begun = Instant::now();
    let events = (args.megabytes << 20) / LARGE_EVENT_BYTES as u64;
    for number in 0..events {
        publisher.send("news", [7; LARGE_EVENT_BYTES]).await?;
        if (number + 1) % (events / 4).max(1) == 0 {
            publisher.flush().await?;
            let (now, _) = server.memory()?;
            println!(
                "  {} MiB published: resident {:.0} MiB",
                (number + 1) >> 10,
                mib(now)
            );
        }
        ensure!(begun.elapsed() < GUARD, "publishing takes too long");
    }
    publisher.flush().await?;
    let outcome = watch(&server, idle, begun.elapsed().as_secs_f64(), 0).await?;
    outcome.tell("all stalled");
    let count = subscribers as u64;
    let bound = FEEDS + HISTORY + count * (SEND_WINDOW + TURN);
    println!(
        "  grown by {:.0} MiB; bound {:.0} MiB = feeds {} + history {} + {count} x (send window 256 KiB + turn 96 KiB)",
        mib(outcome.grown()),
        mib(bound),
        FEEDS >> 20,
        HISTORY >> 20,
    );
    let each = outcome.written / count;
    println!("  each was given {each} of {events} events before it stalled");
    ensure!(each < events / 8, "they did not stall");
    ensure!(
        outcome.feeds <= FEEDS,
        "the feeds have {} bytes",
        outcome.feeds
    );
    ensure!(
        outcome.history <= HISTORY,
        "the history has {} bytes",
        outcome.history
    );
    ensure!(
        outcome.grown() <= bound,
        "the server has grown beyond the bound"
    );
    println!();
    drop(sleeping);
    Ok(())
}

/// Clients with one subscription each; with a window they take in only that much unread.
async fn subscribe(
    url: &ServerUrl,
    count: usize,
    window: Option<u64>,
    patterns: impl Fn(usize) -> Vec<String>,
) -> Result<Vec<Subscription>> {
    let mut config = Config::default();
    if let Some(window) = window {
        config = config.transport(TransportConfig::client().stream_receive_window(window));
    }
    let mut all = Vec::new();
    while all.len() < count {
        let some = all.len()..count.min(all.len() + AT_ONCE);
        let made = try_join_all(some.map(|index| {
            let (config, patterns) = (config.clone(), patterns(index));
            async move {
                let client = Client::connect(url.clone()).config(config).await?;
                anyhow::Ok(client.subscribe(patterns).await?)
            }
        }));
        all.extend(made.await.context("not all clients can subscribe")?);
    }
    Ok(all)
}

async fn count_all(mut subscription: Subscription, count: Arc<AtomicU64>) -> Result<()> {
    while let Some(event) = subscription.try_next().await? {
        ensure!(event.data().len() == EVENT_BYTES, "another event");
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Takes the greatest of the server's figures over a few seconds: it tells its gauges once a
/// second.
async fn watch(server: &Running, idle: u64, seconds: f64, delivered: u64) -> Result<Outcome> {
    let mut outcome = Outcome {
        delivered,
        seconds,
        idle,
        most: 0,
        feeds: 0,
        history: 0,
        written: 0,
    };
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        outcome.most = outcome.most.max(server.memory()?.1);
        let gauge =
            |name, before: u64| -> Result<u64> { Ok(before.max(server.gauge(name)? as u64)) };
        outcome.feeds = gauge("feed_bytes", outcome.feeds)?;
        outcome.history = gauge("history_bytes", outcome.history)?;
        outcome.written = gauge("delivered_events", outcome.written)?;
    }
    Ok(outcome)
}

impl Outcome {
    fn grown(&self) -> u64 {
        self.most.saturating_sub(self.idle)
    }

    fn tell(&self, name: &str) {
        println!(
            "  {name:<13} {:>10} delivered in {:>5.1} s, {:.0}/s; resident {:.1} MiB idle, {:.1} at most; feeds {:.1}, history {:.1}",
            self.delivered,
            self.seconds,
            self.delivered as f64 / self.seconds,
            mib(self.idle),
            mib(self.most),
            mib(self.feeds),
            mib(self.history)
        );
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
