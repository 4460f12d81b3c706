//! [`Outcome`]: the result of `qsse pub`.

use qsse_client::EventId;

use crate::exit::{Status, fail};
use crate::stop::Stopped;

/// The result for the events.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) count: u64,
    pub(super) first: Option<EventId>,
    pub(super) last: Option<EventId>,
    /// Events that were read from the input and are not known to be published.
    pub(super) unacknowledged: u64,
    /// Why it ended early, if it did.
    pub(super) error: Option<anyhow::Error>,
}

/// Returns the error for a stop while something was not acknowledged.
pub(super) fn ended(why: Stopped) -> anyhow::Error {
    let why = match why {
        Stopped::Signal => "interrupted",
        Stopped::Timeout => "time is up",
    };
    fail(
        Status::Unacknowledged,
        format!("{why} before every event was acknowledged"),
    )
}
