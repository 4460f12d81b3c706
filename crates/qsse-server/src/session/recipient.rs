//! [`ClientRecipient`]: the client that a subscription's events go to.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use qsse_log::Reader;
use qsse_proto::Code;
use qsse_proto::batch::Batch;
use qsse_topic::Filter;

use crate::delivery::Recipient;
use crate::fairness::searches::Searcher;
use crate::metrics::GaugeGuard;
use crate::session::Session;
use crate::session::subscriptions::Ends;
use crate::shared::Shared;

/// A client, as the recipient of one subscription.
pub(crate) struct ClientRecipient {
    session: Arc<Session>,
    filter: Filter,
    permission: Permission,
    lag: LagState,
    ends: Ends,
    /// Whether a task of the server asks for its events. Otherwise somebody may stop to ask while
    /// it is its turn to search.
    in_task: bool,
}

impl ClientRecipient {
    /// `in_task` says whether a task of the server asks for the events.
    pub(crate) fn new(session: Arc<Session>, filter: Filter, ends: Ends, in_task: bool) -> Self {
        let permission = Permission::new(session.access.by_name(&filter));
        Self {
            session,
            filter,
            permission,
            lag: LagState::default(),
            ends,
            in_task,
        }
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// What it is subscribed to.
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }
}

impl Recipient for ClientRecipient {
    /// Small, so that a stream that catches up does not starve the others of its connection.
    const TURN: usize = 32 << 10;
    const STORED_TURN: usize = 128 << 10;

    fn shared(&self) -> &Arc<Shared> {
        &self.session.shared
    }

    fn searcher(&self) -> Searcher {
        match self.in_task {
            true => self.session.searcher(),
            false => Searcher::in_process(),
        }
    }

    #[inline]
    fn note_lag(&mut self, reader: &Reader) {
        if reader.has_fallen_behind() != self.lag.is_behind() {
            self.lag.turn(reader, &self.session, &self.filter);
        }
    }

    #[inline]
    fn note_up_to_date(&mut self) {
        self.ends.note_up_to_date();
    }

    fn ask_permission(&self, batches: &mut Vec<Batch>) -> Option<BoxFuture<'static, Vec<Batch>>> {
        if !self.permission.by_name {
            return None;
        }
        let (session, batches) = (Arc::clone(&self.session), std::mem::take(batches));
        Some(Box::pin(async move {
            let mut allowed = Vec::with_capacity(batches.len());
            for batch in batches {
                allowed.extend(session.access.readable(batch).await);
            }
            allowed
        }))
    }

    fn note_permitted(&mut self, allowed: &[Batch]) {
        if self.permission.denies_everything_so_far(allowed) {
            warn_of_denials(&self.session, &self.filter);
        }
    }
}

/// How the authorizer is asked about a subscription.
struct Permission {
    /// The authorizer has to be asked topic by topic.
    by_name: bool,
    /// Whether the first answers have come.
    answered: bool,
}

impl Permission {
    fn new(by_name: bool) -> Self {
        Self {
            by_name,
            answered: false,
        }
    }

    /// Whether these are the first answers, and nothing was allowed.
    fn denies_everything_so_far(&mut self, allowed: &[Batch]) -> bool {
        let first = !std::mem::replace(&mut self.answered, true);
        first && allowed.is_empty()
    }
}

/// An authorizer written for the text of patterns denies every name under a wildcard: then the
/// subscriber sees nothing.
fn warn_of_denials(session: &Session, filter: &Filter) {
    let metrics = &session.shared.metrics;
    metrics.refuse("events", Code::NOT_AUTHORISED);
    tracing::warn!(
        principal = session.access.principal().name(),
        %filter,
        "the authorizer denies every topic that this subscription has matched so far; it is asked for names, not for patterns"
    );
}

/// Whether a subscription has fallen behind its feed.
#[derive(Default)]
struct LagState {
    /// Counts it while it is behind.
    behind: Option<GaugeGuard>,
}

impl LagState {
    fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// Notes that the subscription has fallen behind, or caught up.
    #[cold]
    fn turn(&mut self, reader: &Reader, session: &Session, filter: &Filter) {
        let metrics = &session.shared.metrics;
        if self.behind.take().is_some() {
            return;
        }
        self.behind = Some(metrics.lagging.hold());
        metrics.lag_total.add(1);
        tracing::info!(
            peer = %session.peer.address(), %filter, on_lag = ?reader.on_lag(),
            "a subscription is behind its feed"
        );
    }
}
