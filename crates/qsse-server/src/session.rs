//! Sessions: one per connection, from the handshake to its end.
//!
//! ```text
//! accept ──▶ handshake ─┬─▶ hello ──▶ control loop ─┬─▶ delivery    (a task per subscription)
//!                       │                           └─▶ publishing  (a task per publishing stream)
//!                       ├─▶ go: offer ──▶ delivery    (a client of the Go library, by its ALPN)
//!                       └─▶ web: a session ──▶ hello  (a browser: WebTransport over HTTP/3)
//! ```

mod client;
mod control;
mod delivery;
mod encoding;
mod expiry;
mod frames;
mod go;
mod hello;
mod member;
mod opening;
pub(crate) mod peer;
mod publishing;
mod recipient;
mod replies;
mod rights;
pub(crate) mod serve;
mod subscribing;
pub(crate) mod subscriptions;
mod unfinished;
pub(crate) mod unread;
pub(crate) mod visitor;
#[cfg(feature = "http3")]
pub(crate) mod web;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use qsse_proto::{Code, Counted, DecodeError};
use qsse_topic::Pattern;
use qsse_transport::{ConnectionError, FrameError};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::access::{Access, Answer};
use crate::audit::{AuditEvent, AuditRecord};
use crate::auth::{Action, Principal};
use crate::clients::{Admitted, Client, Revoked};
use crate::fairness::rate_limit::RateLimit;
use crate::fairness::searches::{Searcher, Searches};
use crate::session::member::{Excess, Member};
use crate::session::peer::Peer;
use crate::session::subscriptions::Subscriptions;
use crate::session::unfinished::UnfinishedFrames;
use crate::session::unread::Unread;
use crate::shared::Shared;

/// What the tasks of one connection share.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Arc<dyn Peer>,
    pub(crate) access: Access,
    /// What it is subscribed to.
    pub(crate) subscriptions: Mutex<Subscriptions>,
    /// Asks the session to check the token in force again.
    recheck: Notify,
    /// Its place among the server's clients.
    admitted: OnceLock<Admitted>,
    /// What its subscriptions hold that is not read.
    pub(crate) unread: Arc<Unread>,
    /// When the client was accepted, by the monotonic clock.
    welcomed: Duration,
    /// How often its publishes may be refused before it has to wait.
    refusals: Mutex<RateLimit>,
    /// The memory that its unfinished frames may take.
    unfinished: UnfinishedFrames,
    /// The quotas that it counts in.
    member: Member,
    /// Its searches of the log, and the places of starts that search, once there is one.
    searches: OnceLock<Box<(Searches, Semaphore)>>,
}

impl Session {
    /// Creates the session of a client that is to be let in.
    ///
    /// # Errors
    /// Its principal has as many connections as it may have.
    fn new(shared: &Arc<Shared>, peer: Arc<dyn Peer>, principal: Principal) -> Result<Self, End> {
        let limits = shared.limits();
        let member = Member::new(shared, peer.address(), &principal)?;
        Ok(Self {
            member,
            // Read before the client is answered: all that it says later happened later.
            welcomed: shared.clock.now().monotonic,
            refusals: Mutex::new(RateLimit::new(limits.refusal_burst, limits.refusal_rate)),
            unread: Unread::new(shared.config.max_connection_unread_bytes),
            unfinished: UnfinishedFrames::new(shared),
            shared: Arc::clone(shared),
            peer,
            access: Access::new(Arc::clone(shared), principal),
            subscriptions: Mutex::default(),
            recheck: Notify::new(),
            admitted: OnceLock::new(),
            searches: OnceLock::new(),
        })
    }

    /// Lets the client in, unless it was revoked. It is in until the last task drops the
    /// session. `checks` are those before its token was checked.
    fn admit(self: &Arc<Self>, checks: u64) -> Result<(), End> {
        let client: Arc<dyn Client> = Arc::clone(self) as _;
        let admitted = self.shared.clients.admit(&client, checks)?;
        // It is set only here, once.
        let _ = self.admitted.set(admitted);
        self.audit(AuditEvent::Connect, None, Ok(()));
        Ok(())
    }

    /// Checks that a pattern of the client has no more wildcards than the server allows.
    ///
    /// # Errors
    /// The message for the client.
    fn check_wildcards(&self, pattern: &Pattern) -> Result<(), String> {
        let most = self.shared.limits().max_wildcards;
        match pattern.wildcards() > most {
            true => Err(format!(
                "{pattern} has more than {}",
                Counted(most, "wildcard")
            )),
            false => Ok(()),
        }
    }

    /// Records for an audit what the client asked for, and why it was refused, if so.
    fn audit(&self, event: AuditEvent, subject: Option<&str>, outcome: Result<(), (Code, &str)>) {
        let principal = self.access.principal();
        let mut record = AuditRecord::new(event, outcome.is_ok())
            .principal(principal.name())
            .address(self.peer.address());
        record.token_id = principal.token_id();
        record.subject = subject;
        if let Err((code, reason)) = outcome {
            record = record.code(code).reason(reason);
        }
        self.shared.record(&record);
    }

    /// Gives the client the principal of a token that was checked later, unless it was revoked or
    /// belongs elsewhere.
    fn renew(&self, principal: Principal) -> Result<(), End> {
        // Subscriptions are open under this one.
        if principal.namespace() != self.access.principal().namespace() {
            let reason = "the token is of another namespace: connect anew with it";
            return Err(End::new(Code::NOT_AUTHORISED, reason));
        }
        let replace = |principal| self.access.replace(principal);
        Ok(self.shared.clients.renew(principal, replace)?)
    }

    fn searches(&self) -> &(Searches, Semaphore) {
        self.searches.get_or_init(|| {
            let starts = self.shared.limits().max_starts;
            Box::new((Searches::default(), Semaphore::new(starts as usize)))
        })
    }

    /// Returns in whose name the log is searched for this client.
    fn searcher(&self) -> Searcher {
        Searcher::client(&self.shared.searches, &self.searches().0)
    }

    /// Waits until one more start may be searched for.
    ///
    /// Cancel-safe.
    async fn start_place(&self) -> Option<SemaphorePermit<'_>> {
        let starts = &self.searches().1;
        if let Ok(place) = starts.try_acquire() {
            return Some(place);
        }
        self.shared.metrics.paced.starts.add(1);
        // It is never closed.
        starts.acquire().await.ok()
    }

    /// Returns the declared topic most similar to `name`, for an error message, if the principal
    /// may do the same there. Others are never named. Both are as the client calls them.
    async fn nearest(&self, action: Action, name: &str) -> Option<String> {
        let namespace = self.access.namespace();
        let nearest = self.shared.topics.nearest(&namespace.full(name))?;
        let nearest = namespace.inner_pattern(nearest)?;
        let answer = self.access.allows_all_of(action, &nearest).await;
        (answer == Answer::Yes).then(|| nearest.to_string())
    }

    /// Returns the earliest time of a first attempt that was `ago_ms` ago when the client sent
    /// this.
    ///
    /// The time that the frame was on its way has to be added, which the client cannot know. It is
    /// not longer than the age of the connection, nor than a connection lives without an answer.
    fn tried(&self, ago_ms: u64) -> Tried {
        let read = self.shared.clock.now().monotonic;
        let here = read.saturating_sub(self.welcomed);
        let on_its_way = here.min(self.shared.config.transport.idle_timeout);
        let ago = Duration::from_millis(ago_ms).saturating_add(on_its_way);
        Tried { read, ago }
    }
}

/// When a publish was first tried, at the earliest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    /// When the client's statement was read.
    read: Duration,
    /// How long before that the attempt was, at most.
    ago: Duration,
}

impl Tried {
    /// Returns how long ago it is now.
    fn ago(self, now: Duration) -> Duration {
        self.ago.saturating_add(now.saturating_sub(self.read))
    }
}

/// The end of a client that was not let in.
pub(crate) struct Rejected(End);

impl From<End> for Rejected {
    fn from(end: End) -> Self {
        Self(end)
    }
}

/// Why a connection is closed.
pub(crate) struct End {
    pub(crate) code: Code,
    pub(crate) reason: String,
}

impl End {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    fn token_expired() -> Self {
        Self::new(
            Code::TOKEN_EXPIRED,
            "the token has expired: connect with a newer one",
        )
    }

    fn shutting_down() -> Self {
        Self::new(Code::SHUTTING_DOWN, "the server is shutting down")
    }
}

impl From<Revoked> for End {
    fn from(_: Revoked) -> Self {
        Self::new(Revoked::CODE, Revoked::REASON)
    }
}

impl From<Excess> for End {
    fn from(excess: Excess) -> Self {
        Self::new(excess.code, excess.message)
    }
}

impl From<DecodeError> for End {
    fn from(error: DecodeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        Self::new(Code::NO_ERROR, error.to_string())
    }
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Decode(error) => error.into(),
            FrameError::Truncated => Self::new(Code::PROTOCOL_VIOLATION, error.to_string()),
            _ => Self::new(Code::NO_ERROR, error.to_string()),
        }
    }
}
