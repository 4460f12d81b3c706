//! Subscriptions that replay and one that is live on the same connection: the live one does not
//! wait for them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use qsse_client::{Client, ServerUrl, Start, Subscription};
use tokio::task::JoinSet;

use crate::bench::EVENT_BYTES;
use qsse_testing::process::Program;

/// The deadline of everything that is waited for: nothing takes this long unless something is
/// wrong.
pub(super) const GUARD: Duration = Duration::from_secs(120);

/// Subscriptions that replay.
const REPLAYS: usize = 8;

/// Between two live events.
const PACE: Duration = Duration::from_millis(2);

/// Events that may be published and not yet delivered when the replays end.
const ON_THEIR_WAY: u64 = 50;

pub(super) async fn run(qsse: &Path, events: u64) -> Result<()> {
    println!(
        "{REPLAYS} subscriptions replay {events} events each, and one is live, on one connection"
    );
    let mut program = Program::new(qsse, None)?.limit("history", "1GiB");
    let server = program.start()?;
    fill(&program.url(), events).await?;
    replay(&program.url(), events, "from memory").await?;
    drop(server);

    let mut program = Program::new(qsse, None)?.store("written");
    let server = program.start()?;
    fill(&program.url(), events).await?;
    // A server that was started anew has nothing in memory.
    server.terminate()?;
    let _server = program.start()?;
    replay(&program.url(), events, "from disk").await
}

async fn fill(url: &ServerUrl, events: u64) -> Result<()> {
    let publisher = Client::connect(url.clone()).await?.publisher();
    for _ in 0..events {
        publisher.send("old", [7; EVENT_BYTES]).await?;
    }
    publisher.flush().await?;
    Ok(())
}

async fn replay(url: &ServerUrl, events: u64, name: &str) -> Result<()> {
    let client = Client::connect(url.clone()).await?;
    let live = client.subscribe("live").await?;
    let came = Arc::new(AtomicU64::new(0));
    let reading = tokio::spawn(count(live, u64::MAX, Arc::clone(&came)));
    let publisher = Client::connect(url.clone()).await?;
    let sent = Arc::new(AtomicU64::new(0));
    let publishing = tokio::spawn(publish(publisher, Arc::clone(&sent)));
    let begun = Instant::now();
    let mut replays = JoinSet::new();
    let replayed = Arc::new(AtomicU64::new(0));
    for _ in 0..REPLAYS {
        let old = client.subscribe("old").start(Start::Earliest).await?;
        replays.spawn(count(old, events, Arc::clone(&replayed)));
    }
    let before = (sent.load(Ordering::Relaxed), came.load(Ordering::Relaxed));
    let mut behind = 0;
    while !replays.is_empty() {
        while let Some(ended) = replays.try_join_next() {
            ended??;
        }
        ensure!(begun.elapsed() < GUARD, "the replays do not end");
        let now = sent.load(Ordering::Relaxed);
        behind = behind.max(now.saturating_sub(came.load(Ordering::Relaxed)));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    let live = came.load(Ordering::Relaxed) - before.1;
    let sent = (sent.load(Ordering::Relaxed) - before.0).max(live);
    publishing.abort();
    reading.abort();
    println!(
        "  {name}: {} events replayed in {took:.2} s ({:.0} events/s); meanwhile {live} of {sent} live events came, never more than {behind} behind",
        replayed.load(Ordering::Relaxed),
        (events * REPLAYS as u64) as f64 / took,
    );
    ensure!(sent > ON_THEIR_WAY, "the replays were too short to tell");
    ensure!(
        live + ON_THEIR_WAY >= sent,
        "the live subscription waited for the replays"
    );
    Ok(())
}

async fn publish(client: Client, sent: Arc<AtomicU64>) -> Result<()> {
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        client.publish("live", [7; EVENT_BYTES]).await?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

async fn count(mut subscription: Subscription, events: u64, count: Arc<AtomicU64>) -> Result<()> {
    let mut own = 0;
    while own < events && subscription.try_next().await?.is_some() {
        own += 1;
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
