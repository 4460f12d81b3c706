//! Delivery: one subscription's events onto its stream (sections 5 to 7 of the protocol).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use qsse_log::Reader;
use qsse_proto::batch::Batch;
use qsse_proto::stream::Gap;
use qsse_proto::{Code, EventId};
use qsse_topic::Filter;
use qsse_transport::{SendStream, WriteError};

use crate::delivery::{DeliveryLoop, Heartbeat, Next};
use crate::metrics::GaugeGuard;
use crate::session::Session;
use crate::session::encoding::StreamForm;
use crate::session::recipient::ClientRecipient;
use crate::session::subscriptions::Ends;
use crate::session::unread::{Held, Weight};
use crate::wake_gated::WakeGated;

/// An accepted subscription and its stream.
///
/// In a box: a task would have room for it twice, as argument and as variable.
pub(crate) struct Delivery {
    events: DeliveryLoop<ClientRecipient>,
    form: StreamForm,
    /// What is to be written.
    queue: VecDeque<Bytes>,
    /// The batches in the queue.
    weight: Weight,
    held: Held,
    stream: SendStream,
    ends: Ends,
    _counted: GaugeGuard,
}

/// Why a delivery ended.
pub(crate) enum Ended {
    /// The client asked, or stopped reading the stream.
    Unsubscribed,
    /// The subscription fell behind, and asked to be ended then.
    Lagged,
    /// The store could not be read.
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
        let heartbeat = Heartbeat::new(shared.limits().heartbeat, reader.started());
        let held = Held::new(&shared.unread, &session.unread, ends.clone());
        ends.note_written(reader.started().seq());
        let recipient = ClientRecipient::new(session, filter, ends.clone(), true);
        Box::new(Self {
            events: DeliveryLoop::new(recipient, reader, Some(heartbeat)),
            form,
            queue,
            weight: Weight::default(),
            held,
            stream,
            ends,
            _counted: counted,
        })
    }

    /// Adds what a Go client gets before the first event.
    pub(crate) fn preface(mut self: Box<Self>, bytes: Vec<Bytes>) -> Box<Self> {
        self.queue.extend(bytes);
        self
    }

    /// Writes the header, and the preface for Go, if that needs no waiting. They then leave in one
    /// packet with what other streams write next.
    pub(crate) async fn write_ahead(mut self: Box<Self>) -> Box<Self> {
        let Self { stream, queue, .. } = &mut *self;
        // The next write reports an error again.
        let _ = poll_fn(|cx| Poll::Ready(stream.poll_write_queue(cx, queue))).await;
        self
    }

    /// What it is subscribed to.
    pub(crate) fn filter(&self) -> &Filter {
        self.events.recipient().filter()
    }

    /// The position before its first event.
    pub(crate) fn started(&self) -> EventId {
        self.events.reader().started()
    }

    /// Takes the stream back, on which nothing but the beginning was written.
    pub(crate) fn deny(mut self: Box<Self>) {
        self.stream.reset(Code::NOT_AUTHORISED);
    }

    /// Writes events until the subscription ends.
    pub(crate) async fn deliver(mut self: Box<Self>) -> Ended {
        // Also after a panic: this frees its place among the client's subscriptions and in quotas.
        let _ends = self.ends.clone().drop_guard();
        let unsubscribed = self.unsubscribed();
        let ended = tokio::select! {
            biased;
            () = unsubscribed => Ended::Unsubscribed,
            ended = self.run() => ended,
        };
        self.close(&ended);
        ended
    }

    /// Completes once the client wants no more of it.
    fn unsubscribed(&self) -> WakeGated {
        let (ends, stopped) = (self.ends.clone(), self.stream.stopped());
        WakeGated::new(async move {
            tokio::select! {
                biased;
                () = ends.cancelled() => {}
                Ok(Some(_)) = stopped => {}
            }
        })
    }

    fn close(&mut self, ended: &Ended) {
        match ended {
            Ended::Drained => self.stream.finish(),
            Ended::Unsubscribed => self.stream.reset(self.ends.code()),
            Ended::Lagged => self.stream.reset(Code::LAGGED),
            // The client asks again from where it is, later each time.
            Ended::Unreadable => self.stream.reset(Code::BUSY),
            Ended::Gone => {}
        }
    }

    async fn run(&mut self) -> Ended {
        let mut batches = Vec::new();
        let mut drained = false;
        loop {
            if let Err(error) = self.write().await {
                return error.into();
            }
            self.weight = Weight::default();
            if drained {
                return Ended::Drained;
            }
            match self.events.next(&mut batches).await {
                Next::Batches => self.queue_batches(&mut batches),
                Next::Gap(gap) => self.queue_gap(&gap),
                Next::Heartbeat(position) => self.queue_heartbeat(position),
                Next::Unreadable { reason } => return self.unreadable(&reason),
                Next::Lagged => return Ended::Lagged,
                Next::Drained(position) => {
                    // A resume elsewhere then has nothing to look through.
                    self.queue_heartbeat(position);
                    drained = true;
                }
            }
        }
    }

    /// Writes the queue. What is in it counts as held while the stream accepts nothing.
    fn write(&mut self) -> impl Future<Output = Result<(), WriteError>> {
        poll_fn(|cx| {
            let written = self.stream.poll_write_whole_queue(cx, &mut self.queue);
            if written.is_pending() != self.held.is_blocked() {
                self.note_blocked(written.is_pending());
            }
            written
        })
    }

    /// Notes that the stream accepts nothing more, or has accepted everything.
    #[cold]
    fn note_blocked(&mut self, blocked: bool) {
        if !blocked {
            return self.held.unblock();
        }
        let mut weight = self.weight;
        weight.bytes += self.events.reader().fetched_bytes();
        let shared = &self.events.recipient().session().shared;
        let ended = self.held.block(shared.clock.now().monotonic, weight);
        if ended > 0 {
            shared.metrics.shed_subscriptions.add(ended);
            tracing::info!(
                peer = %self.events.recipient().session().peer.address(), ended,
                "the slowest subscriptions of a connection that reads too little were ended"
            );
        }
    }

    fn queue_batches(&mut self, batches: &mut Vec<Batch>) {
        let (session, reader) = (self.events.recipient().session(), self.events.reader());
        if let Some(first) = batches.first() {
            self.ends.note_written(first.first_seq() - 1);
        }
        self.weight = Weight::default();
        for batch in batches.drain(..) {
            self.weight.add(&batch);
            self.queue
                .extend(self.form.label(session, batch.first_seq()));
            self.queue
                .push_back(self.form.batch(session, reader, &batch));
        }
    }

    fn queue_gap(&mut self, gap: &Gap) {
        let session = self.events.recipient().session();
        session.shared.metrics.gaps.add(1);
        self.queue.extend(self.form.label(session, gap.to));
        self.queue.push_back(self.form.gap(gap));
    }

    fn queue_heartbeat(&mut self, position: EventId) {
        let session = self.events.recipient().session();
        self.queue.extend(self.form.label(session, position.seq()));
        self.queue.extend(self.form.heartbeat(position));
    }

    fn unreadable(&self, reason: &str) -> Ended {
        let filter = self.filter();
        tracing::error!(%filter, reason, "the store could not be read, which ends a subscription for now");
        Ended::Unreadable
    }
}
