//! `Acknowledged`: publishes were accepted.

use serde::{Deserialize, Serialize};

/// The publishes after the last answered one, up to number `through`, were accepted (`QP-8.5`).
///
/// ```text
/// 0x38 | through v | first v | last v |
/// ```
///
/// A single publish has the events `first..=last`; there are none if `last` is `first - 1`. Of
/// several publishes, each has one event, with the seqs `first..=last` in their order. If both are
/// 0, the publishes were accepted earlier and their seqs are no longer known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The number of the last publish that is acknowledged.
    pub through: u64,
    /// The seq of the first event.
    pub first: u64,
    /// The seq of the last event.
    pub last: u64,
}

impl Acknowledged {
    /// Returns whether the seqs are no longer known.
    pub const fn is_long_ago(&self) -> bool {
        self.first == 0 && self.last == 0
    }

    /// Returns the number of events; also 0 if it is no longer known.
    pub const fn events(&self) -> u64 {
        if self.is_long_ago() {
            return 0;
        }
        (self.last.saturating_add(1)).saturating_sub(self.first)
    }
}
