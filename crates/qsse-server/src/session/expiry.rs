//! [`Expiry`]: when the token of a session expires.

use tokio::time::Instant;

use crate::auth::Principal;

/// When a token expires; `None` is never.
#[derive(Clone, Copy)]
pub(crate) struct Expiry(Option<Instant>);

impl Expiry {
    /// Returns that of a principal whose token was accepted now.
    pub(crate) fn of(principal: &Principal) -> Self {
        Self(principal.expires_in().map(|time| Instant::now() + time))
    }

    /// Returns the earlier one, for a token that was checked again: an authenticator may count from
    /// now each time.
    pub(crate) fn or_earlier(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }

    /// Waits for it. In a box, as few tokens expire while their client is connected.
    pub(crate) async fn passed(self) {
        match self.0 {
            Some(at) => Box::pin(tokio::time::sleep_until(at)).await,
            None => std::future::pending().await,
        }
    }
}
