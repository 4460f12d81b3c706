//! `Acknowledged`: publishes were taken.

use serde::{Deserialize, Serialize};

/// The publishes after the last one answered, up to number `through`, were taken (`QP-8.5`).
///
/// ```text
/// 0x38 | through v | first v | last v |
/// ```
///
/// If that is one publish, its events are `first..=last`, none if `last` is `first - 1`. If it is
/// several, each has one event, with the seqs `first..=last` in their order. If both are 0, they were taken
/// before, and their seqs are not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The number of the last publish that is meant.
    pub through: u64,
    /// The seq of their first event.
    pub first: u64,
    /// The seq of their last event.
    pub last: u64,
}

impl Acknowledged {
    /// Whether the seqs are not known any more.
    pub const fn is_long_ago(&self) -> bool {
        self.first == 0 && self.last == 0
    }

    /// How many events there are; 0 too if that is not known any more.
    pub const fn events(&self) -> u64 {
        if self.is_long_ago() {
            return 0;
        }
        (self.last.saturating_add(1)).saturating_sub(self.first)
    }
}
