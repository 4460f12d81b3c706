//! [`Answers`]: the answers to the publishes of one append.

use qsse_log::Appended;
use qsse_proto::publish::Acknowledged;
use qsse_proto::{Code, Epoch};

/// The answer to one publish, or to several in a row.
pub(in crate::session) enum Answer {
    /// An acknowledgement, with the epoch of the events if there are any.
    Taken(Acknowledged, Option<Epoch>),
    Refused {
        number: u64,
        code: Code,
        /// What to tell; `None` if the code says it all.
        message: Option<String>,
    },
}

/// The answers to the publishes of one append, in their order.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) list: Vec<Answer>,
    /// Whether the last answer acknowledges publishes of one event each, which others may join.
    singles: bool,
}

impl Answers {
    /// Acknowledges a publish. Publishes of one event each, whose seqs follow one another, share an
    /// acknowledgement (QP-8.5).
    pub(super) fn take(&mut self, number: u64, range: Option<Appended>) {
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

    /// Acknowledges a publish whose seqs are no longer known.
    pub(super) fn take_long_ago(&mut self, number: u64) {
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

    pub(super) fn refuse(&mut self, number: u64, code: Code, message: Option<String>) {
        self.list.push(Answer::Refused {
            number,
            code,
            message,
        });
    }
}
