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
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
    /// In refusals; 0 for one that looked nothing up.
    pub(super) cost: u32,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        let cost = 1;
        Self {
            code,
            message,
            cost,
        }
    }

    /// Makes a refusal for which nothing was looked up.
    pub(super) fn free(code: Code, message: impl Into<String>) -> Self {
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
pub(super) async fn target(
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
    allowed(session, topic, name).await?;
    if session.shared.topics.admits(topic) {
        return Ok(Target::Topic(topic.to_topic()));
    }
    let nearest = session.nearest(Action::Publish, name).await;
    let topic = name.to_owned();
    Err(PublishError::NotDeclared { topic, nearest }.into())
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
    let access = &session.access;
    if !access.could_allow(Action::Publish, &pattern) {
        return Err(Refusal::denied(Answer::No, name));
    }
    let found = match access.allows_all_of(Action::Publish, &pattern).await {
        Answer::Yes => session.shared.topics_matching(&pattern)?,
        Answer::Missing => return Err(Refusal::denied(Answer::Missing, name)),
        Answer::No => one_by_one(session, &pattern).await?,
    };
    let reached = found.len();
    check_reach(reached, bytes).map_err(|error| Refusal::from(error).after(reached))?;
    Ok(found)
}

/// Returns the topics of a pattern that is not allowed as a whole, if each of them is. The refusal
/// does not tell which one is not, nor whether there are any.
async fn one_by_one(session: &Session, pattern: &Pattern) -> Result<Vec<Topic>, Refusal> {
    let name = pattern.as_str();
    let topics = session.shared.topics_matching(pattern)?;
    if topics.is_empty() && session.access.knows_patterns() {
        return Err(Refusal::denied(Answer::No, name));
    }
    for (n, topic) in topics.iter().enumerate() {
        let allowed = allowed(session, topic.as_topic_ref(), name).await;
        allowed.map_err(|refusal| refusal.after(n))?;
        if n % TOPICS_PER_COST == TOPICS_PER_COST - 1 {
            tokio::task::yield_now().await;
        }
    }
    Ok(topics)
}
