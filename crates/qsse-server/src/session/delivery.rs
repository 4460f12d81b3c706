//! Delivery: one subscription's events onto its stream (sections 5 to 7 of the protocol).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use qsse_log::{Reader, Step};
use qsse_proto::batch::Batch;
use qsse_proto::{Code, EventId};
use qsse_topic::Filter;
use qsse_transport::{SendStream, WriteError};
use tokio::time::{Instant, timeout_at};

use crate::metrics::Held;
use crate::rarely::Rarely;
use crate::session::Session;
use crate::session::encoding::StreamForm;
use crate::session::subscriptions::Ends;

/// Bytes written in one turn, so that a stream that catches up does not starve the others of its connection.
const TURN: usize = 32 << 10;

/// Bytes read from the storage at a time.
const STORED_TURN: usize = 128 << 10;

/// A subscription that was let in, and its stream. In a box: a task would have room for it twice, as argument and as variable.
pub(crate) struct Delivery {
    session: Arc<Session>,
    filter: Filter,
    reader: Reader,
    form: StreamForm,
    /// What waits to be written.
    queue: VecDeque<Bytes>,
    stream: SendStream,
    ends: Ends,
    _counted: Held,
}

/// Why a delivery ended.
pub(crate) enum Ended {
    /// The client asked, or stopped reading the stream.
    Unsubscribed,
    /// It lagged, and asked to be ended then.
    Lagged,
    /// The store does not give what follows.
    Unreadable,
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

impl Delivery {
    pub(crate) fn new(
        session: Arc<Session>,
        filter: Filter,
        reader: Reader,
        form: StreamForm,
        stream: SendStream,
        ends: Ends,
    ) -> Box<Self> {
        let shared = &session.shared;
        let counted = shared.metrics.subscribe(&filter, &shared.topics);
        let queue = VecDeque::from([form.opening(&reader)]);
        Box::new(Self {
            session,
            filter,
            reader,
            form,
            queue,
            stream,
            ends,
            _counted: counted,
        })
    }

    /// Writes this before the first event.
    pub(crate) fn preface(mut self: Box<Self>, bytes: Vec<Bytes>) -> Box<Self> {
        self.queue.extend(bytes);
        self
    }

    /// Writes the beginning now, if that needs no waiting, so that it leaves in one packet with what is written next to other streams.
    pub(crate) async fn write_ahead(mut self: Box<Self>) -> Box<Self> {
        let Self { stream, queue, .. } = &mut *self;
        // An error shows when the rest is written.
        let _ = poll_fn(|cx| Poll::Ready(stream.poll_write_queue(cx, queue))).await;
        self
    }

    /// What it is subscribed to.
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Where its events begin.
    pub(crate) fn started(&self) -> EventId {
        self.reader.started()
    }

    /// Takes the stream back, on which nothing but the beginning was written.
    pub(crate) fn deny(mut self: Box<Self>) {
        self.stream.reset(Code::NOT_AUTHORISED);
    }

    /// Writes events until the subscription ends.
    pub(crate) async fn deliver(mut self: Box<Self>) -> Ended {
        let (ends, stopped) = (self.ends.clone(), self.stream.stopped());
        // Also after a panic: the stream is reset then, and its place is free.
        let _over = ends.clone().drop_guard();
        let unsubscribed = {
            let ends = ends.clone();
            Rarely::new(async move {
                tokio::select! {
                    biased;
                    () = ends.cancelled() => {}
                    Ok(Some(_)) = stopped => {}
                }
            })
        };
        let end = tokio::select! {
            biased;
            () = unsubscribed => Ended::Unsubscribed,
            end = self.run() => end,
        };
        match end {
            Ended::Drained => self.stream.finish(),
            Ended::Unsubscribed => self.stream.reset(ends.code()),
            Ended::Lagged => self.stream.reset(Code::LAGGED),
            // The client asks again from where it is, later each time.
            Ended::Unreadable => self.stream.reset(Code::BUSY),
            Ended::Gone => {}
        }
        end
    }

    async fn run(&mut self) -> Ended {
        let Self {
            session,
            filter,
            reader,
            form,
            queue,
            stream,
            ..
        } = self;
        let metrics = &session.shared.metrics;
        let mut permitted = Permitted::new(session, filter);
        let mut batches = Vec::new();
        let mut told = reader.started();
        let mut lagging = None;
        let every = session.shared.config.heartbeat;
        let mut heartbeat = Instant::now() + every;
        // Set off by the drain as well.
        let mut alarm = None;
        let mut kept = false;
        let mut ended = false;
        loop {
            if let Err(end) = stream.write_whole_queue(queue).await {
                return end.into();
            }
            if ended {
                return Ended::Drained;
            }
            let step = reader.step(TURN, &mut batches);
            if reader.has_fallen_behind() != lagging.is_some() {
                lagging = reader.has_fallen_behind().then(|| metrics.lagging.hold());
                if lagging.is_some() {
                    metrics.lag_total.add(1);
                    tracing::info!(
                        peer = %session.connection.remote_address(), %filter, on_lag = ?reader.on_lag(),
                        "a subscription is behind its feed"
                    );
                }
            }
            match step {
                Step::Batches => {
                    if permitted.by_name {
                        // In a box, as in most subscriptions nobody asks.
                        Box::pin(permitted.filter(&mut batches)).await;
                    }
                    if !batches.is_empty() {
                        told = reader.position();
                        heartbeat = Instant::now() + every;
                    }
                    for batch in batches.drain(..) {
                        queue.extend(form.label(session, batch.first_seq()));
                        queue.push_back(form.batch(session, reader, &batch));
                    }
                }
                Step::Gap(gap) => {
                    metrics.gaps.add(1);
                    queue.extend(form.label(session, gap.to));
                    queue.push_back(form.gap(&gap));
                }
                Step::Looking => tokio::task::yield_now().await,
                // In a box, as most subscriptions never need the room for it.
                Step::Stored => Box::pin(reader.fetch(STORED_TURN)).await,
                Step::Unreadable { reason } => {
                    tracing::error!(%filter, reason, "the store could not be read, which ends a subscription for now");
                    return Ended::Unreadable;
                }
                Step::Lagged => return Ended::Lagged,
                // What was accepted before the drain is shown once it is kept.
                Step::Idle(_) if session.shared.is_leaving() && !kept => {
                    kept = true;
                    let _ = Box::pin(session.shared.log.flush()).await;
                }
                Step::Idle(position) if session.shared.is_leaving() => {
                    // A last word on the position, so that a resume elsewhere looks through nothing.
                    queue.extend(form.label(session, position.seq()));
                    queue.extend(form.heartbeat(position));
                    ended = true;
                }
                Step::Idle(position) if position > told && Instant::now() >= heartbeat => {
                    told = position;
                    heartbeat = Instant::now() + every;
                    queue.extend(form.label(session, position.seq()));
                    queue.extend(form.heartbeat(position));
                }
                Step::Idle(_) => {
                    let waits = alarm.get_or_insert_with(|| {
                        let draining = session.shared.draining.clone();
                        Rarely::new(async move {
                            let _ = timeout_at(heartbeat, draining.cancelled()).await;
                        })
                    });
                    tokio::select! {
                        biased;
                        () = reader.ready() => {}
                        () = waits => {
                            alarm = None;
                            let now = Instant::now();
                            if now >= heartbeat && reader.position() == told {
                                heartbeat = now + every;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What of a subscription its owner may read.
struct Permitted<'s> {
    session: &'s Session,
    filter: &'s Filter,
    /// The authorizer has to be asked topic by topic.
    by_name: bool,
    /// Something was allowed, or it was said that nothing is.
    settled: bool,
}

impl<'s> Permitted<'s> {
    fn new(session: &'s Session, filter: &'s Filter) -> Self {
        let by_name = session.access.by_name(filter);
        Self {
            session,
            filter,
            by_name,
            settled: !by_name,
        }
    }

    /// Takes from the batches what the principal may not read.
    async fn filter(&mut self, batches: &mut Vec<Batch>) {
        let mut allowed = Vec::with_capacity(batches.len());
        for batch in batches.drain(..) {
            allowed.extend(self.session.access.readable(batch).await);
        }
        if !self.settled {
            self.settled = true;
            if allowed.is_empty() {
                self.all_denied();
            }
        }
        *batches = allowed;
    }

    /// An authorizer written for the text of patterns denies every name under a wildcard: then the subscriber sees nothing.
    fn all_denied(&self) {
        let Session { shared, access, .. } = self.session;
        shared.metrics.refuse("events", Code::NOT_AUTHORISED);
        tracing::warn!(
            principal = access.principal().name(),
            filter = %self.filter,
            "the authorizer denies every topic that this subscription has matched so far; it is asked for names, not for patterns"
        );
    }
}
