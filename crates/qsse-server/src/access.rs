//! Which topics one principal may read or write: answers of the authorizer, kept for a connection.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use qsse_proto::batch::Batch;
use qsse_topic::{Filter, Pattern, PatternRef, Topic, TopicRef};

use crate::auth::{Action, Principal, Scope};
use crate::shared::Shared;

/// One connection's permissions.
pub(crate) struct Access {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    principal: Arc<Principal>,
    /// Grows with each new principal, so that an answer about an older one is not kept.
    generation: u64,
    /// Bounded; emptied when full. Never a reason to allow what was not answered.
    decisions: HashMap<(Action, Topic), bool>,
}

impl Access {
    pub(crate) fn new(shared: Arc<Shared>, principal: Principal) -> Self {
        let principal = Arc::new(principal);
        let state = State {
            principal,
            generation: 0,
            decisions: HashMap::new(),
        };
        Self {
            shared,
            state: Mutex::new(state),
        }
    }

    /// Replaces the principal: its token was refreshed. All answers are forgotten.
    pub(crate) fn replace(&self, principal: Principal) {
        let mut state = self.state.lock();
        state.principal = Arc::new(principal);
        state.generation += 1;
        state.decisions.clear();
    }

    /// How many principals there were before this one.
    pub(crate) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    pub(crate) fn principal(&self) -> Arc<Principal> {
        Arc::clone(&self.state.lock().principal)
    }

    /// Whether a subscription's topics must be asked for one by one, as they come.
    pub(crate) fn by_name(&self, filter: &Filter) -> bool {
        self.shared.authorizer.scope() == Scope::Names
            && filter.patterns().iter().any(|pattern| !pattern.is_exact())
    }

    /// The first pattern of a subscription that is denied as a whole.
    pub(crate) async fn denied<'f>(&self, filter: &'f Filter) -> Option<&'f Pattern> {
        for pattern in filter {
            if !self.allows_pattern(pattern).await {
                return Some(pattern);
            }
        }
        None
    }

    /// Whether the principal may subscribe to this pattern; under a wildcard, an authorizer that knows names only is
    /// asked when topics come.
    pub(crate) async fn allows_pattern(&self, pattern: &Pattern) -> bool {
        if !pattern.is_exact() && self.shared.authorizer.scope() == Scope::Names {
            return true;
        }
        let principal = self.principal();
        self.ask(&principal, Action::Subscribe, pattern.as_pattern_ref())
            .await
    }

    /// Whether the principal may do this on a topic, asking at most once for each.
    pub(crate) async fn allows(&self, action: Action, topic: TopicRef<'_>) -> bool {
        let (principal, generation) = {
            let state = self.state.lock();
            if let Some(known) = state.decisions.get(&(action, topic.to_topic())) {
                return *known;
            }
            (Arc::clone(&state.principal), state.generation)
        };
        let allowed = self.ask(&principal, action, topic.into()).await;
        let mut state = self.state.lock();
        if state.generation == generation {
            if state.decisions.len() >= self.shared.config.max_decisions {
                state.decisions.clear();
            }
            state.decisions.insert((action, topic.to_topic()), allowed);
        }
        allowed
    }

    /// What of a batch the principal may read by name.
    pub(crate) async fn readable(&self, batch: Batch) -> Option<Batch> {
        let mut denied: Vec<Topic> = Vec::new();
        for name in batch.topics() {
            let Ok(topic) = TopicRef::new(name) else {
                continue;
            };
            if !self.allows(Action::Subscribe, topic).await {
                denied.push(topic.to_topic());
            }
        }
        if denied.is_empty() {
            return Some(batch);
        }
        batch.retain(|topic| !denied.iter().any(|denied| denied.as_str() == topic))
    }

    /// The authorizer's answer; late or panicking means no.
    async fn ask(&self, principal: &Principal, action: Action, what: PatternRef<'_>) -> bool {
        let answer = AssertUnwindSafe(async {
            self.shared
                .authorizer
                .authorize(principal, action, what)
                .await
        });
        match tokio::time::timeout(self.shared.config.auth_timeout, answer.catch_unwind()).await {
            Ok(Ok(allowed)) => allowed,
            Ok(Err(_)) => {
                tracing::error!(
                    principal = principal.name(),
                    ?action,
                    "the authorizer panicked, which denies"
                );
                false
            }
            Err(_) => {
                tracing::warn!(
                    principal = principal.name(),
                    ?action,
                    "the authorizer did not answer in time, which denies"
                );
                false
            }
        }
    }
}
