//! The control loop: a client's requests and the replies (section 4 of the protocol).
//!
//! It never waits for an authorizer, a stream credit or an event write: these run concurrently.

use std::sync::Arc;

use qsse_proto::control::{ClientFrame, Goodbye, Refused, Subscribe, Subscribed, Unsubscribe};
use qsse_proto::{Code, EventId, Frame};
use qsse_transport::{
    Connection, ConnectionError, FrameError, FrameReader, FrameWriter, RecvStream, SendStream,
};
use tokio_util::task::TaskTracker;

use crate::audit::AuditEvent;
use crate::fairness::rate_limit::RateLimit;
use crate::session::delivery::Delivery;
use crate::session::expiry::Expiry;
use crate::session::hello::ControlStreams;
use crate::session::opening::{Answer, Opening};
use crate::session::replies::{Replies, Unread};
use crate::session::subscribing::{self, Refusal};
use crate::session::subscriptions::{ClientSubscription, Ends};
use crate::session::{End, Session, publishing};

mod tokens;

/// A `Subscribe` counts as one more control frame for each so many patterns.
const PATTERNS_OF_A_FRAME: u32 = 32;

/// Serves one client until it leaves, its connection is closed, or the server has drained. Returns
/// how to close the connection.
pub(crate) async fn run(
    session: &Arc<Session>,
    connection: &Connection,
    streams: Box<ControlStreams>,
) -> End {
    let (mut frames, replies) = {
        // Frees the box at the end of this block: it lives as long as its variable.
        let streams = streams;
        (streams.frames, streams.replies)
    };
    let mut control = Control::new(session, connection, replies);
    let end = loop {
        if let Err(end) = control.step(&mut frames).await {
            break end;
        }
    };
    if control.draining && end.code == Code::SHUTTING_DOWN {
        control.wait_until_read().await;
    }
    control.end_subscriptions();
    end
}

/// The state of one client's control stream.
struct Control<'s> {
    session: &'s Arc<Session>,
    connection: &'s Connection,
    replies: Replies,
    /// Ids only grow, so none is used twice.
    highest_id: Option<u32>,
    /// Deliveries and publishing streams.
    tasks: TaskTracker,
    opening: Opening<'s>,
    rate_limit: RateLimit,
    /// When the token expires.
    expiry: Expiry,
    /// Whether the number of permitted publishing streams was raised.
    publishing: bool,
    /// Whether the client was told that the server drains.
    draining: bool,
    /// Whether the client has ended its control stream.
    leaving: bool,
    /// Whether the token in force has to be checked once no other is being checked.
    recheck_due: bool,
}

impl<'s> Control<'s> {
    fn new(session: &'s Arc<Session>, connection: &'s Connection, replies: FrameWriter) -> Self {
        let config = session.shared.limits();
        Self {
            session,
            connection,
            replies: Replies::new(replies),
            highest_id: None,
            tasks: TaskTracker::new(),
            opening: Opening::default(),
            rate_limit: RateLimit::new(config.control_burst, config.control_rate),
            expiry: Expiry::of(&session.access.principal()),
            publishing: false,
            draining: false,
            leaving: false,
            recheck_due: false,
        }
    }

    /// Waits for the next thing to do, and does it. The error says how to close the connection.
    async fn step(&mut self, frames: &mut FrameReader) -> Result<(), End> {
        let (session, connection, draining) = (self.session, self.connection, self.draining);
        let shared = &session.shared;
        let drained = draining && self.opening.is_empty();
        if drained {
            self.tasks.close();
        }
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => Err(End::shutting_down()),
            () = shared.draining.cancelled(), if !draining => self.say_goodbye(),
            () = self.expiry.passed() => Err(End::token_expired()),
            () = session.recheck.notified() => {
                self.recheck();
                Ok(())
            }
            Some(answer) = self.opening.next() => self.answer(answer),
            () = self.replies.write(), if self.replies.are_waiting() => Ok(()),
            frame = frames.next(), if !self.leaving && self.rate_limit.ready() => self.read(frame),
            () = self.rate_limit.wait(), if !self.rate_limit.ready() => Ok(()),
            streams = publisher(connection, draining) => self.open_publisher(streams),
            () = ended(&self.tasks), if drained => Err(End::shutting_down()),
        }
    }

    /// Waits until the client has read its streams, each written to its end, and closes.
    async fn wait_until_read(&mut self) {
        let shared = &self.session.shared;
        let last = async {
            self.replies.write().await;
            self.connection.closed().await
        };
        let read = tokio::time::timeout(shared.limits().drain_timeout, last);
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => {}
            _ = read => {}
        }
    }

    fn end_subscriptions(&self) {
        let subscriptions = self.session.subscriptions.lock();
        subscriptions
            .iter()
            .for_each(|(_, subscription)| subscription.ends.cancel());
    }

    fn read(&mut self, frame: Result<Option<Frame>, FrameError>) -> Result<(), End> {
        match frame? {
            Some(frame) => self.handle(frame),
            None => {
                self.leaving = true;
                Ok(())
            }
        }
    }

    fn handle(&mut self, frame: Frame) -> Result<(), End> {
        self.rate_limit.take();
        let handled = self.handle_now(frame);
        if !self.rate_limit.ready() {
            self.session.shared.metrics.paced.requests.add(1);
        }
        handled
    }

    fn handle_now(&mut self, frame: Frame) -> Result<(), End> {
        match ClientFrame::decode(frame)? {
            ClientFrame::Subscribe(subscribe) => self.subscribe(subscribe),
            ClientFrame::Unsubscribe(Unsubscribe { id }) => {
                let ended = self.session.subscriptions.lock().remove(id);
                if let Some(subscription) = ended {
                    subscription.ends.cancel();
                }
                Ok(())
            }
            ClientFrame::RefreshToken(refresh) => {
                self.refresh(refresh);
                Ok(())
            }
            ClientFrame::Hello(_) => Err(End::new(Code::PROTOCOL_VIOLATION, "a second Hello")),
            _ => Ok(()),
        }
    }

    fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), End> {
        let id = subscribe.id;
        if self.highest_id.is_some_and(|highest| id <= highest) {
            return Err(End::new(
                Code::PROTOCOL_VIOLATION,
                "a subscription id was used twice",
            ));
        }
        self.highest_id = Some(id);
        let patterns = u32::try_from(subscribe.patterns.len()).unwrap_or(u32::MAX);
        self.rate_limit
            .spend(f64::from(patterns / PATTERNS_OF_A_FRAME));
        let counted = {
            let mut subscriptions = self.session.subscriptions.lock();
            subscribing::count(self.session, &mut subscriptions, patterns)
        };
        let places = match counted {
            Ok(places) => places,
            Err(refusal) => return self.refuse(id, refusal),
        };
        let ends = Ends::new(places);
        let subscription = ClientSubscription {
            ends: ends.clone(),
            filter: None,
            patterns,
        };
        self.session.subscriptions.lock().add(id, subscription);
        let (session, connection) = (Arc::clone(self.session), self.connection);
        let generation = session.access.generation();
        self.opening.add(Box::pin(async move {
            let opened = subscribing::open(session, connection, subscribe, ends).await;
            Answer::Subscription(id, generation, opened)
        }));
        Ok(())
    }

    fn answer(&mut self, answer: Answer) -> Result<(), End> {
        match answer {
            Answer::Subscription(id, generation, opened) => self.opened(id, generation, opened),
            Answer::Token(Ok(principal), is_new) => self.token_checked(*principal, is_new),
            Answer::Token(Err(end), _) => {
                let why = Err((end.code, end.reason.as_str()));
                self.session.audit(AuditEvent::Refresh, None, why);
                Err(end)
            }
            Answer::Checked(checked) => self.rechecked(checked),
        }
    }

    fn opened(
        &mut self,
        id: u32,
        generation: u64,
        opened: Result<Box<Delivery>, Refusal>,
    ) -> Result<(), End> {
        match opened {
            Ok(delivery) => {
                if generation != self.session.access.generation() {
                    // The token was refreshed in the meantime.
                    self.reopen(id, delivery);
                    return Ok(());
                }
                let position: EventId = delivery.started();
                let filter = delivery.filter().clone();
                let subject = filter.to_string();
                self.session
                    .audit(AuditEvent::Subscribe, Some(&subject), Ok(()));
                if let Some(subscription) = self.session.subscriptions.lock().get_mut(id) {
                    subscription.filter = Some(filter);
                }
                self.tasks.spawn(delivery.deliver());
                self.replies
                    .send(Subscribed { id, position })
                    .map_err(unread)
            }
            // QP-5.5: the client no longer wants it, but expects an answer.
            Err(refusal) if refusal.code == Code::UNSUBSCRIBED => self.send_refused(id, refusal),
            Err(refusal) => {
                self.session.subscriptions.lock().remove(id);
                self.refuse(id, refusal)
            }
        }
    }

    fn refuse(&mut self, id: u32, refusal: Refusal) -> Result<(), End> {
        let Refusal {
            code,
            message,
            subject,
        } = &refusal;
        let code = *code;
        self.session.shared.metrics.refuse("subscription", code);
        let (event, why) = (AuditEvent::Subscribe, Err((code, message.as_str())));
        self.session.audit(event, subject.as_deref(), why);
        tracing::info!(
            peer = %self.session.peer.address(), %code, ?subject, "a subscription was refused"
        );
        self.send_refused(id, refusal)
    }

    fn send_refused(&mut self, id: u32, refusal: Refusal) -> Result<(), End> {
        let Refusal {
            code,
            message,
            subject,
        } = refusal;
        self.replies
            .send(Refused {
                id,
                code,
                message,
                subject,
            })
            .map_err(unread)
    }

    fn say_goodbye(&mut self) -> Result<(), End> {
        self.draining = true;
        let retry_after = self.session.shared.limits().retry_after;
        let goodbye = Goodbye {
            code: Code::SHUTTING_DOWN,
            message: "the server is shutting down".into(),
            retry_after_ms: Some(u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX)),
            address: None,
        };
        self.replies.send(goodbye).map_err(unread)
    }

    /// Serves a publishing stream.
    fn open_publisher(
        &mut self,
        streams: Result<(SendStream, RecvStream), ConnectionError>,
    ) -> Result<(), End> {
        let (send, recv) = streams?;
        self.permit_publishers();
        let (session, connection) = (Arc::clone(self.session), self.connection.clone());
        self.tasks
            .spawn(publishing::run(session, connection, send, recv));
        Ok(())
    }

    /// Permits more publishing streams at the first one: clients that only subscribe cost less.
    fn permit_publishers(&mut self) {
        if !self.publishing {
            let max = self.session.shared.limits().max_publishers;
            self.connection
                .set_max_remote_bidi_streams(max.saturating_add(1));
        }
        self.publishing = true;
    }
}

fn unread(_: Unread) -> End {
    End::new(
        Code::PROTOCOL_VIOLATION,
        "the replies on the control stream are not read",
    )
}

/// Accepts the next publishing stream. Once the server drains, waits for the end of the connection.
async fn publisher(
    connection: &Connection,
    draining: bool,
) -> Result<(SendStream, RecvStream), ConnectionError> {
    if draining {
        return Err(connection.closed().await);
    }
    connection.accept_bi().await
}

/// Waits for the tasks to end. In a box, as this happens once.
async fn ended(tasks: &TaskTracker) {
    Box::pin(tasks.wait()).await;
}
