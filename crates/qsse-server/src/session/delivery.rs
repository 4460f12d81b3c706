//! Delivery: one subscription's events onto its stream (sections 5 to 7 of the protocol).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use qsse_log::{Reader, Step};
use qsse_proto::batch::Batch;
use qsse_proto::control::{OnLag, Subscribe};
use qsse_proto::stream::{Heartbeat, StreamHeader};
use qsse_proto::{Code, EventId, limits};
use qsse_topic::{Filter, Pattern};
use qsse_transport::{SendStream, WriteError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Held;
use crate::session::Session;

/// Bytes written in one turn, so that a stream that catches up does not starve the others of its connection.
const TURN: usize = 32 << 10;

/// Why a subscription was refused.
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The pattern it is about.
    pub(crate) subject: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            subject: None,
        }
    }

    pub(crate) fn denied(pattern: &Pattern) -> Self {
        let message = format!("not allowed to subscribe to {pattern}");
        Self::about(Code::NOT_AUTHORISED, message, pattern)
    }

    fn about(code: Code, message: impl Into<String>, subject: &Pattern) -> Self {
        Self {
            code,
            message: message.into(),
            subject: Some(subject.to_string()),
        }
    }
}

/// A subscription that was let in.
pub(crate) struct Accepted {
    session: Arc<Session>,
    id: u32,
    filter: Filter,
    reader: Reader,
    /// The authorizer has to be asked topic by topic.
    by_name: bool,
    stream: SendStream,
    ends: CancellationToken,
    _counted: Held,
}

/// Checks a subscription and opens its stream.
pub(crate) async fn open(
    session: Arc<Session>,
    subscribe: Subscribe,
    ends: CancellationToken,
) -> Result<Accepted, Refusal> {
    let Subscribe {
        id,
        patterns,
        start,
        on_lag,
    } = subscribe;
    if on_lag != OnLag::CatchUp {
        let message = "this server only knows catching up as the answer to lag";
        return Err(Refusal::new(Code::UNSUPPORTED, message));
    }
    let shared = &session.shared;
    let filter = parse(&patterns, shared.config.max_wildcards)?;
    if let Some(pattern) = shared.topics.unavailable(&filter) {
        let nearest = shared.topics.nearest(pattern.as_str());
        let hint = nearest.map_or_else(String::new, |near| format!(": did you mean {near}?"));
        let message = format!("no topic of this server matches {pattern}{hint}");
        return Err(Refusal::about(Code::TOPIC_NOT_AVAILABLE, message, pattern));
    }
    if let Some(pattern) = session.access.denied(&filter).await {
        return Err(Refusal::denied(pattern));
    }
    let by_name = session.access.by_name(&filter);
    // Before the stream is opened: one that was opened must carry a header.
    let reader = shared.log.reader(&filter, start);
    let reader = reader.map_err(|error| Refusal::new(Code::UNSUPPORTED, error.to_string()))?;
    let busy = |message| Refusal::new(Code::BUSY, message);
    let open = tokio::time::timeout(shared.config.hello_timeout, session.connection.open_uni());
    let stream = open
        .await
        .map_err(|_| busy("the client allows no more streams"))?;
    let stream = stream.map_err(|_| busy("the connection has ended"))?;
    let counted = shared.metrics.subscribe(&filter, &shared.topics);
    Ok(Accepted {
        session,
        id,
        filter,
        reader,
        by_name,
        stream,
        ends,
        _counted: counted,
    })
}

fn parse(patterns: &[String], max_wildcards: usize) -> Result<Filter, Refusal> {
    if patterns.len() > limits::PATTERNS_PER_SUBSCRIPTION {
        let message = format!(
            "a subscription has at most {} patterns",
            limits::PATTERNS_PER_SUBSCRIPTION
        );
        return Err(Refusal::new(Code::INVALID_TOPIC, message));
    }
    let mut parsed = Vec::with_capacity(patterns.len());
    for text in patterns {
        let pattern = Pattern::new(text).map_err(|error| Refusal {
            code: Code::INVALID_TOPIC,
            message: format!("{text:?} is not a pattern: {error}"),
            subject: Some(text.clone()),
        })?;
        if pattern.wildcards() > max_wildcards {
            let message = format!("{pattern} has more than {max_wildcards} wildcards");
            return Err(Refusal::about(Code::TOO_MANY_WILDCARDS, message, &pattern));
        }
        parsed.push(pattern);
    }
    Filter::new(parsed).map_err(|error| Refusal::new(Code::INVALID_TOPIC, error.to_string()))
}

/// Why a delivery ended.
enum Ended {
    /// The client asked, or stopped reading the stream.
    Unsubscribed,
    /// The server drained, and everything was written.
    Drained,
    /// The connection is gone.
    Gone,
}

impl From<WriteError> for Ended {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(_) => Self::Unsubscribed,
            _ => Self::Gone,
        }
    }
}

impl Accepted {
    /// What it is subscribed to.
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Where its events begin.
    pub(crate) fn started(&self) -> EventId {
        self.reader.started()
    }

    /// Writes events until the subscription ends.
    pub(crate) async fn deliver(mut self) {
        let ends = self.ends.clone();
        let end = tokio::select! {
            biased;
            () = ends.cancelled() => Ended::Unsubscribed,
            () = stopped(&self.stream) => Ended::Unsubscribed,
            end = self.run() => end,
        };
        match end {
            Ended::Drained => self.stream.finish(),
            Ended::Unsubscribed => self.stream.reset(Code::UNSUBSCRIBED),
            Ended::Gone => {}
        }
        ends.cancel();
    }

    async fn run(&mut self) -> Ended {
        let Self {
            session,
            id,
            reader,
            by_name,
            stream,
            ..
        } = self;
        let metrics = &session.shared.metrics;
        let mut out = Out {
            stream,
            queue: VecDeque::new(),
        };
        let header = StreamHeader {
            id: *id,
            epoch: reader.started().epoch(),
            position: reader.started().seq(),
            outcome: reader.outcome(),
        };
        if let Err(end) = out.write([header.encode()]).await {
            return end;
        }
        let mut batches = Vec::new();
        let mut told = reader.started();
        let mut lagging = None;
        let every = session.shared.config.heartbeat;
        let mut heartbeat = Instant::now() + every;
        loop {
            let step = reader.step(TURN, &mut batches);
            if reader.is_lagging() != lagging.is_some() {
                lagging = reader.is_lagging().then(|| metrics.lagging.hold());
                metrics.lag_total.add(u64::from(lagging.is_some()));
            }
            let written = match step {
                Step::Batches => {
                    let allowed = allowed(session, *by_name, &mut batches).await;
                    if !allowed.is_empty() {
                        told = reader.position();
                        heartbeat = Instant::now() + every;
                    }
                    for batch in &allowed {
                        metrics.delivered_events.add(u64::from(batch.count()));
                        metrics.delivered_bytes.add(batch.bytes().len() as u64);
                    }
                    out.write(allowed.into_iter().map(|batch| batch.bytes().clone()))
                        .await
                }
                Step::Gap(gap) => {
                    metrics.gaps.add(1);
                    out.write([gap.encode()]).await
                }
                Step::Looking => {
                    tokio::task::yield_now().await;
                    Ok(())
                }
                Step::Idle(position) if session.shared.draining.is_cancelled() => {
                    // A last word on the position, so that a resume elsewhere looks through nothing.
                    let last = Heartbeat {
                        position: position.seq(),
                    }
                    .encode();
                    return out.write([last]).await.err().unwrap_or(Ended::Drained);
                }
                Step::Idle(position) if position > told && Instant::now() >= heartbeat => {
                    told = position;
                    heartbeat = Instant::now() + every;
                    out.write([Heartbeat {
                        position: position.seq(),
                    }
                    .encode()])
                        .await
                }
                Step::Idle(_) => {
                    tokio::select! {
                        () = reader.ready() => {}
                        () = session.shared.draining.cancelled() => {}
                        () = tokio::time::sleep_until(heartbeat) => {
                            if reader.position() == told {
                                heartbeat = Instant::now() + every;
                            }
                        }
                    }
                    Ok(())
                }
            };
            if let Err(end) = written {
                return end;
            }
        }
    }
}

/// The batches, without what the principal may not read.
async fn allowed(session: &Session, by_name: bool, batches: &mut Vec<Batch>) -> Vec<Batch> {
    if !by_name {
        return std::mem::take(batches);
    }
    let mut allowed = Vec::with_capacity(batches.len());
    for batch in batches.drain(..) {
        allowed.extend(session.access.readable(batch).await);
    }
    allowed
}

/// What is on its way into the stream.
struct Out<'s> {
    stream: &'s mut SendStream,
    queue: VecDeque<Bytes>,
}

impl Out<'_> {
    async fn write(&mut self, chunks: impl IntoIterator<Item = Bytes>) -> Result<(), Ended> {
        self.queue.extend(chunks);
        while !self.queue.is_empty() {
            self.stream.write_queue(&mut self.queue).await?;
        }
        Ok(())
    }
}

/// Waits until the client stops the stream.
fn stopped(stream: &SendStream) -> impl Future<Output = ()> + use<> {
    let stopped = stream.stopped();
    async move {
        match stopped.await {
            Ok(Some(_)) => {}
            // Finished or gone: the writer finds out by itself.
            _ => std::future::pending().await,
        }
    }
}
