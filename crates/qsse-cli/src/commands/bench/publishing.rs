//! Publishers: each sends what is due, and measures the time from then to the acknowledgement.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use qsse_client::{Client, EventId, PublishError};
use tokio::sync::watch;

use super::clock::Clock;
use super::figures::Figures;
use super::payload::Payload;
use super::plan::Plan;

/// What all publishers share.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) plan: Arc<Plan>,
    pub(super) clock: Clock,
    pub(super) run: u64,
    /// Events per second of all publishers; 0 means as fast as they are acknowledged.
    pub(super) rate: u64,
    /// How many events of one publisher may wait for their acknowledgement.
    pub(super) in_flight: usize,
    pub(super) due: watch::Receiver<u64>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) figures: Arc<Figures>,
    /// How many events were acknowledged, including the warm-up.
    pub(super) acknowledged: Arc<AtomicU64>,
}

/// What was sent on behalf of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    /// The number after the last one.
    pub(super) end: u64,
    /// The events that were not published, or whose outcome is unknown.
    pub(super) unacknowledged: BTreeSet<u64>,
}

/// What was sent, by source.
pub(super) type AllSent = BTreeMap<u32, Sent>;

type Answer = (u32, u64, u64, Result<EventId, PublishError>);

type InFlight = Pin<Box<dyn Future<Output = Answer> + Send>>;

struct Publisher {
    client: Client,
    index: usize,
    load: Load,
    sent: AllSent,
    count: u64,
    data: Vec<u8>,
}

/// Publishes until it is told to stop. Then waits for what is in flight.
///
/// # Errors
/// Continuing makes no sense.
pub(super) async fn publish(client: Client, index: usize, load: Load) -> Result<AllSent> {
    let data = vec![b'.'; load.plan.size];
    let mut publisher = Publisher {
        client,
        index,
        load,
        sent: AllSent::new(),
        count: 0,
        data,
    };
    let mut stop = publisher.load.stop.clone();
    let mut due = publisher.load.due.clone();
    let mut in_flight = FuturesUnordered::new();
    let most = publisher.load.in_flight;
    let mut stopped = false;
    while !stopped || !in_flight.is_empty() {
        let turn = publisher.turn();
        let room = in_flight.len() < most;
        tokio::select! {
            biased;
            () = told(&mut stop), if !stopped => {
                // Sends what is due by now, unless the acknowledgements are behind.
                let due = if publisher.load.rate == 0 { 0 } else { *due.borrow() };
                while publisher.turn() < due && in_flight.len() < most {
                    publisher.send(&mut in_flight).await?;
                }
                stopped = true;
            }
            Some(answer) = in_flight.next() => publisher.answered(answer)?,
            () = is_due(&mut due, turn), if !stopped && room => publisher.send(&mut in_flight).await?,
        }
    }
    Ok(publisher.sent)
}

async fn told(stop: &mut watch::Receiver<bool>) {
    // Without a sender nobody can tell it to stop, so it stops.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits until this event is due. Never returns if it never will be.
async fn is_due(due: &mut watch::Receiver<u64>, turn: u64) {
    if due.wait_for(|due| turn < *due).await.is_err() {
        std::future::pending().await
    }
}

impl Publisher {
    /// Returns the position of the next event among those of all publishers, who take turns.
    fn turn(&self) -> u64 {
        if self.load.rate == 0 {
            return 0;
        }
        self.count * self.load.plan.publishers as u64 + self.index as u64
    }

    /// Sends the next event. Sending begins at once, so events are sent in the order of their
    /// numbers.
    async fn send(&mut self, in_flight: &mut FuturesUnordered<InFlight>) -> Result<()> {
        let Load {
            plan,
            clock,
            run,
            rate,
            ..
        } = &self.load;
        let due = match rate {
            0 => clock.now(),
            rate => clock.due(self.turn(), *rate),
        };
        let topics = plan.topics.len() as u64;
        let topic = (self.count % topics) as usize;
        let source = plan.source(self.index, topic);
        let number = self.count / topics;
        self.sent.entry(source).or_default().end = number + 1;
        self.count += 1;
        Payload {
            source,
            run: *run,
            number,
            due,
        }
        .write(&mut self.data);
        let publish = self.client.publish(&plan.topics[topic], &self.data);
        let mut publish: InFlight = Box::pin(async move { (source, number, due, publish.await) });
        match futures_util::poll!(&mut publish) {
            Poll::Ready(answer) => self.answered(answer),
            Poll::Pending => {
                in_flight.push(publish);
                Ok(())
            }
        }
    }

    fn answered(&mut self, (source, number, due, result): Answer) -> Result<()> {
        let clock = &self.load.clock;
        let error = match result {
            Ok(_) => {
                self.load.acknowledged.fetch_add(1, Ordering::Relaxed);
                if due < clock.from {
                    return Ok(());
                }
                self.load.figures.record(self.index, due, clock.now());
                return Ok(());
            }
            Err(error) => error,
        };
        let sent = self.sent.entry(source).or_default();
        sent.unacknowledged.insert(number);
        let passing = error.is_retryable()
            || matches!(
                error,
                PublishError::AckLost { .. }
                    | PublishError::OutcomeUnknown { .. }
                    | PublishError::Ended { .. }
            );
        if passing {
            return Ok(());
        }
        let topic = self.load.plan.topic(source);
        Err(error).with_context(|| {
            format!("cannot publish to {topic}: see --topic and --token, or use --subscribe-only")
        })
    }
}
