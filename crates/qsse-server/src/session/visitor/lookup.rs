//! What a visitor may read, without subscribing.

use qsse_log::{Log, OnLag, Reader, Start, Step, TopicStats};
use qsse_proto::{Code, Event};
use qsse_topic::{Filter, Topic, TopicRef};
use tokio::task::yield_now;

use super::Visitor;
use super::refused::Refused;
use crate::access::Answer;
use crate::auth::Action;
use crate::info::TopicInfo;
use crate::session::subscribing::{self, full, parse};

/// Bytes to read at a time.
const TURN: usize = 64 << 10;

/// The most topics that are looked at for a client that may not read all.
const LOOKED_AT: usize = 10_000;

/// The most topics of one answer.
const TOPICS: usize = 1_000;

impl Visitor {
    /// Returns the first topics, by name, that match a pattern, have an event or are declared, and
    /// that the client may read; at most `limit`, and at most 1,000. For a client that may not read
    /// all that match, they are among the first 10,000.
    ///
    /// # Errors
    /// The pattern is invalid, or the storage failed.
    pub async fn topics(&self, pattern: &str, limit: usize) -> Result<Vec<TopicInfo>, Refused> {
        self.check_open()?;
        let session = &self.session;
        let pattern = parse(session, pattern)?;
        let all = session.access.allows_all_of(Action::Subscribe, &pattern);
        let all = all.await == Answer::Yes;
        let full = full(session, &pattern)?;
        let log = &session.shared.log;
        let limit = limit.min(TOPICS);
        // What may not be read must not count, or a limit would tell how many there are.
        let most = if all { limit } else { LOOKED_AT };
        let found = log.topic_stats(full.as_pattern_ref(), most);
        let broken = |error| Refused::new(Code::STORE_UNAVAILABLE, format!("{error}"));
        let mut topics = Vec::new();
        for stats in found.map_err(broken)? {
            let TopicStats {
                topic,
                last,
                events,
                ..
            } = stats;
            let inner = session.access.namespace().inner(topic.as_str());
            let Some(inner) = inner.and_then(|inner| TopicRef::new(inner).ok()) else {
                continue;
            };
            if !all && session.access.allows(Action::Subscribe, inner).await != Answer::Yes {
                continue;
            }
            if topics.len() == limit {
                break;
            }
            topics.push(TopicInfo {
                topic: inner.to_topic(),
                last,
                events,
            });
        }
        Ok(topics)
    }

    /// Returns the newest event of a topic that the server still has, if any.
    ///
    /// # Errors
    /// The topic is invalid, may not be read or is not one of the server's, or the storage failed.
    pub async fn last(&self, topic: &str) -> Result<Option<Event>, Refused> {
        self.check_open()?;
        let session = &self.session;
        let topic = match Topic::new(topic) {
            Ok(topic) => topic,
            Err(error) => {
                let message = format!("{topic:?} is not a topic: {error}");
                return Err(Refused::new(Code::INVALID_TOPIC, message));
            }
        };
        let pattern = parse(session, topic.as_str())?;
        subscribing::check(session, &pattern, false).await?;
        let filter = Filter::from(full(session, &pattern)?);
        let log = &session.shared.log;
        let reader = log.open_in_turns(&filter, Start::Last(1), OnLag::CatchUp, yield_now);
        let busy = |error| Refused::new(Code::BUSY, format!("{error}"));
        let event = newest(log, &mut reader.await.map_err(busy)?).await?;
        let prefix = session.access.namespace().bytes();
        Ok(event.map(|event| match prefix {
            0 => event,
            _ => Event::new(
                event.id(),
                topic,
                event.kind().clone(),
                event.time(),
                event.data().clone(),
            ),
        }))
    }
}

/// Returns the last event that a reader finds without waiting for a newer one.
async fn newest(log: &Log, reader: &mut Reader) -> Result<Option<Event>, Refused> {
    let mut batches = Vec::new();
    loop {
        match reader.step(TURN, &mut batches) {
            Step::Batches => {
                let last = batches.pop().and_then(|batch| {
                    let epoch = log.lineage().epoch_of(batch.first_seq());
                    batch.events(epoch).last()
                });
                return Ok(last.and_then(Result::ok));
            }
            Step::Idle(_) => return Ok(None),
            Step::Stored => {
                let found = reader.find(TURN).await;
                reader.take_up(found);
            }
            Step::Gap(_) => {}
            Step::Looking => yield_now().await,
            Step::Unreadable { reason } => return Err(Refused::new(Code::BUSY, reason)),
            Step::Lagged => {
                let message = "the topic changes too fast: try again";
                return Err(Refused::new(Code::BUSY, message));
            }
        }
    }
}
