//! [`Lineage`]: the epochs of a log.

use qsse_proto::batch::Batch;
use qsse_proto::{Epoch, EventId};

/// The epochs of a log, each with its range of seqs. Each start of a server begins an epoch.
///
/// ```text
/// seqs    1 ........ 40 | 41 ........... 90 | 91 .........
/// epochs       E1       |        E2         |  E3, current
/// ```
///
/// Seqs continue from epoch to epoch, so within one lineage the seqs alone give the order. The
/// epoch distinguishes events that have the same seq in two copies of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The epochs before the current one, in order, each with its first seq. Two have the same
    /// first seq if the earlier one has no events.
    earlier: Vec<(Epoch, u64)>,
    current: Epoch,
    /// The first seq of the current epoch.
    first: u64,
}

/// The range of seqs of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first seq.
    pub first: u64,
    /// Its last seq; `u64::MAX` for the current epoch.
    pub last: u64,
}

impl Span {
    /// Returns whether the seq is in the range.
    pub fn holds(&self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }
}

impl Lineage {
    /// Creates the lineage of a log with one epoch, which has all seqs.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            earlier: Vec::new(),
            current: epoch,
            first: 1,
        }
    }

    /// Begins another epoch with the seqs from `first` on. It is the current one then.
    #[must_use]
    pub fn then(mut self, epoch: Epoch, first: u64) -> Self {
        self.earlier.push((self.current, self.first));
        (self.current, self.first) = (epoch, first.max(self.first));
        self
    }

    /// Returns the current epoch, which appended events get.
    pub fn current(&self) -> Epoch {
        self.current
    }

    /// Returns the epoch of the event with this seq, or of the last event before it.
    pub fn epoch_of(&self, seq: u64) -> Epoch {
        self.span_of(seq).epoch
    }

    /// Returns the id of the event with this seq.
    pub fn id(&self, seq: u64) -> EventId {
        EventId::new(self.epoch_of(seq), seq)
    }

    /// Returns the epoch and the range that a seq belongs to. Seqs before the first epoch belong to
    /// it.
    pub fn span_of(&self, seq: u64) -> Span {
        if seq >= self.first || self.earlier.is_empty() {
            let first = if self.earlier.is_empty() {
                0
            } else {
                self.first
            };
            return Span {
                epoch: self.current,
                first,
                last: u64::MAX,
            };
        }
        let behind = self.earlier.partition_point(|(_, first)| *first <= seq);
        let at = behind.saturating_sub(1);
        let (epoch, first) = self.earlier[at];
        Span {
            epoch,
            first: if at == 0 { 0 } else { first },
            last: self.end_of(at),
        }
    }

    /// Returns whether the epoch belongs to this log.
    pub fn has(&self, epoch: Epoch) -> bool {
        epoch == self.current || self.earlier.iter().any(|(known, _)| *known == epoch)
    }

    /// Returns whether the log knows this position if it ends with the seq `head`: the epoch
    /// belongs to the log and does not end earlier (`QP-7.7`).
    pub fn knows(&self, id: EventId, head: u64) -> bool {
        let end = if id.epoch() == self.current {
            head
        } else {
            let at = self
                .earlier
                .iter()
                .position(|(epoch, _)| *epoch == id.epoch());
            match at {
                Some(at) => self.end_of(at),
                None => return false,
            }
        };
        id.seq() <= end
    }

    /// Splits a batch into pieces of one epoch each.
    pub(crate) fn split(&self, batch: Batch) -> impl Iterator<Item = Batch> {
        let mut rest = Some(batch);
        std::iter::from_fn(move || {
            let batch = rest.take()?;
            let last = self.span_of(batch.first_seq()).last;
            if batch.last_seq() <= last {
                return Some(batch);
            }
            rest = batch.after(last);
            batch.filter(|event| event.seq() <= last)
        })
    }

    /// Returns the last seq of an earlier epoch.
    fn end_of(&self, at: usize) -> u64 {
        let next = self.earlier.get(at + 1);
        next.map_or(self.first, |(_, first)| *first) - 1
    }
}

#[cfg(test)]
mod tests {
    use qsse_proto::Timestamp;
    use qsse_proto::batch::Builder;

    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch::new(number)
    }

    /// 1 to 40 belong to epoch 1, none to 2, 41 to 90 to 3, and the others to 4.
    fn lineage() -> Lineage {
        let one = Lineage::new(epoch(1)).then(epoch(2), 41);
        one.then(epoch(3), 41).then(epoch(4), 91)
    }

    #[test]
    fn each_seq_is_of_one_epoch() {
        let lineage = lineage();
        let spans = [
            (0, 1, 0, 40),
            (40, 1, 0, 40),
            (41, 3, 41, 90),
            (90, 3, 41, 90),
        ];
        for (seq, number, first, last) in spans {
            let span = Span {
                epoch: epoch(number),
                first,
                last,
            };
            assert_eq!(lineage.span_of(seq), span, "{seq}");
            assert!(span.holds(seq));
        }
        assert_eq!(lineage.epoch_of(91), epoch(4));
        assert!(lineage.span_of(91).holds(u64::MAX) && !lineage.span_of(91).holds(90));
        assert_eq!(Lineage::new(epoch(1)).epoch_of(0), epoch(1));
    }

    // QP-7.7
    #[test]
    fn a_position_is_known_up_to_the_end_of_its_epoch() {
        let lineage = lineage();
        let knows = |number, seq| lineage.knows(EventId::new(epoch(number), seq), 95);
        assert!(knows(1, 0) && knows(1, 40) && !knows(1, 41));
        assert!(knows(2, 40) && !knows(2, 41), "an epoch without events");
        assert!(knows(3, 90) && !knows(3, 91));
        assert!(knows(4, 95) && !knows(4, 96), "beyond the end of the log");
        assert!(!knows(5, 1));
        assert!(lineage.has(epoch(2)) && !lineage.has(epoch(5)));
    }

    // QP-7.9
    #[test]
    fn a_batch_is_cut_where_an_epoch_begins() {
        let mut builder = Builder::new();
        for seq in [39, 40, 41, 90, 91, 92] {
            builder.push(seq, Timestamp::default(), "a", "message", b"");
        }
        let pieces: Vec<_> = lineage().split(builder.finish()).collect();
        let seqs = pieces
            .iter()
            .map(|batch| batch.iter().map(|event| event.seq()).collect());
        let seqs: Vec<Vec<_>> = seqs.collect();
        assert_eq!(seqs, [vec![39, 40], vec![41, 90], vec![91, 92]]);
    }
}
