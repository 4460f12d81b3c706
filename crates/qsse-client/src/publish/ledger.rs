//! [`Ledger`]: the publishes of a stream that wait for an answer; without I/O.

use std::collections::VecDeque;

use qsse_proto::publish::{Acknowledged, PublishRefused};
use qsse_proto::{Epoch, EventId, Published};
use tokio::sync::oneshot;

use super::progress::PublishProgress;
use crate::error::PublishError;
use crate::text::plain;

/// The publishes of a stream that wait for an answer. They are numbered from 0. Acknowledgements
/// arrive in that order; refusals may arrive early.
#[derive(Debug)]
pub(super) struct Ledger {
    epoch: Epoch,
    /// The front has the number `answered`.
    waiting: VecDeque<Waiting>,
    answered: u64,
    /// Publishes before this number may have reached the server.
    sent: u64,
    pub(super) progress: PublishProgress,
}

#[derive(Debug)]
struct Waiting {
    /// How much it counts towards the limit of bytes in flight.
    cost: u32,
    /// Where the answer goes, if somebody waits for it.
    done: Option<Done>,
    /// Set if a refusal arrived early.
    refused: bool,
}

/// Where the answer to one publish goes.
pub(super) type Done = oneshot::Sender<Result<Published, Failure>>;

/// Why a publish got no acknowledgement.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The connection ended before any of it was sent, so it can be sent over the next one.
    Unsent,
    Error(PublishError),
}

/// Describes an answer that the protocol does not allow.
pub(super) type Violation = &'static str;

impl Ledger {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            waiting: VecDeque::new(),
            answered: 0,
            sent: 0,
            progress: PublishProgress::default(),
        }
    }

    /// Adds the next publish.
    pub(super) fn push(&mut self, cost: u32, done: Option<Done>) {
        self.waiting.push_back(Waiting {
            cost,
            done,
            refused: false,
        });
        self.progress.sent += 1;
    }

    /// Records that publishes before this number are being sent.
    pub(super) fn mark_sent(&mut self, number: u64) {
        self.sent = number;
    }

    /// Returns the number before which publishes may have reached the server.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Returns the number of the next publish.
    pub(super) fn next(&self) -> u64 {
        self.answered + self.waiting.len() as u64
    }

    /// Returns the number of the first publish without an answer.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Returns whether all publishes before this number are answered.
    pub(super) fn is_answered(&self, next: u64) -> bool {
        self.answered >= next
    }

    /// Returns whether the publish of this number was sent and has no answer.
    pub(super) fn is_unanswered(&self, number: u64) -> bool {
        let index = number.checked_sub(self.answered);
        let waiting = index.and_then(|index| self.waiting.get(index as usize));
        number < self.sent && waiting.is_some_and(|waiting| !waiting.refused)
    }

    /// Returns how many publishes have no answer.
    pub(super) fn unanswered(&self) -> u64 {
        self.waiting
            .iter()
            .filter(|waiting| !waiting.refused)
            .count() as u64
    }

    /// Sets the epoch of the acknowledgements that follow (QP-8.16).
    pub(super) fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Processes an acknowledgement, and returns how many bytes it frees.
    pub(super) fn acknowledge(&mut self, ack: Acknowledged) -> Result<usize, Violation> {
        let (through, first, last) = (ack.through, ack.first, ack.last);
        if through < self.answered || through >= self.sent {
            return Err("an acknowledgement of events that were not published");
        }
        let covered = (through - self.answered + 1) as usize;
        let taken = self
            .waiting
            .iter()
            .take(covered)
            .filter(|waiting| !waiting.refused)
            .count();
        if ack.is_long_ago() {
            return Ok(self.acknowledge_long_ago(covered));
        }
        // `first ..= first - 1` stands for no events.
        let events = last.checked_add(1).and_then(|end| end.checked_sub(first));
        let (Some(events), 1..) = (events, taken) else {
            return Err("an acknowledgement that makes no sense");
        };
        if taken > 1 && events != taken as u64 {
            return Err("an acknowledgement of other events than were published");
        }
        let id = |seq| EventId::new(self.epoch, seq);
        let mut freed = 0;
        let mut seq = first;
        for waiting in self.waiting.drain(..covered) {
            freed += waiting.cost as usize;
            if waiting.refused {
                continue;
            }
            let published = match taken {
                1 => Published::new(id(first), events),
                _ => Published::new(id(seq), 1),
            };
            seq += 1;
            self.progress.add(&published);
            if let Some(done) = waiting.done {
                let _ = done.send(Ok(published));
            }
        }
        self.answered += covered as u64;
        Ok(freed + self.drop_refused())
    }

    /// Processes the acknowledgement of publishes whose seqs the server has forgotten. Nobody waits
    /// for one of these alone.
    fn acknowledge_long_ago(&mut self, covered: usize) -> usize {
        let mut freed = 0;
        for waiting in self.waiting.drain(..covered) {
            freed += waiting.cost as usize;
            self.progress.acknowledged += u64::from(!waiting.refused);
        }
        self.answered += covered as u64;
        freed + self.drop_refused()
    }

    /// Processes a refusal, and returns how many bytes it frees.
    ///
    /// A publish that was `tried` before may have been accepted then.
    pub(super) fn refuse(
        &mut self,
        refused: PublishRefused,
        tried: bool,
    ) -> Result<usize, Violation> {
        let index = refused
            .number
            .checked_sub(self.answered)
            .map(|index| index as usize);
        let waiting = match index.and_then(|index| self.waiting.get_mut(index)) {
            Some(waiting) if refused.number < self.sent && !waiting.refused => waiting,
            _ => return Err("a refusal of an event that was not published"),
        };
        waiting.refused = true;
        if tried {
            self.progress.lost += 1;
        } else {
            self.progress.refused += 1;
        }
        if let Some(done) = waiting.done.take() {
            let PublishRefused { code, message, .. } = refused;
            let message = plain(message);
            let _ = done.send(Err(Failure::Error(PublishError::Refused { code, message })));
        }
        Ok(self.drop_refused())
    }

    /// Fails all publishes: with `error` if they may have reached the server, otherwise with
    /// `unsent`.
    pub(super) fn fail(&mut self, error: &PublishError, unsent: &Failure) {
        for waiting in std::mem::take(&mut self.waiting) {
            let number = self.answered;
            self.answered += 1;
            self.progress.lost += u64::from(!waiting.refused);
            if let Some(done) = waiting.done {
                let failure = match number < self.sent {
                    true => Failure::Error(error.clone()),
                    false => unsent.clone(),
                };
                let _ = done.send(Err(failure));
            }
        }
    }

    /// Removes the publishes without an answer. Another stream's ledger counts them.
    pub(super) fn move_unanswered(&mut self) {
        self.progress.sent -= self.waiting.len() as u64;
        self.waiting.clear();
    }

    /// Counts publishes that were moved and could not be sent elsewhere.
    pub(super) fn count_failed(&mut self, count: u64, tried: bool) {
        self.progress.sent += count;
        match tried {
            true => self.progress.lost += count,
            false => self.progress.refused += count,
        }
    }

    /// Drops refused publishes at the front, and returns how many bytes they free.
    fn drop_refused(&mut self) -> usize {
        let mut freed = 0;
        while let Some(waiting) = self.waiting.front().filter(|waiting| waiting.refused) {
            freed += waiting.cost as usize;
            self.waiting.pop_front();
            self.answered += 1;
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use qsse_proto::Code;

    use super::*;

    type Answer = oneshot::Receiver<Result<Published, Failure>>;

    fn ledger(count: usize) -> (Ledger, Vec<Answer>) {
        let mut ledger = Ledger::new(Epoch::new(1));
        let answers = (0..count).map(|_| push(&mut ledger)).collect();
        ledger.mark_sent(ledger.next());
        (ledger, answers)
    }

    fn push(ledger: &mut Ledger) -> Answer {
        let (done, answer) = oneshot::channel();
        ledger.push(10, Some(done));
        answer
    }

    fn ack(through: u64, first: u64, last: u64) -> Acknowledged {
        Acknowledged {
            through,
            first,
            last,
        }
    }

    fn refusal(number: u64) -> PublishRefused {
        PublishRefused {
            number,
            code: Code::NOT_AUTHORISED,
            message: "no".into(),
        }
    }

    fn seq(answer: &mut Answer) -> u64 {
        answer.try_recv().unwrap().unwrap().last().unwrap().seq()
    }

    #[test]
    fn a_cumulative_acknowledgement_gives_each_its_own_id() {
        let (mut ledger, mut answers) = ledger(4);
        assert_eq!(ledger.acknowledge(ack(2, 100, 102)), Ok(30));
        assert_eq!(
            answers[..3].iter_mut().map(seq).collect::<Vec<_>>(),
            [100, 101, 102]
        );
        assert!(answers[3].try_recv().is_err(), "not answered yet");
        assert_eq!(ledger.unanswered(), 1);
        assert_eq!(ledger.acknowledge(ack(3, 200, 204)), Ok(10));
        let published = answers[3].try_recv().unwrap().unwrap();
        assert_eq!(
            (published.count(), published.first().unwrap().seq()),
            (5, 200)
        );
        assert_eq!(ledger.progress.acknowledged, 4);
        assert_eq!(ledger.progress.last.unwrap().seq(), 204);
    }

    #[test]
    fn a_pattern_that_reached_nothing_is_no_failure() {
        let (mut ledger, mut answers) = ledger(1);
        assert_eq!(ledger.acknowledge(ack(0, 8, 7)), Ok(10));
        let published = answers[0].try_recv().unwrap().unwrap();
        assert_eq!(
            (published.count(), published.first(), published.last()),
            (0, None, None)
        );
        assert_eq!(ledger.progress.last, None);
    }

    #[test]
    fn a_refusal_gives_its_room_back_when_its_turn_comes() {
        let (mut ledger, mut answers) = ledger(5);
        assert_eq!(ledger.refuse(refusal(0), false), Ok(10));
        assert_eq!(
            ledger.refuse(refusal(2), false),
            Ok(0),
            "early: its bytes are freed in turn"
        );
        assert_eq!(ledger.unanswered(), 3);
        assert_eq!(ledger.acknowledge(ack(3, 50, 51)), Ok(30));
        assert_eq!([seq(&mut answers[1]), seq(&mut answers[3])], [50, 51]);
        for refused in [0, 2] {
            let failure = answers[refused].try_recv().unwrap().unwrap_err();
            assert!(matches!(
                failure,
                Failure::Error(PublishError::Refused { .. })
            ));
        }
        assert_eq!(ledger.refuse(refusal(4), false), Ok(10));
        assert!(ledger.is_answered(5));
        assert_eq!(
            (ledger.progress.refused, ledger.progress.acknowledged),
            (3, 2)
        );
    }

    #[test]
    fn answers_to_nothing_are_violations() {
        let (mut ledger, _answers) = ledger(3);
        for wrong in [
            ack(3, 1, 4),
            ack(2, 1, 2),
            ack(1, 1, 3),
            ack(0, 5, 3),
            ack(0, 0, u64::MAX),
        ] {
            assert!(ledger.acknowledge(wrong).is_err(), "{wrong:?}");
        }
        assert!(ledger.refuse(refusal(3), false).is_err());
        assert!(ledger.refuse(refusal(u64::MAX), false).is_err());
        ledger.acknowledge(ack(1, 1, 2)).unwrap();
        assert!(ledger.acknowledge(ack(1, 1, 2)).is_err(), "twice");
        assert!(ledger.refuse(refusal(0), false).is_err(), "both ways");
        push(&mut ledger);
        assert!(ledger.acknowledge(ack(3, 3, 4)).is_err(), "not sent yet");
        ledger.refuse(refusal(2), false).unwrap();
        assert!(ledger.refuse(refusal(2), false).is_err(), "twice");
    }

    #[test]
    fn a_loss_tells_what_was_sent_from_what_was_not() {
        let (mut ledger, mut answers) = ledger(2);
        ledger.acknowledge(ack(0, 1, 1)).unwrap();
        let mut unsent = push(&mut ledger);
        ledger.fail(&PublishError::NoStream, &Failure::Unsent);
        let failure = answers[1].try_recv().unwrap().unwrap_err();
        assert!(matches!(failure, Failure::Error(PublishError::NoStream)));
        assert!(matches!(unsent.try_recv().unwrap(), Err(Failure::Unsent)));
        assert_eq!((ledger.progress.lost, ledger.unanswered()), (2, 0));
        assert!(ledger.is_answered(3));
    }
}
