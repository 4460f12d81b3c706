//! [`Sequence`]: the numbers that have been received.

use std::collections::BTreeMap;

/// The numbers of one source that one subscriber has received.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    /// The next number in order.
    next: u64,
    /// The ranges that were skipped: the first number, and the one after the last.
    holes: BTreeMap<u64, u64>,
}

impl Sequence {
    /// Creates a sequence that begins with this number.
    pub(super) fn from(first: u64) -> Self {
        Self {
            next: first,
            holes: BTreeMap::new(),
        }
    }

    /// Records a number, and returns whether it is new. The order does not matter, because
    /// concurrent publishes have none.
    pub(super) fn see(&mut self, number: u64) -> bool {
        if number >= self.next {
            if number > self.next {
                self.holes.insert(self.next, number);
            }
            self.next = number + 1;
            return true;
        }
        let hole = self.holes.range(..=number).next_back();
        let Some((&from, &to)) = hole.filter(|(_, to)| number < **to) else {
            return false;
        };
        self.holes.remove(&from);
        if from < number {
            self.holes.insert(from, number);
        }
        if number + 1 < to {
            self.holes.insert(number + 1, to);
        }
        true
    }

    /// Returns the missing ranges below `end`, or below the last received number if `end` is not
    /// known.
    pub(super) fn missing(&self, end: Option<u64>) -> impl Iterator<Item = (u64, u64)> {
        let end = end.unwrap_or(0);
        let rest = (self.next < end).then_some((self.next, end));
        self.holes.iter().map(|(from, to)| (*from, *to)).chain(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(sequence: &Sequence, end: Option<u64>) -> Vec<(u64, u64)> {
        sequence.missing(end).collect()
    }

    #[test]
    fn holes_are_remembered_until_they_are_filled() {
        let mut sequence = Sequence::from(0);
        assert!(sequence.see(0));
        assert!(sequence.see(5));
        assert_eq!(missing(&sequence, None), [(1, 5)]);
        assert!(sequence.see(3));
        assert_eq!(missing(&sequence, Some(8)), [(1, 3), (4, 5), (6, 8)]);
        for number in [0, 3, 5] {
            assert!(!sequence.see(number), "{number}");
        }
        for number in [1, 2, 4] {
            assert!(sequence.see(number), "{number}");
        }
        assert_eq!(missing(&sequence, Some(6)), []);
    }

    #[test]
    fn who_came_later_misses_nothing_from_before() {
        let mut sequence = Sequence::from(100);
        assert!(sequence.see(100));
        assert_eq!(missing(&sequence, None), []);
    }
}
