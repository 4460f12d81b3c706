//! [`AnyOf`]: several authenticators, of which one has to accept.

use async_trait::async_trait;
use qsse_server::{Authenticator, Credentials, Denied, Principal};

/// Several authenticators, asked in order: the first that accepts decides who the client is. If
/// none does, the reason of the last is the answer. Without any, every client is refused.
///
/// Two of them that give the same name to a principal mean the same principal.
#[derive(Default)]
pub struct AnyOf(Vec<Box<dyn Authenticator>>);

impl AnyOf {
    /// Makes it without any authenticator.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, which is asked after those before it.
    #[must_use]
    pub fn or(mut self, authenticator: impl Authenticator) -> Self {
        self.0.push(Box::new(authenticator));
        self
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[async_trait]
impl Authenticator for AnyOf {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let mut refused = Denied::new("this server accepts nobody");
        for one in &self.0 {
            match one.authenticate(credentials).await {
                Ok(principal) => return Ok(principal),
                Err(denied) => refused = denied,
            }
        }
        Err(refused)
    }
}
