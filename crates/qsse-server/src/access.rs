//! Which topics one principal may read or write: the authorizer's answers, cached per connection.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use qsse_log::Owner;
use qsse_proto::batch::Batch;
use qsse_topic::{Filter, Pattern, PatternRef, Topic, TopicRef};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::auth::{Action, Principal, Scope};
use crate::dedup_scope;
use crate::namespace::Namespace;
use crate::shared::Shared;

/// Most questions of one connection at a time. Further ones wait, and that wait counts as the
/// authorizer's time.
const IN_FLIGHT: usize = 32;

/// How long a topic is denied without asking again, after a question that was not answered. It
/// doubles each time, up to [`LONGEST_DENIED`].
const DENIED: Duration = Duration::from_secs(5);

/// The longest time that a topic is denied without asking again.
const LONGEST_DENIED: Duration = Duration::from_secs(60);

/// One connection's permissions.
pub(crate) struct Access {
    shared: Arc<Shared>,
    /// Stays the same for the whole connection.
    namespace: Namespace,
    state: Mutex<State>,
    /// Whether the right to publish was taken away, for good.
    expelled: AtomicBool,
    asking: Semaphore,
}

struct State {
    principal: Arc<Principal>,
    /// For whom its topics and patterns are counted.
    owner: Owner,
    /// Grows with each new principal, so that an answer about an older one is not cached.
    generation: u64,
    /// Bounded, and emptied when full. It never allows what was not answered.
    decisions: HashMap<(Action, Topic), Decision>,
}

/// The result of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// The authorizer was late or panicked. What waited is denied, but not for good.
    Missing,
}

/// The cached result of a question.
#[derive(Clone, Copy)]
enum Decision {
    Answered(bool),
    /// It was not answered: denied until this time, then asked again.
    Missing {
        until: Instant,
        denied: Duration,
    },
}

/// How to get an answer.
enum Known {
    Answer(Answer),
    /// Ask on behalf of the principal of this generation. The duration is how long the topic was
    /// denied after the last unanswered question.
    Ask(Arc<Principal>, u64, Option<Duration>),
}

impl From<bool> for Answer {
    fn from(allowed: bool) -> Self {
        if allowed { Self::Yes } else { Self::No }
    }
}

impl Access {
    pub(crate) fn new(shared: Arc<Shared>, principal: Principal) -> Self {
        let namespace = Namespace::of(&principal);
        let principal = Arc::new(principal);
        let state = State {
            owner: dedup_scope::owner(principal.identity(), principal.address()),
            principal,
            generation: 0,
            decisions: HashMap::new(),
        };
        Self {
            shared,
            namespace,
            state: Mutex::new(state),
            expelled: AtomicBool::new(false),
            asking: Semaphore::new(IN_FLIGHT),
        }
    }

    /// Replaces the principal after its token was refreshed, and forgets all answers.
    pub(crate) fn replace(&self, principal: Principal) {
        let mut state = self.state.lock();
        state.principal = Arc::new(principal.after(&state.principal));
        let principal = &state.principal;
        state.owner = dedup_scope::owner(principal.identity(), principal.address());
        state.generation += 1;
        state.decisions.clear();
    }

    /// Takes the right to publish away, for good. The connection has to be closed at the same time:
    /// nothing is delivered then. Publishes that were received before look here before they are
    /// appended, whatever was answered about their topics.
    pub(crate) fn expel(&self) {
        self.expelled.store(true, Ordering::Release);
    }

    /// Returns whether the right to publish was taken away.
    pub(crate) fn is_expelled(&self) -> bool {
        self.expelled.load(Ordering::Acquire)
    }

    /// Returns how many principals there were before this one.
    pub(crate) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    /// Returns what the names of the client begin with on the server. The authorizer is asked about
    /// inner names, as the client uses them.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns for whom topics are counted, and the most of them if that is not the server's
    /// setting.
    pub(crate) fn owner(&self) -> (Owner, Option<usize>) {
        let state = self.state.lock();
        let most = state.principal.limits().topics;
        (state.owner, most.map(|most| most as usize))
    }

    pub(crate) fn principal(&self) -> Arc<Principal> {
        Arc::clone(&self.state.lock().principal)
    }

    /// Returns whether the authorizer must be asked about each topic of the subscription.
    pub(crate) fn by_name(&self, filter: &Filter) -> bool {
        self.shared.authorizer.scope() == Scope::Names
            && filter.patterns().iter().any(|pattern| !pattern.is_exact())
    }

    /// Returns the first pattern of a full filter that is not allowed as a whole, as the client
    /// calls it, and the answer.
    pub(crate) async fn denied(&self, filter: &Filter) -> Option<(Pattern, Answer)> {
        for full in filter {
            let Some(pattern) = self.namespace.inner_pattern(full) else {
                return Some((full.clone(), Answer::No));
            };
            match self.allows_pattern(&pattern).await {
                Answer::Yes => {}
                answer => return Some((pattern.into_owned(), answer)),
            }
        }
        None
    }

    /// Returns whether the principal may subscribe to this pattern. An authorizer that knows only
    /// names is asked about those under a wildcard when they come.
    pub(crate) async fn allows_pattern(&self, pattern: &Pattern) -> Answer {
        if !pattern.is_exact() && self.shared.authorizer.scope() == Scope::Names {
            return Answer::Yes;
        }
        let principal = self.principal();
        self.ask(&principal, Action::Subscribe, pattern.as_pattern_ref())
            .await
    }

    /// Returns whether the principal may do this on everything that a pattern matches. An
    /// authorizer that knows only names cannot allow that for a wildcard.
    pub(crate) async fn allows_all_of(&self, action: Action, pattern: &Pattern) -> Answer {
        if !pattern.is_exact() && !self.knows_patterns() {
            return Answer::No;
        }
        let principal = self.principal();
        self.ask(&principal, action, pattern.as_pattern_ref()).await
    }

    /// Returns whether the authorizer can answer for a whole pattern.
    pub(crate) fn knows_patterns(&self) -> bool {
        self.shared.authorizer.scope() == Scope::Patterns
    }

    /// Returns whether there may be a topic that `pattern` matches on which the principal may do
    /// this.
    pub(crate) fn could_allow(&self, action: Action, pattern: &Pattern) -> bool {
        let principal = self.principal();
        let could = AssertUnwindSafe(|| {
            let authorizer = &self.shared.authorizer;
            authorizer.could_allow(&principal, action, pattern.as_pattern_ref())
        });
        // The questions that follow report a panic.
        catch_unwind(could).unwrap_or(true)
    }

    /// Returns whether the principal may do this on a topic. Each topic is asked about once, and
    /// again after a while if there was no answer.
    pub(crate) async fn allows(&self, action: Action, topic: TopicRef<'_>) -> Answer {
        loop {
            let (principal, generation, denied) = match self.known(action, topic) {
                Known::Answer(answer) => return answer,
                Known::Ask(principal, generation, denied) => (principal, generation, denied),
            };
            let answer = self.ask(&principal, action, topic.into()).await;
            let mut state = self.state.lock();
            // The newer token may not allow what the older one did.
            if state.generation == generation {
                if state.decisions.len() >= self.shared.limits().max_decisions {
                    state.decisions.clear();
                }
                let decision = Decision::of(answer, denied);
                state.decisions.insert((action, topic.to_topic()), decision);
                return answer;
            }
        }
    }

    /// Returns the part of a batch that the principal may read by name.
    pub(crate) async fn readable(&self, batch: Batch) -> Option<Batch> {
        let (mut denied, mut unknown) = (Vec::new(), Vec::new());
        for name in batch.topics() {
            let name = self.namespace.inner(name).unwrap_or_default();
            let Ok(topic) = TopicRef::new(name) else {
                continue;
            };
            match self.known(Action::Subscribe, topic) {
                Known::Answer(Answer::Yes) => {}
                Known::Answer(_) => denied.push(topic.to_topic()),
                Known::Ask(..) => unknown.push(topic.to_topic()),
            }
        }
        // At the same time: without answers it takes as long as one question, or a few.
        let mut asking: FuturesUnordered<_> = unknown
            .into_iter()
            .map(|topic| self.denies(topic))
            .collect();
        while let Some(topic) = asking.next().await {
            denied.extend(topic);
        }
        drop(asking);
        if denied.is_empty() {
            return Some(batch);
        }
        let is_denied = |name: &str| denied.iter().any(|denied: &Topic| denied.as_str() == name);
        batch.retain(|topic| {
            let inner = self.namespace.inner(topic);
            inner.is_some_and(|inner| !is_denied(inner))
        })
    }

    /// Returns the topic, unless the principal may read it.
    async fn denies(&self, topic: Topic) -> Option<Topic> {
        let answer = self.allows(Action::Subscribe, topic.as_topic_ref()).await;
        (answer != Answer::Yes).then_some(topic)
    }

    /// Returns the cached answer, or how to ask.
    fn known(&self, action: Action, topic: TopicRef<'_>) -> Known {
        let state = self.state.lock();
        let denied = match state.decisions.get(&(action, topic.to_topic())) {
            Some(Decision::Answered(allowed)) => return Known::Answer((*allowed).into()),
            Some(Decision::Missing { until, .. }) if Instant::now() < *until => {
                return Known::Answer(Answer::Missing);
            }
            Some(Decision::Missing { denied, .. }) => Some(*denied),
            None => None,
        };
        Known::Ask(Arc::clone(&state.principal), state.generation, denied)
    }

    /// Asks the authorizer.
    async fn ask(&self, principal: &Principal, action: Action, what: PatternRef<'_>) -> Answer {
        let answer = AssertUnwindSafe(async {
            let _permit = self.asking.acquire().await;
            self.shared
                .authorizer
                .authorize(principal, action, what)
                .await
        });
        match tokio::time::timeout(self.shared.limits().auth_timeout, answer.catch_unwind()).await {
            Ok(Ok(allowed)) => allowed.into(),
            Ok(Err(_)) => {
                tracing::error!(
                    principal = principal.name(),
                    ?action,
                    "the authorizer panicked, which denies"
                );
                Answer::Missing
            }
            Err(_) => {
                tracing::warn!(
                    principal = principal.name(),
                    ?action,
                    "the authorizer did not answer in time, which denies"
                );
                Answer::Missing
            }
        }
    }
}

impl Decision {
    /// `denied` is how long the topic was denied before, if the last question was not answered
    /// either.
    fn of(answer: Answer, denied: Option<Duration>) -> Self {
        if answer != Answer::Missing {
            return Self::Answered(answer == Answer::Yes);
        }
        let longer = |denied: Duration| (2 * denied).min(LONGEST_DENIED);
        let denied = denied.map_or(DENIED, longer);
        let until = Instant::now() + denied;
        Self::Missing { until, denied }
    }
}
