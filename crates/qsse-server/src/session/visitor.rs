//! [`Visitor`]: a client that another protocol's binding speaks for, such as HTTP.
//!
//! ```text
//!                       ┌──▶ subscribe ──▶ TextStream   server-sent events, or lines of JSON
//! Server::visit ──▶ Visitor ──▶ publish ──▶ append      the checks and the append of qsse/1
//!                       └──▶ topics, last               what it may read
//! ```
//!
//! A visitor has the rights, limits and quotas of any client: it is a session without a connection
//! of ours.

mod caller;
mod foreign;
mod lookup;
mod place;
mod publishing;
mod refused;
mod text_form;
mod text_stream;

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::DropGuard;

use crate::audit::{AuditEvent, AuditRecord};
use crate::auth::Principal;
use crate::clients::Client;
use crate::fairness::quota::Place;
use crate::server::Server;
use crate::session::{End, Session, hello, member, rights};
use crate::shared::Shared;
pub use caller::Caller;
use foreign::Foreign;
pub use publishing::NewPublish;
pub use refused::Refused;
pub use text_form::TextForm;
pub use text_stream::{SubscribeText, TextStream};

/// A client that another protocol's binding speaks for. Made by [`Server::visit`].
///
/// It is a cheap handle. The client is among the server's [connections](Server::connections) until
/// the last handle and the last stream are dropped. It keeps the server's parts in memory, and does
/// not keep the server open.
#[derive(Clone)]
pub struct Visitor {
    session: Arc<Session>,
    foreign: Arc<Foreign>,
    _over: Arc<Over>,
}

/// Ends the visit with the last handle.
struct Over {
    _gone: DropGuard,
    /// Its place in the quota of its network.
    _place: Option<Place>,
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor")
            .field("principal", &self.session.access.principal().name())
            .field("foreign", &self.foreign)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Lets in a client that another protocol's binding speaks for: asks the authenticator, and
    /// counts it in the quotas.
    ///
    /// Dropping the future refuses the client. A network that has sent many wrong tokens waits.
    ///
    /// # Errors
    /// The token is wrong, expired or revoked, a quota is used up, or the server is shutting down.
    pub async fn visit(&self, caller: Caller<'_>) -> Result<Visitor, Refused> {
        let shared = self.shared();
        let visited = visit(shared, caller).await;
        if let Err(refused) = &visited {
            shared.metrics.refuse("connection", refused.code);
            let record = AuditRecord::new(AuditEvent::Connect, false);
            let record = record.address(caller.address);
            shared.record(&record.code(refused.code).reason(&refused.message));
        }
        visited
    }
}

async fn visit(shared: &Arc<Shared>, caller: Caller<'_>) -> Result<Visitor, Refused> {
    if shared.is_leaving() {
        return Err(End::shutting_down().into());
    }
    let place = member::connect(shared, caller.address).map_err(End::from)?;
    let foreign = Arc::new(Foreign::new(&caller));
    let checks = shared.clients.checks();
    let principal = hello::authenticate_new(shared, &*foreign, caller.token).await?;
    let session = Session::new(shared, Arc::clone(&foreign) as _, principal)?;
    let session = Arc::new(session);
    session.admit(checks)?;
    let over = Over {
        _gone: foreign.drop_guard(),
        _place: place,
    };
    let visitor = Visitor {
        session,
        foreign,
        _over: Arc::new(over),
    };
    visitor.watch();
    Ok(visitor)
}

impl Visitor {
    /// Ends the visit when its rights end, or the server does.
    fn watch(&self) {
        let (session, foreign) = (Arc::clone(&self.session), Arc::clone(&self.foreign));
        let tasks = session.shared.sessions.clone();
        tasks.spawn(async move {
            let deny = |denied: &[u32]| {
                deny(&session, denied);
                None
            };
            let shared = &session.shared;
            let end = tokio::select! {
                biased;
                () = foreign.gone() => return,
                () = shared.closing.cancelled() => End::shutting_down(),
                () = drained(&session, &foreign) => End::shutting_down(),
                end = rights::end_of_rights(&session, deny) => end,
            };
            session.expel(end.code, &end.reason);
        });
    }

    /// Returns who it is, as the authenticator named it.
    pub fn principal(&self) -> Arc<Principal> {
        self.session.access.principal()
    }

    /// Returns why the visit has ended, if so: what it asks for is refused for this reason.
    pub fn ended(&self) -> Option<Refused> {
        self.foreign.ended()
    }

    fn check_open(&self) -> Result<(), Refused> {
        if let Some(refused) = self.ended() {
            return Err(refused);
        }
        match self.session.shared.is_leaving() {
            true => Err(End::shutting_down().into()),
            false => Ok(()),
        }
    }
}

/// Waits until the server drains and all streams were written to their end.
async fn drained(session: &Session, foreign: &Foreign) {
    session.shared.draining.cancelled().await;
    while session.subscriptions.lock().len() > 0 {
        foreign.left().await;
    }
}

/// Ends subscriptions that are no longer allowed.
fn deny(session: &Session, denied: &[u32]) {
    let mut subscriptions = session.subscriptions.lock();
    for id in denied {
        if let Some(subscription) = subscriptions.remove(*id) {
            subscription.ends.deny();
        }
    }
}
