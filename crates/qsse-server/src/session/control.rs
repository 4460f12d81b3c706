//! The control loop: a client's requests and the replies (section 4 of the protocol).
//!
//! It never waits for an authorizer, a stream credit or an event write: these run concurrently.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use qsse_proto::control::{
    ClientFrame, Goodbye, RefreshToken, Refused, Subscribe, Subscribed, TokenAccepted, Unsubscribe,
};
use qsse_proto::{Code, Counted, EventId, Frame};
use qsse_transport::{
    ConnectionError, FrameError, FrameReader, FrameWriter, RecvStream, SendStream,
};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::auth::Principal;
use crate::session::delivery::Delivery;
use crate::session::hello::{self, ControlStreams};
use crate::session::opening::{Answer, Opening};
use crate::session::rate_limit::RateLimit;
use crate::session::replies::{Replies, Unread};
use crate::session::subscribing::{self, Refusal};
use crate::session::subscriptions::{ClientSubscription, Ends, Subscriptions};
use crate::session::{End, Session, publishing};

/// Serves one client until it leaves, its connection is closed, or the server has drained. Returns
/// how to close the connection.
pub(crate) async fn run(session: &Arc<Session>, streams: Box<ControlStreams>) -> End {
    let (mut frames, replies) = {
        // Frees the box at the end of this block: it lives as long as its variable.
        let streams = streams;
        (streams.frames, streams.replies)
    };
    let mut control = Control::new(session, replies);
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
    replies: Replies,
    subscriptions: Subscriptions,
    /// Ids only grow, so none is used twice.
    highest_id: Option<u32>,
    /// Deliveries and publishing streams.
    tasks: TaskTracker,
    opening: Opening<'s>,
    rate_limit: RateLimit,
    /// When the token expires.
    expiry: Option<Instant>,
    /// Whether the number of permitted publishing streams was raised.
    publishing: bool,
    /// Whether the client was told that the server drains.
    draining: bool,
    /// Whether the client has ended its control stream.
    leaving: bool,
}

impl<'s> Control<'s> {
    fn new(session: &'s Arc<Session>, replies: FrameWriter) -> Self {
        let config = &session.shared.config;
        let mut control = Self {
            session,
            replies: Replies::new(replies),
            subscriptions: Subscriptions::default(),
            highest_id: None,
            tasks: TaskTracker::new(),
            opening: Opening::default(),
            rate_limit: RateLimit::new(config.control_burst, config.control_rate),
            expiry: None,
            publishing: false,
            draining: false,
            leaving: false,
        };
        control.expire_after(session.access.principal().expires_in());
        control
    }

    /// Waits for the next thing to do, and does it. The error says how to close the connection.
    async fn step(&mut self, frames: &mut FrameReader) -> Result<(), End> {
        let (session, draining) = (self.session, self.draining);
        let shared = &session.shared;
        let drained = draining && self.opening.is_empty();
        if drained {
            self.tasks.close();
        }
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => Err(End::shutting_down()),
            () = shared.draining.cancelled(), if !draining => self.say_goodbye(),
            () = expired(self.expiry) => Err(End::token_expired()),
            Some(answer) = self.opening.next() => self.answer(answer),
            () = self.replies.write(), if self.replies.are_waiting() => Ok(()),
            frame = frames.next(), if !self.leaving && self.rate_limit.ready() => self.read(frame),
            () = self.rate_limit.wait(), if !self.rate_limit.ready() => Ok(()),
            streams = publisher(session, draining) => self.open_publisher(streams),
            () = ended(&self.tasks), if drained => Err(End::shutting_down()),
        }
    }

    /// Waits until the client has read its streams, each written to its end, and closes.
    async fn wait_until_read(&mut self) {
        let shared = &self.session.shared;
        let last = async {
            self.replies.write().await;
            self.session.connection.closed().await
        };
        let read = tokio::time::timeout(shared.config.drain_timeout, last);
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => {}
            _ = read => {}
        }
    }

    fn end_subscriptions(&self) {
        self.subscriptions
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
        match ClientFrame::decode(frame)? {
            ClientFrame::Subscribe(subscribe) => self.subscribe(subscribe),
            ClientFrame::Unsubscribe(Unsubscribe { id }) => {
                if let Some(subscription) = self.subscriptions.remove(id) {
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
        let shared = &self.session.shared;
        self.subscriptions.sweep();
        if shared.is_leaving() {
            return self.refuse(
                id,
                Refusal::new(Code::SHUTTING_DOWN, "the server is shutting down"),
            );
        }
        let max = shared.config.max_subscriptions;
        if self.subscriptions.len() >= max as usize {
            let message = format!("a connection has at most {}", Counted(max, "subscription"));
            return self.refuse(id, Refusal::new(Code::TOO_MANY_SUBSCRIPTIONS, message));
        }
        let ends = Ends::default();
        let subscription = ClientSubscription {
            ends: ends.clone(),
            filter: None,
        };
        self.subscriptions.add(id, subscription);
        let session = Arc::clone(self.session);
        let generation = session.access.generation();
        self.opening.add(Box::pin(async move {
            let opened = subscribing::open(session, subscribe, ends).await;
            Answer::Subscription(id, generation, opened)
        }));
        Ok(())
    }

    fn answer(&mut self, answer: Answer) -> Result<(), End> {
        match answer {
            Answer::Subscription(id, generation, opened) => self.opened(id, generation, opened),
            Answer::Token(principal) => self.refreshed(principal?),
            Answer::Recheck(generation, refused, accepted) => {
                self.rechecked(generation, refused, accepted)
            }
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
                if let Some(subscription) = self.subscriptions.get_mut(id) {
                    subscription.filter = Some(filter);
                }
                self.tasks.spawn(delivery.deliver());
                self.replies
                    .send(Subscribed { id, position })
                    .map_err(unread)
            }
            Err(refusal) => {
                self.subscriptions.remove(id);
                self.refuse(id, refusal)
            }
        }
    }

    fn refuse(&mut self, id: u32, refusal: Refusal) -> Result<(), End> {
        let Refusal {
            code,
            message,
            subject,
        } = refusal;
        self.session.shared.metrics.refuse("subscription", code);
        tracing::info!(
            peer = %self.session.connection.remote_address(), %code, ?subject, "a subscription was refused"
        );
        self.replies
            .send(Refused {
                id,
                code,
                message,
                subject,
            })
            .map_err(unread)
    }

    fn refresh(&mut self, RefreshToken { token }: RefreshToken) {
        let Session {
            shared, connection, ..
        } = &**self.session;
        self.opening.add_token(Box::pin(async move {
            Answer::Token(hello::authenticate(shared, connection, Some(token.expose())).await)
        }));
    }

    fn refreshed(&mut self, principal: Principal) -> Result<(), End> {
        let expires = principal.expires_in();
        self.session.access.replace(principal);
        self.expire_after(expires);
        let expires_in_ms = expires.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let accepted = TokenAccepted { expires_in_ms };
        // The newer token may allow less. It is in force, and acknowledged, once subscriptions that
        // it does not allow have ended (QP-4.8).
        let subscriptions = self.subscriptions.iter();
        let filters: Vec<_> = subscriptions
            .filter_map(|(id, subscription)| Some((id, subscription.filter.clone()?)))
            .collect();
        let session = self.session;
        let generation = session.access.generation();
        self.opening.add_token(Box::pin(async move {
            let asked = filters.into_iter().map(|(id, filter)| async move {
                let refusal = subscribing::recheck(session, &filter).await;
                refusal.map(|refusal| (id, refusal))
            });
            let refused = asked.collect::<FuturesUnordered<_>>();
            let refused = refused.filter_map(std::future::ready).collect().await;
            Answer::Recheck(generation, refused, accepted)
        }));
        Ok(())
    }

    /// Ends what a newer token does not allow, and acknowledges it.
    fn rechecked(
        &mut self,
        generation: u64,
        refused: Vec<(u32, Refusal)>,
        accepted: TokenAccepted,
    ) -> Result<(), End> {
        // An even newer token has a check of its own.
        if generation == self.session.access.generation() {
            for (id, refusal) in refused {
                if let Some(subscription) = self.subscriptions.remove(id) {
                    subscription.ends.deny();
                    self.refuse(id, refusal)?;
                }
            }
        }
        self.replies.send(accepted).map_err(unread)
    }

    /// Checks a subscription that was opened against the token that is now in force.
    fn reopen(&mut self, id: u32, delivery: Box<Delivery>) {
        let session = self.session;
        let generation = session.access.generation();
        self.opening.add(Box::pin(async move {
            let opened = match subscribing::recheck(session, delivery.filter()).await {
                Some(refusal) => {
                    delivery.deny();
                    Err(refusal)
                }
                None => Ok(delivery),
            };
            Answer::Subscription(id, generation, opened)
        }));
    }

    fn expire_after(&mut self, time: Option<Duration>) {
        self.expiry = time.map(|time| Instant::now() + time);
    }

    fn say_goodbye(&mut self) -> Result<(), End> {
        self.draining = true;
        let retry_after = self.session.shared.config.retry_after;
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
        let session = Arc::clone(self.session);
        self.tasks.spawn(publishing::run(session, send, recv));
        Ok(())
    }

    /// Permits more publishing streams at the first one: clients that only subscribe cost less.
    fn permit_publishers(&mut self) {
        if !self.publishing {
            let max = self.session.shared.config.max_publishers;
            self.session
                .connection
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
    session: &Session,
    draining: bool,
) -> Result<(SendStream, RecvStream), ConnectionError> {
    if draining {
        return Err(session.connection.closed().await);
    }
    session.connection.accept_bi().await
}

/// Waits for the tasks to end. In a box, as this happens once.
async fn ended(tasks: &TaskTracker) {
    Box::pin(tasks.wait()).await;
}

async fn expired(at: Option<Instant>) {
    match at {
        // In a box, as few tokens expire while their client is connected.
        Some(at) => Box::pin(tokio::time::sleep_until(at)).await,
        None => std::future::pending().await,
    }
}
