//! [`Reloadable`]: an authenticator that can be replaced.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use qsse_server::{Authenticator, Credentials, Denied, Principal};

/// An authenticator that can be replaced while the server runs. Clones share it: give one to the
/// server and keep another.
///
/// Clients that connect or refresh their token after [`replace`](Self::replace) has returned are
/// judged by the new one. Those that are connected stay as they are until
/// [`Server::recheck_clients`](qsse_server::Server::recheck_clients) is called.
#[derive(Clone)]
pub struct Reloadable(Arc<RwLock<Arc<dyn Authenticator>>>);

impl Reloadable {
    /// Makes it with its first authenticator.
    pub fn new(authenticator: impl Authenticator) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(authenticator))))
    }

    /// Replaces the authenticator. Questions that are open are still answered by the old one.
    pub fn replace(&self, authenticator: impl Authenticator) {
        *self.0.write() = Arc::new(authenticator);
    }
}

#[async_trait]
impl Authenticator for Reloadable {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let current = Arc::clone(&self.0.read());
        current.authenticate(credentials).await
    }
}
