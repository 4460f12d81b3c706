//! One turn of the sequencer: what has gathered is appended in a row, and each publish gets its answer.

use std::time::Duration;

use qsse_log::{
    AppendError, Appended, Appender, Known, NewEvent, PublishKey, PublisherId, Receipt, Sequence,
};
use qsse_proto::publish::{Acknowledged, Publish};
use qsse_proto::{Code, Epoch, EventId, Kind};
use qsse_topic::Topic;

use crate::session::Tried;
use crate::shared::Shared;

/// A publish that may be appended.
pub(super) struct Ready {
    pub(super) number: u64,
    pub(super) target: Target,
    pub(super) publish: Publish,
    pub(super) key: Option<PublishKey>,
    /// For which log and when it was first tried, if this is not the first attempt.
    pub(super) tried: Option<(Epoch, Tried)>,
}

/// The numbers of a publisher (QP-8.17).
pub(super) struct Series {
    pub(super) key: PublisherId,
    /// The number of the first publish of the stream.
    pub(super) first: u64,
    /// Through which number it was tried before, for which log, and when.
    pub(super) tried: Option<(u64, Epoch, Tried)>,
}

impl Series {
    /// The publisher's number of a publish that has this one on its stream.
    pub(super) fn number(&self, on_stream: u64) -> Option<u64> {
        // There is one above, for what comes next.
        self.first
            .checked_add(on_stream)
            .filter(|number| *number < u64::MAX)
    }
}

pub(super) enum Target {
    Topic(Topic),
    Topics(Vec<Topic>),
}

impl Ready {
    /// How many events it makes.
    pub(super) fn events(&self) -> usize {
        match &self.target {
            Target::Topic(_) => 1,
            Target::Topics(topics) => topics.len(),
        }
    }
}

/// What a publish is answered, or several in a row.
pub(super) enum Answer {
    /// With the epoch of the events, if there are any.
    Taken(Acknowledged, Option<Epoch>),
    Refused {
        number: u64,
        code: Code,
    },
}

/// What a turn came to.
pub(super) struct Turn {
    /// The answers, to be given once the events are kept.
    pub(super) answers: Vec<Answer>,
    /// Resolves when they are.
    pub(super) kept: Vec<Receipt>,
}

/// Appends what is ready, and answers in the same order. With `ordered` nothing is appended behind a refusal.
///
/// # Errors
/// The log takes nothing now; nothing of it was appended, and `ready` is as it was.
pub(super) fn append(
    shared: &Shared,
    ready: &mut Vec<Ready>,
    ordered: bool,
    series: Option<&Series>,
) -> Result<Turn, AppendError> {
    let mut answers = Answers::default();
    let mut failed = false;
    let mut kept = Vec::new();
    let judged = series.is_some() || ready.iter().any(|ready| ready.key.is_some());
    let now = match judged {
        // How old a retry is has to be said exactly.
        true => shared.clock.now(),
        false => shared.now(),
    };
    let mut appender = shared.log.appender(now);
    appender.ready()?;
    let mut numbers = series.map(|series| Numbers {
        series,
        sequence: appender.sequence(series.key),
    });
    let mut again = false;
    for ready in ready.drain(..) {
        let number = ready.number;
        // QP-8.4
        if failed {
            answers.refuse(number, Code::FAILED_BEFORE);
            continue;
        }
        let metrics = &shared.metrics;
        metrics
            .received_bytes
            .add(ready.publish.data().len() as u64);
        let known = match &numbers {
            Some(numbers) => numbers.judge(shared, &appender, number, now.monotonic),
            None => known(shared, &appender, &ready, now.monotonic),
        };
        match known {
            Known::New => {
                let range = push(&mut appender, &ready);
                metrics.published_network.add(count(range));
                if let Some(numbers) = &mut numbers {
                    numbers.push(number, range);
                }
                if let Some(key) = ready.key {
                    appender.remember(key, range);
                }
                answers.take(number, range);
            }
            // QP-8.11, QP-8.17
            Known::Taken(range) => {
                metrics.duplicates.add(1);
                again |= numbers.is_some();
                // No earlier than the original.
                kept.extend(range.map(|range| appender.receipt_of(range.last)));
                answers.take(number, range);
            }
            Known::TakenLongAgo => {
                metrics.duplicates.add(1);
                again = true;
                answers.take_long_ago(number);
            }
            Known::Unknown => {
                failed = ordered;
                answers.refuse(number, Code::OUTCOME_UNKNOWN);
            }
        }
    }
    if let Some(numbers) = &numbers {
        appender.conclude(&numbers.sequence);
    }
    kept.push(match again {
        // Which group has the originals is not known for all of them; this one is no earlier.
        true => appender.receipt_of_all(),
        false => appender.receipt(),
    });
    let answers = answers.list;
    Ok(Turn { answers, kept })
}

/// The numbers of a publisher in one turn.
struct Numbers<'s> {
    series: &'s Series,
    sequence: Sequence,
}

impl Numbers<'_> {
    /// Whether the publish of that number on its stream was taken before.
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

/// Whether it was taken before.
fn known(shared: &Shared, appender: &Appender<'_>, ready: &Ready, now: Duration) -> Known {
    let Some(key) = &ready.key else {
        return Known::New;
    };
    match ready.tried {
        // QP-8.13
        Some((epoch, _)) if !shared.log.lineage().has(epoch) => Known::Unknown,
        Some((_, tried)) => {
            let ago = Some(tried.ago(now));
            match &ready.target {
                Target::Topic(_) => appender.look_up(key, ago),
                Target::Topics(_) => appender.look_up_matching(key, ago),
            }
        }
        None => appender.look_up(key, None),
    }
}

/// One event on each topic.
fn push(appender: &mut Appender<'_>, ready: &Ready) -> Option<Appended> {
    let publish = &ready.publish;
    match &ready.target {
        Target::Topic(topic) => {
            let id = push_one(appender, topic, publish);
            let (first, last) = (id, id);
            Some(Appended { first, last })
        }
        Target::Topics(topics) => {
            let mut ids = topics
                .iter()
                .map(|topic| push_one(appender, topic, publish));
            let first = ids.next()?;
            let last = ids.last().unwrap_or(first);
            Some(Appended { first, last })
        }
    }
}

fn push_one(appender: &mut Appender<'_>, topic: &Topic, publish: &Publish) -> EventId {
    let kind = Kind::new(publish.kind()).expect("a decoded publish has a valid kind");
    let event = NewEvent::new(topic.as_topic_ref(), publish.data()).kind(&kind);
    appender.push(event).expect("its length was checked")
}

fn count(range: Option<Appended>) -> u64 {
    range.map_or(0, |range| range.last.seq() + 1 - range.first.seq())
}

#[derive(Default)]
struct Answers {
    list: Vec<Answer>,
    /// The last one acknowledges publishes of one event each, so that others may join them.
    singles: bool,
}

impl Answers {
    /// Publishes of one event each, whose seqs follow one another, share an acknowledgement (QP-8.5).
    fn take(&mut self, number: u64, range: Option<Appended>) {
        let (first, last) = match range {
            Some(range) => (range.first.seq(), range.last.seq()),
            None => (1, 0),
        };
        let epoch = range.map(|range| range.first.epoch());
        let single = first == last;
        match self.list.last_mut() {
            Some(Answer::Taken(ack, of))
                if self.singles && single && first == ack.last + 1 && *of == epoch =>
            {
                (ack.through, ack.last) = (number, last);
            }
            _ => {
                let ack = Acknowledged {
                    through: number,
                    first,
                    last,
                };
                self.list.push(Answer::Taken(ack, epoch));
            }
        }
        self.singles = single;
    }

    /// As [`take`](Self::take), for one whose seqs are not known any more.
    fn take_long_ago(&mut self, number: u64) {
        self.singles = false;
        match self.list.last_mut() {
            Some(Answer::Taken(ack, _)) if ack.is_long_ago() => ack.through = number,
            _ => {
                let ack = Acknowledged {
                    through: number,
                    first: 0,
                    last: 0,
                };
                self.list.push(Answer::Taken(ack, None));
            }
        }
    }

    fn refuse(&mut self, number: u64, code: Code) {
        self.list.push(Answer::Refused { number, code });
    }
}
