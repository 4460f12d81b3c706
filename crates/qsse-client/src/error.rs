//! What can go wrong: one enum per operation, each of which knows whether trying again may help.

mod connect;
mod publish;
mod refresh;
mod subscribe;
mod subscription;

pub use connect::ConnectError;
pub use publish::{PublishError, UnknownOutcome};
pub use refresh::RefreshError;
pub use subscribe::SubscribeError;
pub use subscription::SubscriptionError;

/// An error of the caller's own functions.
pub(crate) type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// ` (text)`, or nothing for an empty text.
pub(crate) fn in_brackets(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}
