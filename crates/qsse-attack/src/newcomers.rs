//! Honest clients that come, read one event and go.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::http;
use crate::setup::{HONEST, HONEST_TOPIC};
use crate::spread::Spread;
use crate::target::Target;

/// The time between two newcomers.
const BETWEEN: Duration = Duration::from_millis(50);

/// How long a newcomer waits for an event.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the newcomers saw.
pub(crate) struct Newcomers {
    pub(crate) connects: Spread,
    pub(crate) refused: BTreeMap<String, u64>,
}

/// Lets newcomers come until told to stop, and waits for the last ones.
pub(crate) async fn run(target: &Target, mut stopped: Receiver<bool>) -> Newcomers {
    let mut coming = JoinSet::new();
    let mut ticks = interval(BETWEEN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => break,
            _ = ticks.tick() => {
                coming.spawn(come(target.clone()));
            }
        }
    }
    let (mut times, mut refused) = (Vec::new(), BTreeMap::new());
    for came in coming.join_all().await {
        match came {
            Ok(time) => times.push(time),
            Err(error) => *refused.entry(format!("a newcomer: {error:#}")).or_default() += 1,
        }
    }
    Newcomers {
        connects: Spread::of(&times),
        refused,
    }
}

/// Connects, subscribes, and reads one event. Returns how long the first two took.
async fn come(target: Target) -> Result<Duration> {
    let begun = Instant::now();
    if let Some(http) = target.http {
        let mut stream = TcpStream::connect(http).await?;
        let path = format!("/events?topic={HONEST_TOPIC}");
        let request = http::request("GET", &path, HONEST, "", b"");
        stream.write_all(&request).await?;
        let mut read = Vec::new();
        http::read_until(&mut stream, &mut read, b"\r\n\r\n").await?;
        ensure!(read.starts_with(b"HTTP/1.1 200 "), "it was refused");
        let took = begun.elapsed();
        let event = http::read_until(&mut stream, &mut read, b"\ndata: ");
        timeout(PATIENCE, event).await.context("no event came")??;
        return Ok(took);
    }
    let client = target.honest().await?;
    let mut subscription = client.subscribe(HONEST_TOPIC).await?;
    let took = begun.elapsed();
    let event = timeout(PATIENCE, subscription.try_next()).await;
    event
        .context("no event came")??
        .context("the subscription ended")?;
    drop(subscription);
    client.shutdown(PATIENCE).await;
    Ok(took)
}
