//! [`Load`]: publishers of all kinds, each with its publishes in sequence and their outcomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use qsse_client::{Client, EventId, PublishError, Publisher, ServerUrl};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::judge::{Judge, Name, Told};
use super::setup::{GUARD, impatient};

/// The publishers, until they are stopped.
pub(super) struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

/// Publishers of single events, and of ones with keys of their own: each waits for its
/// acknowledgement.
const SINGLES: u32 = 8;

/// How often a publisher of many sends some.
const SLICE: Duration = Duration::from_millis(5);

/// Events between two flushes of a publisher of many.
const FLUSH: usize = 400;

/// One in this many keyed events is published a second time, by another client.
const AGAIN: usize = 8;

impl Load {
    /// A fifth single, a fifth keyed, half in order exactly once, a tenth in order without keys.
    pub(super) async fn start(url: &ServerUrl, judge: &Arc<Judge>, rate: u32) -> Result<Self> {
        let client = || async {
            let config = impatient().publisher_name("load".into());
            let connect = Client::connect(url.clone()).config(config);
            connect.await.context("a publisher cannot connect")
        };
        let (mut tasks, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        let pace = Duration::from_secs(1) * SINGLES * 5 / rate.max(1);
        let (singles, keyed, other) = (client().await?, client().await?, client().await?);
        for _ in 0..SINGLES {
            let own = One::new(&singles, judge, "single", &stop);
            tasks.spawn(own.single(pace));
            let own = One::new(&keyed, judge, "keyed", &stop);
            tasks.spawn(own.keyed(pace, other.clone()));
        }
        let slice = |part: f64| {
            let events = f64::from(rate) * part * SLICE.as_secs_f64();
            (events as usize).max(1)
        };
        for _ in 0..2 {
            let own = One::new(&client().await?, judge, "ordered", &stop);
            let publisher = own.client.publisher().exactly_once();
            tasks.spawn(own.many(publisher, slice(0.25)));
        }
        let own = One::new(&client().await?, judge, "plain", &stop);
        let publisher = own.client.publisher();
        tasks.spawn(own.many(publisher, slice(0.1)));
        Ok(Self { tasks, stop })
    }

    /// Ends them, each with an outcome of its last event.
    pub(super) async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = tokio::time::timeout(GUARD, self.tasks.join_all());
        ended.await.context("publishers do not end").map(drop)
    }
}

/// One publisher.
struct One {
    client: Client,
    judge: Arc<Judge>,
    kind: &'static str,
    number: usize,
    stop: Arc<AtomicBool>,
}

impl One {
    fn new(
        client: &Client,
        judge: &Arc<Judge>,
        kind: &'static str,
        stop: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            client: client.clone(),
            judge: Arc::clone(judge),
            kind,
            number: judge.publisher(kind),
            stop: Arc::clone(stop),
        }
    }

    async fn single(self, pace: Duration) {
        let mut pace = Pace::new(pace);
        while !self.is_over() {
            pace.wait().await;
            let name = self.judge.send(self.number);
            let sent = self.client.publish(self.topic(name), name.data()).await;
            self.settle(name, sent);
        }
    }

    async fn keyed(self, pace: Duration, other: Client) {
        let mut pace = Pace::new(pace);
        while !self.is_over() {
            pace.wait().await;
            let name = self.judge.send(self.number);
            let key = format!("{} {}", name.publisher, name.number);
            let (topic, data) = (self.topic(name), name.data());
            let sent = self.client.publish(&topic, data).key(&key).await;
            let known = sent.as_ref().ok().copied();
            self.settle(name, sent);
            // What the server had in memory only it may take again after its death.
            if let Some(id) = known
                && name.number.is_multiple_of(AGAIN)
                && !self.judge.may_lose()
            {
                match other.publish(&topic, data).key(&key).await {
                    Ok(again) if again == id => {}
                    Ok(again) => self.judge.complain(format!("{name:?} is {id} and {again}")),
                    Err(error) => self.note_failure(name, &error),
                }
            }
        }
    }

    async fn many(self, publisher: Publisher, slice: usize) {
        let mut pace = Pace::new(SLICE);
        let mut sent = Vec::new();
        let mut next = None;
        let mut before = publisher.progress();
        loop {
            pace.wait().await;
            let mut failed = self.is_over();
            for _ in 0..slice {
                let name = *next.get_or_insert_with(|| self.judge.send(self.number));
                match publisher.send(self.topic(name), name.data()).await {
                    Ok(()) => sent.push(name),
                    // This one was not sent: it is the next one still.
                    Err(error) => {
                        self.note_failure(name, &error);
                        failed = true;
                        break;
                    }
                }
                next = None;
            }
            if sent.len() < FLUSH && !failed {
                continue;
            }
            let flushed = publisher.flush().await;
            let now = publisher.progress();
            let taken = (now.acknowledged - before.acknowledged) as usize;
            let refused = (now.refused - before.refused) as usize;
            let lost = (now.lost - before.lost) as usize;
            if taken + refused + lost != sent.len() {
                self.judge.complain(format!(
                    "{} events: {taken} acknowledged, {refused} refused, {lost} lost",
                    sent.len()
                ));
            }
            for (at, name) in sent.iter().enumerate() {
                let told = match at {
                    at if at < taken => Told::Acknowledged,
                    at if at < taken + lost => Told::Unknown,
                    _ => Told::Refused,
                };
                // In order, so that the last one acknowledged has the last id.
                let id = now.last.filter(|_| at + 1 == taken);
                self.judge.tell(*name, told, id);
            }
            if let (Err(error), Some(name)) = (flushed, sent.last()) {
                self.note_failure(*name, &error);
            }
            sent.clear();
            before = now;
            if self.is_over() {
                // Not sent.
                if let Some(name) = next {
                    self.judge.tell(name, Told::Unknown, None);
                }
                return;
            }
        }
    }

    fn settle(&self, name: Name, sent: Result<EventId, PublishError>) {
        match sent {
            Ok(id) => self.judge.tell(name, Told::Acknowledged, Some(id)),
            Err(error) => {
                self.note_failure(name, &error);
                let told = if is_unknown(&error) {
                    Told::Unknown
                } else {
                    Told::Refused
                };
                self.judge.tell(name, told, None);
            }
        }
    }

    /// An outcome that is not known is part of the game; anything else is not.
    fn note_failure(&self, name: Name, error: &PublishError) {
        if !is_unknown(error) {
            self.judge.complain(format!("{name:?}: {error}"));
        }
    }

    fn topic(&self, name: Name) -> String {
        Judge::topic(self.kind, name)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn is_unknown(error: &PublishError) -> bool {
    matches!(
        error,
        PublishError::OutcomeUnknown { .. } | PublishError::AckLost { .. }
    )
}

/// A rhythm; what was missed in an outage is not made up for.
struct Pace {
    next: Instant,
    every: Duration,
}

impl Pace {
    fn new(every: Duration) -> Self {
        let next = Instant::now();
        Self { next, every }
    }

    async fn wait(&mut self) {
        self.next += self.every;
        let now = Instant::now();
        if self.next + 10 * self.every < now {
            self.next = now;
        }
        tokio::time::sleep_until(self.next).await;
    }
}
