//! The control loop: what a client asks for, and the answers (section 4 of the protocol).
//!
//! It never waits for an authorizer, a stream credit or an event write: those run beside it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use qsse_proto::control::{
    ClientFrame, Goodbye, RefreshToken, Refused, Subscribe, Subscribed, TokenAccepted, Unsubscribe,
};
use qsse_proto::{Code, Counted, EventId, Frame};
use qsse_transport::{ConnectionError, RecvStream, SendStream};
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

/// Serves one client until it leaves, is sent away, or the server has drained. Tells with what to close the connection.
pub(crate) async fn run(session: &Arc<Session>, streams: Box<ControlStreams>) -> End {
    let (mut frames, replies) = {
        // To the end of this block: taken apart, the box would stay for as long as its variable.
        let streams = streams;
        (streams.frames, streams.replies)
    };
    let shared = &session.shared;
    let mut control = Control {
        session,
        replies: Replies::new(replies),
        subscriptions: Subscriptions::default(),
        highest_id: None,
        tasks: TaskTracker::new(),
        opening: Opening::default(),
        rate_limit: RateLimit::new(shared.config.control_burst, shared.config.control_rate),
        expiry: None,
        publishing: false,
    };
    control.expire_after(session.access.principal().expires_in());
    let mut draining = false;
    let mut leaving = false;
    let end = loop {
        let drained = draining && control.opening.is_empty();
        if drained {
            control.tasks.close();
        }
        let step = tokio::select! {
            biased;
            () = shared.closing.cancelled() => Err(End::shutting_down()),
            () = shared.draining.cancelled(), if !draining => {
                draining = true;
                control.say_goodbye()
            }
            () = expired(control.expiry) => Err(End::new(Code::TOKEN_EXPIRED, "the token has expired: connect with a newer one")),
            Some(answer) = control.opening.next() => control.answer(answer),
            () = control.replies.write(), if control.replies.are_waiting() => Ok(()),
            frame = frames.next(), if !leaving && control.rate_limit.ready() => match frame {
                Ok(Some(frame)) => control.handle(frame),
                Ok(None) => {
                    leaving = true;
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            () = control.rate_limit.wait(), if !control.rate_limit.ready() => Ok(()),
            streams = publisher(session, draining) => match streams {
                Ok((send, recv)) => {
                    control.open_publisher();
                    control.tasks.spawn(publishing::run(Arc::clone(session), send, recv));
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            () = ended(&control.tasks), if drained => Err(End::shutting_down()),
        };
        if let Err(end) = step {
            break end;
        }
    };
    if draining && end.code == Code::SHUTTING_DOWN && !shared.closing.is_cancelled() {
        // Every stream is written to its end; the client closes once it has read them.
        let last = async {
            control.replies.write().await;
            session.connection.closed().await
        };
        let read = tokio::time::timeout(shared.config.drain_timeout, last);
        tokio::select! {
            biased;
            _ = read => {}
            () = shared.closing.cancelled() => {}
        }
    }
    control
        .subscriptions
        .iter()
        .for_each(|(_, subscription)| subscription.ends.cancel());
    end
}

/// The state of one client's control stream.
struct Control<'s> {
    session: &'s Arc<Session>,
    replies: Replies,
    subscriptions: Subscriptions,
    /// Ids only grow, so that none is used twice.
    highest_id: Option<u32>,
    /// Deliveries and publishing streams.
    tasks: TaskTracker,
    opening: Opening<'s>,
    rate_limit: RateLimit,
    /// When the token ends.
    expiry: Option<Instant>,
    /// The number of publishing streams allowed has been raised.
    publishing: bool,
}

impl Control<'_> {
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
                    // The token was refreshed meanwhile.
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
        // What the last token allowed, this one may not. Only once that has ended is the newer one in force, and its client told so (QP-4.8).
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

    /// Ends what a newer token does not allow, and says that it is in force.
    fn rechecked(
        &mut self,
        generation: u64,
        refused: Vec<(u32, Refusal)>,
        accepted: TokenAccepted,
    ) -> Result<(), End> {
        // A token that is newer still is asked about by itself.
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

    /// Asks whether a subscription that was opened is allowed by the token that is in force now.
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
        let retry_after = self.session.shared.config.retry_after;
        let goodbye = Goodbye {
            code: Code::SHUTTING_DOWN,
            message: "the server is shutting down".into(),
            retry_after_ms: Some(u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX)),
            address: None,
        };
        self.replies.send(goodbye).map_err(unread)
    }

    /// The first publishing stream raises the number allowed: subscribers, who have none, cost less before.
    fn open_publisher(&mut self) {
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

/// The next publisher, until the server drains; then only the end of the connection.
async fn publisher(
    session: &Session,
    draining: bool,
) -> Result<(SendStream, RecvStream), ConnectionError> {
    if draining {
        return Err(session.connection.closed().await);
    }
    session.connection.accept_bi().await
}

/// In a box, as it is waited for once.
async fn ended(tasks: &TaskTracker) {
    Box::pin(tasks.wait()).await;
}

async fn expired(at: Option<Instant>) {
    match at {
        // In a box, as few tokens expire while their client is there.
        Some(at) => Box::pin(tokio::time::sleep_until(at)).await,
        None => std::future::pending().await,
    }
}
