//! What a visitor publishes.

use bytes::Bytes;
use qsse_log::{PublishKey, Receipt};
use qsse_proto::publish::{Acknowledged, Key, KeyScope, Publish, PublisherId};
use qsse_proto::text::is_reserved_kind;
use qsse_proto::{Code, Epoch, EventId, Kind, Published};

use super::Visitor;
use super::refused::Refused;
use crate::audit::AuditEvent;
use crate::dedup_scope::{self, Identity};
use crate::publish::PublishError;
use crate::session::publishing::answers::Answer;
use crate::session::publishing::append::{self, Ready, Stop, used};
use crate::session::publishing::permission::{Refusal, target};

/// The most publishes that are appended in one step.
const STEP: usize = 256;

/// An event that a visitor wants to publish.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewPublish {
    /// A topic, or a pattern that stands for every topic that it matches.
    pub name: String,
    /// Whether the name is a pattern.
    pub matching: bool,
    /// The kind. Those that browsers would take for something else are refused.
    pub kind: Kind,
    /// The key, which makes it safe to publish again after a failure. Clients of one principal
    /// share their keys; for those that are not identified, keys are those of their address.
    pub key: Option<Key>,
    /// The data.
    pub data: Bytes,
}

impl NewPublish {
    /// Creates an event on a topic.
    pub fn new(topic: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self {
            name: topic.into(),
            matching: false,
            kind: Kind::MESSAGE,
            key: None,
            data: data.into(),
        }
    }

    /// Makes the name a pattern: one event on every topic that it matches.
    #[must_use]
    pub fn matching(mut self) -> Self {
        self.matching = true;
        self
    }

    /// Sets the kind.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }
}

impl Visitor {
    /// Publishes an event. Returns its id once it is as safe as the server's setting says.
    ///
    /// Dropped later than at once, the event may be published all the same; a key makes it safe to
    /// try again.
    ///
    /// # Errors
    /// It was refused, and nothing was published, unless the code is
    /// [`STORE_UNAVAILABLE`](Code::STORE_UNAVAILABLE): then that is unknown.
    pub async fn publish(&self, publish: NewPublish) -> Result<EventId, Refused> {
        let published = self.publish_counted(publish).await?;
        let none = || Refused::new(Code::NO_ERROR, PublishError::NoId.to_string());
        published.last().ok_or_else(none)
    }

    /// Publishes an event, or one on each topic of a pattern. Returns their ids once they are as
    /// safe as the server's setting says.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub async fn publish_counted(&self, publish: NewPublish) -> Result<Published, Refused> {
        let mut answers = self.publish_all(vec![publish]).await;
        answers.pop().expect("there is an answer to each")
    }

    /// Checks whether the client may publish on a topic, or on all that a pattern matches, before its
    /// data is read. It may be taken back until the data is there.
    ///
    /// # Errors
    /// Why it may not.
    pub async fn check_publish(&self, name: &str, matching: bool) -> Result<(), Refused> {
        let checked = match self.check_open() {
            Ok(()) => target(&self.session, matching, name, 0).await,
            Err(refused) => Err(Refusal::free(refused.code, refused.message)),
        };
        match checked {
            Ok(_) => Ok(()),
            Err(refusal) => Err(self.refuse(refusal).await),
        }
    }

    /// Publishes several events, in their order. Returns an answer for each, once they are as safe
    /// as the server's setting says. A refused one does not stop those after it.
    ///
    /// Publishes wait while the store is behind, and a client that is over its rate waits too.
    pub async fn publish_all(&self, publishes: Vec<NewPublish>) -> Vec<Result<Published, Refused>> {
        let mut answers = Vec::with_capacity(publishes.len());
        let mut step = Step::default();
        for publish in publishes {
            self.foreign.count_received(publish.data.len());
            match self.check(&publish).await {
                Ok(target) => {
                    let key = publish.key.as_ref().map(|key| self.key(key));
                    let NewPublish {
                        name,
                        matching,
                        kind,
                        data,
                        ..
                    } = publish;
                    step.places.push(answers.len());
                    step.ready.push(Ready {
                        number: step.ready.len() as u64,
                        target,
                        publish: Publish::new(matching, &name, &kind, data),
                        key,
                        tried: None,
                    });
                    answers.push(Err(Refused::new(Code::UNKNOWN, "it was not answered")));
                }
                Err(refusal) => {
                    self.append(&mut step, &mut answers).await;
                    answers.push(Err(self.refuse(refusal).await));
                }
            }
            if step.ready.len() >= STEP {
                self.append(&mut step, &mut answers).await;
            }
        }
        self.append(&mut step, &mut answers).await;
        answers
    }

    async fn check(&self, publish: &NewPublish) -> Result<append::Target, Refusal> {
        let session = &self.session;
        let free = |refused: Refused| Refusal::free(refused.code, refused.message);
        self.check_open().map_err(free)?;
        let kind = publish.kind.as_str();
        if is_reserved_kind(kind) {
            let message = format!(
                "{kind} cannot be a kind here, as browsers would take it for something else: choose another"
            );
            return Err(Refusal::free(Code::UNSUPPORTED, message));
        }
        let (bytes, limit) = (
            publish.data.len(),
            session.shared.config.log.max_event_bytes,
        );
        if bytes > limit {
            let error = PublishError::TooLarge { bytes, limit };
            return Err(Refusal::free(error.code(), error.to_string()));
        }
        target(session, publish.matching, &publish.name, bytes).await
    }

    /// Counts a publish that the binding itself refuses, because it cannot be read. A client that
    /// sends many waits, as for all that are refused.
    pub async fn refuse_publish(&self, code: Code, message: impl Into<String>) -> Refused {
        let refusal = Refusal {
            cost: 1,
            ..Refusal::free(code, message)
        };
        self.refuse(refusal).await
    }

    /// Counts a refusal. A client whose publishes are refused too often waits for its answer.
    async fn refuse(&self, refusal: Refusal) -> Refused {
        let session = &self.session;
        let (code, message) = (refusal.code, refusal.message);
        session.shared.metrics.refuse("publish", code);
        session.audit(AuditEvent::Publish, None, Err((code, &message)));
        if refusal.cost > 0 {
            let ready = session.refusals.lock().spend(refusal.cost.into());
            match ready {
                Some(ready) => {
                    session.shared.metrics.paced.refusals.add(1);
                    tokio::time::sleep_until(ready).await;
                }
                // Others come first: a refusal is more work than an event.
                None => tokio::task::yield_now().await,
            }
        }
        Refused::new(code, message)
    }

    /// Returns the key within its scope.
    fn key(&self, key: &Key) -> PublishKey {
        let access = &self.session.access;
        let principal = access.principal();
        let name = match principal.identity() {
            // Of one address: HTTP has no connections that outlast a failure.
            Identity::Anonymous => format!("http {}", self.session.peer.address().ip()),
            _ => String::new(),
        };
        let id = PublisherId::new([0; 16]);
        let scope = KeyScope::Named { id, name };
        let prefix = access.namespace().prefix();
        let scope = dedup_scope::of_stream(principal.identity(), prefix, &scope);
        PublishKey::new(scope, Bytes::copy_from_slice(key.as_bytes()))
    }

    /// Appends what is ready, and answers once it is stored.
    async fn append(&self, step: &mut Step, answers: &mut [Result<Published, Refused>]) {
        if step.ready.is_empty() {
            return;
        }
        let places = std::mem::take(&mut step.places);
        let session = &self.session;
        let shared = &session.shared;
        let paced = session.member.paces();
        let used = if paced { used(&step.ready) } else { (0, 0) };
        // It may have waited since the topics were authorised.
        let check = || self.check_open().map(|()| session.access.owner());
        let appends = append::append(shared, &mut step.ready, (false, None), check).await;
        let rest = places.len() - step.ready.len();
        step.ready.clear();
        let unavailable = |reason| Refused::new(Code::STORE_UNAVAILABLE, reason);
        match all_stored(appends.stored).await {
            Ok(()) => give(&appends.answers, &places, answers),
            Err(reason) => fail(&places[..rest], answers, &unavailable(reason)),
        }
        match appends.stopped {
            None => {}
            Some(Stop::Client(refused)) => fail(&places[rest..], answers, &refused),
            Some(Stop::Log(error)) => {
                fail(&places[rest..], answers, &unavailable(error.to_string()));
            }
        }
        if paced && let Some(next) = session.member.publish(used.0, used.1) {
            shared.metrics.paced.publishes.add(1);
            tokio::time::sleep_until(next).await;
        }
    }
}

/// Publishes that are appended together.
#[derive(Default)]
struct Step {
    ready: Vec<Ready>,
    /// Where their answers belong.
    places: Vec<usize>,
}

async fn all_stored(receipts: Vec<Receipt>) -> Result<(), String> {
    for receipt in receipts {
        receipt.stored().await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Gives all of a step the same answer.
fn fail(places: &[usize], answers: &mut [Result<Published, Refused>], refused: &Refused) {
    for place in places {
        answers[*place] = Err(refused.clone());
    }
}

/// Gives each of a step its answer.
fn give(given: &[Answer], places: &[usize], answers: &mut [Result<Published, Refused>]) {
    let mut next = 0;
    for answer in given {
        match answer {
            Answer::Taken(ack, epoch) => {
                let count = ack.through - next + 1;
                for nth in 0..count {
                    let place = places[(next + nth) as usize];
                    answers[place] = Ok(published(ack, *epoch, count, nth));
                }
                next = ack.through + 1;
            }
            Answer::Refused {
                number,
                code,
                message,
            } => {
                let unknown = "the server no longer knows whether this was published before";
                let message = message.clone().unwrap_or_else(|| unknown.into());
                answers[places[*number as usize]] = Err(Refused::new(*code, message));
                next = number + 1;
            }
        }
    }
}

/// Returns the events of one of `count` publishes that share an acknowledgement.
fn published(ack: &Acknowledged, epoch: Option<Epoch>, count: u64, nth: u64) -> Published {
    let Some(epoch) = epoch else {
        return Published::default();
    };
    match count {
        1 => Published::new(EventId::new(epoch, ack.first), ack.events()),
        // Only publishes of one event each share one.
        _ => Published::new(EventId::new(epoch, ack.first + nth), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch::new(1);

    fn given(through: u64, first: u64, last: u64) -> Answer {
        let epoch = (last > 0).then_some(EPOCH);
        let ack = Acknowledged {
            through,
            first,
            last,
        };
        Answer::Taken(ack, epoch)
    }

    #[test]
    fn each_publish_gets_the_ids_of_its_own_events() {
        let refused = Answer::Refused {
            number: 3,
            code: Code::BUSY,
            message: Some("later".into()),
        };
        let all = [
            given(1, 10, 11),
            given(2, 12, 14),
            refused,
            given(4, 1, 0),
            given(5, 0, 0),
            given(6, 15, 15),
        ];
        let places = [0, 1, 3, 4, 5, 6, 7];
        let mut answers = vec![Err(Refused::new(Code::UNKNOWN, "")); 8];
        give(&all, &places, &mut answers);
        let id = |seq| EventId::new(EPOCH, seq);
        let ok = |first, count| Ok(Published::new(id(first), count));
        assert_eq!(answers[0], ok(10, 1));
        assert_eq!(answers[1], ok(11, 1));
        assert_eq!(
            answers[2],
            Err(Refused::new(Code::UNKNOWN, "")),
            "not of this step"
        );
        assert_eq!(answers[3], ok(12, 3));
        assert_eq!(answers[4], Err(Refused::new(Code::BUSY, "later")));
        assert_eq!(answers[5], Ok(Published::default()));
        assert_eq!(
            answers[6],
            Ok(Published::default()),
            "its ids are no longer known"
        );
        assert_eq!(answers[7], ok(15, 1));
    }
}
