//! Where a publish may go: its rights first, and only then what the server has.

use qsse_proto::Code;
use qsse_topic::{Pattern, Topic, TopicRef};

use super::append::Target;
use crate::access::Answer;
use crate::auth::Action;
use crate::publish::PublishError;
use crate::session::Session;
use crate::shared::publishing::{check_reach, parse_pattern, parse_topic};

/// How many topics of a pattern are looked at for the cost of one refusal.
const TOPICS_PER_COST: usize = 64;

/// Why a publish is refused, and the work that it took to find out.
pub(in crate::session) struct Refusal {
    pub(in crate::session) code: Code,
    pub(in crate::session) message: String,
    /// In refusals; 0 for one that looked nothing up.
    pub(in crate::session) cost: u32,
}

impl Refusal {
    pub(in crate::session) fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        let cost = 1;
        Self {
            code,
            message,
            cost,
        }
    }

    /// Makes a refusal for which nothing was looked up.
    pub(in crate::session) fn free(code: Code, message: impl Into<String>) -> Self {
        Self {
            cost: 0,
            ..Self::new(code, message)
        }
    }

    /// Names what the client has sent, never what it may not see.
    fn denied(answer: Answer, what: &str) -> Self {
        match answer {
            Answer::Missing => Self::new(
                Code::BUSY,
                format!(
                    "the server cannot tell whether publishing on {what} is allowed: try again"
                ),
            ),
            _ => Self::new(
                Code::NOT_AUTHORISED,
                format!("not allowed to publish on {what}"),
            ),
        }
    }

    fn after(mut self, topics: usize) -> Self {
        let looked_at = u32::try_from(topics / TOPICS_PER_COST).unwrap_or(u32::MAX);
        self.cost = self.cost.saturating_add(looked_at);
        self
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Returns where a publish of `bytes` bytes goes.
pub(in crate::session) async fn target(
    session: &Session,
    matching: bool,
    name: &str,
    bytes: usize,
) -> Result<Target, Refusal> {
    if matching {
        let topics = topics(session, name, bytes).await?;
        return Ok(Target::Topics(topics));
    }
    let topic = parse_topic(name)?;
    check_owner(name)?;
    allowed(session, topic, name).await?;
    let full = session.access.namespace().full_topic(topic);
    let full = full.map_err(|_| too_long(name))?;
    if session.shared.topics.admits(full.as_topic_ref()) {
        return Ok(Target::Topic(full));
    }
    let nearest = session.nearest(Action::Publish, name).await;
    let topic = name.to_owned();
    Err(PublishError::NotDeclared { topic, nearest }.into())
}

/// Checks that a name or pattern is not the server's, whatever the authorizer says.
fn check_owner(name: &str) -> Result<(), Refusal> {
    if !name.starts_with('$') {
        return Ok(());
    }
    let message =
        format!("not allowed to publish on {name}: topics that start with $ are the server's");
    Err(Refusal::new(Code::NOT_AUTHORISED, message))
}

/// The name exceeds a limit with the prefix that the client does not know.
fn too_long(name: &str) -> Refusal {
    let message = format!("{name} is longer than the server permits for this token");
    Refusal::new(Code::INVALID_TOPIC, message)
}

async fn allowed(session: &Session, topic: TopicRef<'_>, shown: &str) -> Result<(), Refusal> {
    match session.access.allows(Action::Publish, topic).await {
        Answer::Yes => Ok(()),
        answer => Err(Refusal::denied(answer, shown)),
    }
}

/// Returns the topics that a publish to a pattern reaches (QP-8.7).
async fn topics(session: &Session, name: &str, bytes: usize) -> Result<Vec<Topic>, Refusal> {
    let pattern = parse_pattern(name)?;
    check_owner(name)?;
    let wildcards = session.check_wildcards(&pattern);
    wildcards.map_err(|message| Refusal::new(Code::TOO_MANY_WILDCARDS, message))?;
    let access = &session.access;
    let full = access.namespace().full_pattern(&pattern);
    let full = full.map_err(|_| too_long(name))?;
    if !access.could_allow(Action::Publish, &pattern) {
        return Err(Refusal::denied(Answer::No, name));
    }
    let topics = match access.allows_all_of(Action::Publish, &pattern).await {
        Answer::Yes => found(session, &full).await?,
        Answer::Missing => return Err(Refusal::denied(Answer::Missing, name)),
        Answer::No => one_by_one(session, name, &full).await?,
    };
    let reached = topics.len();
    check_reach(reached, bytes).map_err(|error| Refusal::from(error).after(reached))?;
    Ok(topics)
}

async fn found(session: &Session, full: &Pattern) -> Result<Vec<Topic>, Refusal> {
    let searcher = session.searcher();
    Ok(session.shared.topics_matching(full, &searcher).await?)
}

/// Returns the topics of a pattern that is not allowed as a whole, if each of them is. The refusal
/// does not tell which one is not, nor whether there are any.
async fn one_by_one(session: &Session, name: &str, full: &Pattern) -> Result<Vec<Topic>, Refusal> {
    let topics = found(session, full).await?;
    if topics.is_empty() {
        return Err(Refusal::denied(Answer::No, name));
    }
    for (n, topic) in topics.iter().enumerate() {
        let inner = session.access.namespace().inner(topic.as_str());
        let inner = inner.and_then(|inner| TopicRef::new(inner).ok());
        let allowed = match inner {
            Some(inner) => allowed(session, inner, name).await,
            None => Err(Refusal::denied(Answer::No, name)),
        };
        allowed.map_err(|refusal| refusal.after(n))?;
        if n % TOPICS_PER_COST == TOPICS_PER_COST - 1 {
            tokio::task::yield_now().await;
        }
    }
    Ok(topics)
}
