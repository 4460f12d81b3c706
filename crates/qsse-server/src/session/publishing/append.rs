//! Appends to the log: the publishes that have gathered, with an answer for each.

use std::time::Duration;

use qsse_log::{
    AppendError, Appended, Appender, Known, NewEvent, Owner, PublishKey, PublisherId, Receipt,
    Sequence,
};
use qsse_proto::publish::Publish;
use qsse_proto::{Code, Epoch, Kind};
use qsse_topic::Topic;

use super::answers::{Answer, Answers};
use crate::publish::PublishError;
use crate::session::Tried;
use crate::shared::Shared;

/// New topics, and lookups among hostile patterns, are so much work that a step ends: the log is
/// locked meanwhile. That is 32 topics, which take a fraction of a millisecond.
const STEP_WORK: u64 = 512;

/// A publish that may be appended.
pub(in crate::session) struct Ready {
    pub(in crate::session) number: u64,
    pub(in crate::session) target: Target,
    pub(in crate::session) publish: Publish,
    pub(in crate::session) key: Option<PublishKey>,
    /// The log and the time of the first attempt, if this is not the first.
    pub(in crate::session) tried: Option<(Epoch, Tried)>,
}

/// The numbers of a numbered stream (QP-8.17).
pub(in crate::session) struct Series {
    pub(in crate::session) key: PublisherId,
    /// The number of the first publish of the stream.
    pub(in crate::session) first: u64,
    /// The last number that was tried before, with the log and the time of that attempt.
    pub(in crate::session) tried: Option<(u64, Epoch, Tried)>,
}

impl Series {
    /// Returns the publisher's number of a publish, from its number on the stream.
    pub(in crate::session) fn number(&self, on_stream: u64) -> Option<u64> {
        // The next publish needs a number too.
        self.first
            .checked_add(on_stream)
            .filter(|number| *number < u64::MAX)
    }
}

pub(in crate::session) enum Target {
    Topic(Topic),
    Topics(Vec<Topic>),
}

impl Ready {
    /// Returns how many events it makes.
    pub(in crate::session) fn events(&self) -> usize {
        match &self.target {
            Target::Topic(_) => 1,
            Target::Topics(topics) => topics.len(),
        }
    }
}

/// Returns how many events these make, and the bytes of their data.
pub(in crate::session) fn used(ready: &[Ready]) -> (usize, usize) {
    let used = ready.iter().map(|ready| {
        let events = ready.events();
        (events, events * ready.publish.data().len())
    });
    used.fold((0, 0), |(events, bytes), one| {
        (events + one.0, bytes + one.1)
    })
}

/// The result of appends.
pub(in crate::session) struct Appends<E> {
    /// The answers, to be given once the events are stored.
    pub(in crate::session) answers: Vec<Answer>,
    /// Resolve when the events are stored.
    pub(in crate::session) stored: Vec<Receipt>,
    /// Why the publishes that are still ready were not appended.
    pub(in crate::session) stopped: Option<Stop<E>>,
    /// Whether it was so much work that others had their turn in between.
    pub(in crate::session) costly: bool,
}

/// Why publishes were not appended.
pub(in crate::session) enum Stop<E> {
    /// The client may no longer publish.
    Client(E),
    /// The log accepts nothing now.
    Log(AppendError),
}

/// For whom new topics count, and the most of them.
type Owned = (Owner, Option<usize>);

/// Appends what is ready, and answers in the same order. If the stream is `ordered`, nothing is
/// appended after a refusal.
///
/// Waits for a store that is behind, and for others after much work. Before each step it asks
/// `check` whether the client may still publish.
pub(in crate::session) async fn append<E>(
    shared: &Shared,
    ready: &mut Vec<Ready>,
    (ordered, series): (bool, Option<&Series>),
    check: impl Fn() -> Result<Owned, E>,
) -> Appends<E> {
    let mut appends = Appends {
        answers: Vec::new(),
        stored: Vec::new(),
        stopped: None,
        costly: false,
    };
    while !ready.is_empty() && appends.stopped.is_none() {
        let appended = match check() {
            Ok(owner) => append_some(shared, ready, (ordered, series), owner, &mut appends),
            Err(error) => {
                appends.stopped = Some(Stop::Client(error));
                break;
            }
        };
        match appended {
            Ok(STEP_WORK..) => {
                appends.costly = true;
                tokio::task::yield_now().await;
            }
            Ok(_) => {}
            Err(AppendError::Busy { .. }) => shared.log.room().await,
            Err(error) => appends.stopped = Some(Stop::Log(error)),
        }
    }
    appends
}

/// Appends some of what is ready: all, unless it is too much work for one step. Returns how much
/// work it was, besides that of each event.
///
/// # Errors
/// The log accepts nothing now. Nothing was appended, and `ready` is unchanged.
fn append_some<E>(
    shared: &Shared,
    ready: &mut Vec<Ready>,
    (ordered, series): (bool, Option<&Series>),
    owner: Owned,
    appends: &mut Appends<E>,
) -> Result<u64, AppendError> {
    let judged = series.is_some() || ready.iter().any(|ready| ready.key.is_some());
    let now = match judged {
        // The age of a retry has to be exact.
        true => shared.clock.now(),
        false => shared.now(),
    };
    let mut appender = shared.log.appender(now);
    appender.ready()?;
    appender.set_owner(owner.0, owner.1);
    let numbers = series.map(|series| Numbers {
        series,
        sequence: appender.sequence(series.key),
    });
    let mut append = Append {
        shared,
        appender,
        now: now.monotonic,
        ordered,
        numbers,
        answers: Answers::default(),
        stored: Vec::new(),
        failed: false,
        repeats_numbers: false,
    };
    let mut taken = 0;
    for ready in &*ready {
        append.take(ready);
        taken += 1;
        // After a refusal in an ordered stream nothing is work any more: it has no further step.
        if append.appender.work() >= STEP_WORK && !append.failed {
            break;
        }
    }
    ready.drain(..taken);
    let work = append.appender.work();
    append.finish(appends);
    Ok(work)
}

/// An append that is under way, with the log locked.
struct Append<'a> {
    shared: &'a Shared,
    appender: Appender<'a>,
    /// The monotonic time.
    now: Duration,
    ordered: bool,
    numbers: Option<Numbers<'a>>,
    answers: Answers,
    stored: Vec<Receipt>,
    /// Whether a publish of an ordered stream was refused.
    failed: bool,
    /// Whether a publish repeats a number.
    repeats_numbers: bool,
}

impl Append<'_> {
    /// Appends a publish unless it is a repetition, and answers it.
    fn take(&mut self, ready: &Ready) {
        let number = ready.number;
        // QP-8.4
        if self.failed {
            return self.answers.refuse(number, Code::FAILED_BEFORE, None);
        }
        let metrics = &self.shared.metrics;
        let bytes = ready.publish.data().len() as u64;
        metrics.received_bytes.add(bytes);
        match self.judge(ready) {
            Known::New => self.push(ready),
            // QP-8.11, QP-8.17
            Known::Taken(range) => {
                metrics.duplicates.add(1);
                self.repeats_numbers |= self.numbers.is_some();
                // The acknowledgement comes no earlier than that of the original.
                let original = range.map(|range| self.appender.receipt_of(range.last));
                self.stored.extend(original);
                self.answers.take(number, range);
            }
            Known::TakenLongAgo => {
                metrics.duplicates.add(1);
                self.repeats_numbers = true;
                self.answers.take_long_ago(number);
            }
            Known::Unknown => {
                self.failed = self.ordered;
                self.answers.refuse(number, Code::OUTCOME_UNKNOWN, None);
            }
        }
    }

    /// Returns whether the publish was taken before.
    fn judge(&self, ready: &Ready) -> Known {
        match &self.numbers {
            Some(numbers) => numbers.judge(self.shared, &self.appender, ready.number, self.now),
            None => known(self.shared, &self.appender, ready, self.now),
        }
    }

    fn push(&mut self, ready: &Ready) {
        let range = match push(&mut self.appender, ready) {
            Ok(range) => range,
            Err(error) => {
                let error = PublishError::from(error);
                let message = Some(error.to_string());
                self.failed = self.ordered;
                return self.answers.refuse(ready.number, error.code(), message);
            }
        };
        self.shared.metrics.published_network.add(count(range));
        if let Some(numbers) = &mut self.numbers {
            numbers.push(ready.number, range);
        }
        if let Some(key) = &ready.key {
            self.appender.remember(key.clone(), range);
        }
        self.answers.take(ready.number, range);
    }

    fn finish<E>(mut self, appends: &mut Appends<E>) {
        if let Some(numbers) = &self.numbers {
            self.appender.conclude(&numbers.sequence);
        }
        self.stored.push(match self.repeats_numbers {
            // The groups of the originals are not all known; this receipt is no earlier than any.
            true => self.appender.receipt_of_all(),
            false => self.appender.receipt(),
        });
        appends.answers.append(&mut self.answers.list);
        appends.stored.append(&mut self.stored);
    }
}

/// The numbers of a publisher in one append.
struct Numbers<'s> {
    series: &'s Series,
    sequence: Sequence,
}

impl Numbers<'_> {
    /// Returns whether the publish of that number on its stream was taken before.
    fn judge(
        &self,
        shared: &Shared,
        appender: &Appender<'_>,
        on_stream: u64,
        now: Duration,
    ) -> Known {
        let number = self.number(on_stream);
        let tried = self.series.tried;
        let tried = tried.filter(|(through, ..)| number <= *through);
        let ago = tried.map(|(_, _, tried)| tried.ago(now));
        let known = appender.judge(&self.sequence, number, ago);
        match (known, tried) {
            // QP-8.18
            (Known::New, Some((_, epoch, _))) if !shared.log.lineage().has(epoch) => Known::Unknown,
            (known, _) => known,
        }
    }

    fn push(&mut self, on_stream: u64, range: Option<Appended>) {
        let number = self.number(on_stream);
        self.sequence.push(number, range);
    }

    fn number(&self, on_stream: u64) -> u64 {
        let number = self.series.number(on_stream);
        number.expect("it was checked when it was read")
    }
}

/// Returns whether a publish was taken before under its key.
fn known(shared: &Shared, appender: &Appender<'_>, ready: &Ready, now: Duration) -> Known {
    let Some(key) = &ready.key else {
        return Known::New;
    };
    let Some((epoch, tried)) = ready.tried else {
        return appender.look_up(key, None);
    };
    let ago = Some(tried.ago(now));
    let known = match &ready.target {
        Target::Topic(_) => appender.look_up(key, ago),
        Target::Topics(_) => appender.look_up_matching(key, ago),
    };
    match known {
        // QP-8.13: only a key that is not known leaves the question open.
        Known::New if !shared.log.lineage().has(epoch) => Known::Unknown,
        known => known,
    }
}

/// Appends one event on each topic of the publish.
///
/// # Errors
/// None was appended.
fn push(appender: &mut Appender<'_>, ready: &Ready) -> Result<Option<Appended>, AppendError> {
    let publish = &ready.publish;
    let kind = Kind::new(publish.kind()).expect("a decoded publish has a valid kind");
    let topics = match &ready.target {
        Target::Topic(topic) => std::slice::from_ref(topic),
        Target::Topics(topics) => topics,
    };
    let event = |topic| NewEvent::new(topic, publish.data()).kind(&kind);
    if let [topic] = topics {
        return appender.push_all(&[event(topic.as_topic_ref())]);
    }
    let events = topics.iter().map(|topic| event(topic.as_topic_ref()));
    appender.push_all(&events.collect::<Vec<_>>())
}

fn count(range: Option<Appended>) -> u64 {
    range.map_or(0, |range| range.last.seq() + 1 - range.first.seq())
}
