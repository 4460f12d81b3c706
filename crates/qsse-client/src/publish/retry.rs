//! Which connection a publish may be retried over.

use std::sync::Arc;

use super::first_attempt::FirstAttempt;
use crate::core::Core;
use crate::error::{PublishError, UnknownOutcome};
use crate::session::Session;

/// Waits for the connection to publish over.
///
/// With a `first` attempt, it waits only as long as that can be retried: `numbered`, by its number,
/// otherwise by its key.
pub(super) async fn connected(
    core: &Arc<Core>,
    first: Option<FirstAttempt>,
    numbered: bool,
) -> Result<Arc<Session>, PublishError> {
    let Some(first) = first else {
        return core.connected().await;
    };
    let too_late = || PublishError::outcome_unknown(UnknownOutcome::TooLate);
    let left = first.time_left(numbered);
    if left.is_zero() {
        return Err(too_late());
    }
    let wait = core.config.publish_wait.min(left);
    // Only the server knows whether its log continues the one of the first attempt.
    match core.connected_within(wait).await {
        Err(PublishError::NotConnected { .. }) if wait == left => Err(too_late()),
        found => found.map_err(PublishError::after_attempt),
    }
}
