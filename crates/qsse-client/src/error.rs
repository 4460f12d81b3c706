//! Errors and reasons: one enum per operation, each of which knows whether to try again.

mod connect;
mod handlers;
mod publish;
mod reason;
mod refresh;
mod subscribe;
mod subscription;

pub use connect::ConnectError;
pub use handlers::HandlersError;
pub use publish::{PublishError, UnknownOutcome};
pub use reason::{CloseReason, DisconnectReason};
pub use refresh::RefreshError;
pub use subscribe::SubscribeError;
pub use subscription::SubscriptionError;

/// An error of a function that the caller gave.
pub(crate) type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Returns ` (text)`, or nothing for an empty text.
pub(crate) fn in_brackets(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}
