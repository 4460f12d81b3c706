//! [`HandlersError`]: what running handlers report.

use qsse_proto::{Code, Event};

use super::SubscriptionError;

/// An error that running handlers report to
/// [`Handlers::on_error`](crate::Handlers::on_error).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlersError {
    /// The subscription has ended.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
    /// A handler panicked. The other handlers still run, and this one runs again for the next
    /// event.
    #[error("a handler of {} panicked at event {}: {message}", event.topic(), event.id())]
    #[non_exhaustive]
    Panicked {
        /// The event that it was called with.
        event: Event,
        /// The message of the panic.
        message: String,
    },
}

impl HandlersError {
    /// Returns the server's reason, if it gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Subscription(error) => error.code(),
            Self::Panicked { .. } => None,
        }
    }
}
