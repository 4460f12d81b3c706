//! [`Probe`]: honest clients, which measure what a server does for them.
//!
//! One publishes a hundred events a second, one reads them. [`newcomers`] come
//! all the time, and each of them reads an event too. They run on a thread of their own, so that an
//! attack of this process slows them down as little as possible. They never reconnect: a lost
//! connection shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use qsse_client::Subscription;
use serde::Serialize;
use tokio::sync::watch::{self, Receiver, Sender};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::newcomers;
use crate::setup::HONEST_TOPIC;
use crate::spread::Spread;
use crate::target::Target;

/// The time between two events.
const BETWEEN_EVENTS: Duration = Duration::from_millis(10);

/// How long events may be on their way after the last one was published.
const LATE: Duration = Duration::from_secs(10);

/// What the honest clients saw.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Seen {
    /// Events that the server acknowledged.
    pub(crate) published: u64,
    /// Events that came to the reader.
    pub(crate) received: u64,
    /// From the moment when an event was due until it was read.
    pub(crate) events: Spread,
    /// From the start of a connect until the subscription was confirmed.
    pub(crate) connects: Spread,
    /// Clients that were refused, lost their connection or got no event, by what they were told.
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Seen {
    /// Returns how many honest clients did not get what they wanted.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Returns how many acknowledged events did not come.
    pub(crate) fn lost(&self) -> u64 {
        self.published.saturating_sub(self.received)
    }

    /// Counts a client that was not served.
    pub(crate) fn refuse(&mut self, error: &anyhow::Error) {
        *self.refused.entry(format!("{error:#}")).or_default() += 1;
    }
}

/// Honest clients at work.
pub(crate) struct Probe {
    stop: Sender<bool>,
    thread: JoinHandle<Result<Seen>>,
}

impl Probe {
    /// Starts honest clients of a server.
    pub(crate) fn start(target: &Target) -> Self {
        let (stop, stopped) = watch::channel(false);
        let target = target.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let seen = runtime.block_on(run(&target, &stopped));
            runtime.shutdown_background();
            Ok(seen)
        });
        Self { stop, thread }
    }

    /// Lets them finish, and returns what they saw.
    pub(crate) fn finish(self) -> Result<Seen> {
        let _ = self.stop.send(true);
        let seen = self.thread.join();
        seen.map_err(|_| anyhow!("the honest clients panicked"))?
    }
}

async fn run(target: &Target, stopped: &Receiver<bool>) -> Seen {
    // Events come until the last newcomer has got one.
    let (served, all_served) = watch::channel(false);
    let coming = async {
        let newcomers = newcomers::run(target, stopped.clone()).await;
        let _ = served.send(true);
        newcomers
    };
    let (mut seen, newcomers) = tokio::join!(publish_and_read(target, &all_served), coming);
    seen.connects = newcomers.connects;
    for (error, count) in newcomers.refused {
        *seen.refused.entry(error).or_default() += count;
    }
    seen
}

async fn publish_and_read(target: &Target, stopped: &Receiver<bool>) -> Seen {
    let mut seen = Seen::default();
    let reader = async { anyhow::Ok(target.honest().await?.subscribe(HONEST_TOPIC).await?) };
    let subscription = match reader.await.context("the reader") {
        Ok(subscription) => subscription,
        Err(error) => {
            seen.refuse(&error);
            return seen;
        }
    };
    let begun = Instant::now();
    let accepted = Arc::new(AtomicU64::new(u64::MAX));
    let reading = tokio::spawn(read(subscription, begun, Arc::clone(&accepted)));
    let published = Box::pin(publish(target, begun, stopped)).await;
    let (count, result) = published;
    if let Err(error) = result.context("the publisher") {
        seen.refuse(&error);
    }
    seen.published = count;
    accepted.store(count, Ordering::Relaxed);
    let (times, result) = reading.await.expect("reading does not panic");
    if let Err(error) = result.context("the reader") {
        seen.refuse(&error);
    }
    seen.received = times.len() as u64;
    seen.events = Spread::of(&times);
    seen
}

/// Publishes until it is told to stop. Returns how many events were acknowledged.
async fn publish(target: &Target, begun: Instant, stopped: &Receiver<bool>) -> (u64, Result<()>) {
    let mut count = 0;
    let sending = async {
        let client = target.honest().await?;
        let publisher = client.publisher();
        let mut ticks = interval(BETWEEN_EVENTS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !*stopped.borrow() {
            let due = ticks.tick().await - begun;
            let data = (due.as_nanos() as u64).to_le_bytes();
            publisher.send(HONEST_TOPIC, data).await?;
            count += 1;
        }
        publisher.flush().await?;
        client.shutdown(LATE).await;
        anyhow::Ok(())
    };
    let result = sending.await;
    // Without the last acknowledgements it is unknown which events were accepted.
    (if result.is_ok() { count } else { 0 }, result)
}

/// Reads until all accepted events came; `accepted` is known once the last one was published.
/// Returns how long each took.
async fn read(
    mut subscription: Subscription,
    begun: Instant,
    accepted: Arc<AtomicU64>,
) -> (Vec<Duration>, Result<()>) {
    let mut times = Vec::new();
    let mut idle = Instant::now();
    while (times.len() as u64) < accepted.load(Ordering::Relaxed) {
        match timeout(BETWEEN_EVENTS, subscription.try_next()).await {
            Ok(Ok(Some(event))) => {
                let due = event.data().first_chunk().copied().map(u64::from_le_bytes);
                let due = Duration::from_nanos(due.unwrap_or_default());
                times.push((Instant::now() - begun).saturating_sub(due));
                idle = Instant::now();
            }
            Ok(Ok(None)) => return (times, Err(anyhow!("the subscription ended"))),
            Ok(Err(error)) => return (times, Err(error.into())),
            Err(_) if idle.elapsed() > LATE => return (times, Ok(())),
            Err(_) => {}
        }
    }
    (times, Ok(()))
}
