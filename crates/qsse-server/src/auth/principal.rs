//! [`Principal`]: who a client is.

use std::net::SocketAddr;
use std::time::Duration;

use qsse_proto::limits::FOREVER;
use qsse_topic::{Topic, TopicRef};
use sha2::{Digest, Sha256};

use crate::auth::grants::Grants;
use crate::auth::limits::PrincipalLimits;
use crate::dedup_scope::{self, Identity};

/// Who a client is, as the authenticator decided.
///
/// Keys of publishes belong to a principal. Clients that are the same principal share them, so that
/// a publish under a key that one of them used counts as a repetition. Principals are the same if
/// they were made by [`new`](Self::new) with the same name, or by [`of_token`](Self::of_token) with
/// the same token.
#[derive(Clone)]
pub struct Principal {
    name: String,
    identity: Identity,
    token: Option<String>,
    token_id: Option<Box<str>>,
    address: Option<SocketAddr>,
    valid_for: Option<Duration>,
    grants: Option<Grants>,
    limits: PrincipalLimits,
    namespace: Option<Topic>,
}

impl Principal {
    /// Makes a principal with this name, which must be unique to it and stay the same when its
    /// token changes. The name appears in logs: it must not be a secret.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self::of(Identity::Name(name.clone()), name)
    }

    /// Makes a principal that is recognised by its token alone: another token is another principal,
    /// even if the name is the same. Only a hash of the token is kept for this. The name appears in
    /// logs: it must not be a secret. Its token id is [`token_id_of`](Self::token_id_of) the token.
    pub fn of_token(name: impl Into<String>, token: &str) -> Self {
        let identity = Identity::Token(dedup_scope::of_token(token));
        Self::of(identity, name.into()).with_token_id(Self::token_id_of(token))
    }

    /// Makes a principal for a client that is not identified. The keys of such a client belong to
    /// the publisher name that it has set, or else to that client alone.
    pub fn anonymous() -> Self {
        Self::of(Identity::Anonymous, "anonymous".into())
    }

    fn of(identity: Identity, name: String) -> Self {
        Self {
            name,
            identity,
            token: None,
            token_id: None,
            address: None,
            valid_for: None,
            grants: None,
            limits: PrincipalLimits::default(),
            namespace: None,
        }
    }

    /// Returns an id for a token that has none: the first 16 hexadecimal digits of its SHA-256.
    ///
    /// It names the token in logs and when it is revoked. It does not reveal a random token, but a
    /// token that can be guessed can be recognised by it.
    pub fn token_id_of(token: &str) -> String {
        let hash = Sha256::digest(token);
        hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Ends the connection this long after authentication, unless the token is refreshed before.
    /// More than a hundred years count as a hundred.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time.min(FOREVER));
        self
    }

    /// Sets what names the token, such as the `jti` of a JWT. It appears in logs: it must not be a
    /// secret.
    #[must_use]
    pub fn with_token_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.token_id = Some(id.into());
        self
    }

    /// Sets what the principal may do. A server without an
    /// [authorizer](crate::ServerBuilder::authorizer), or with [`ByGrants`](crate::ByGrants),
    /// decides by this; any other authorizer decides alone.
    #[must_use]
    pub fn with_grants(mut self, grants: Grants) -> Self {
        self.grants = Some(grants);
        self
    }

    /// Sets how much the principal may use. The limits of the client that connected last count for
    /// all of its clients.
    #[must_use]
    pub fn with_limits(mut self, limits: PrincipalLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the prefix that the principal is confined to.
    #[must_use]
    pub fn with_namespace(mut self, namespace: Topic) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the token that was accepted.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Returns what names the token, without being a secret; `None` if nothing does.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// Returns the address that the client connects from; `None` for the server's own process.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns how long the authentication is valid; `None` means for ever.
    pub fn expires_in(&self) -> Option<Duration> {
        self.valid_for
    }

    /// Returns what the principal may do, if its authenticator decided that.
    pub fn grants(&self) -> Option<&Grants> {
        self.grants.as_ref()
    }

    /// Returns how much the principal may use.
    pub fn limits(&self) -> PrincipalLimits {
        self.limits
    }

    /// Returns the prefix that the principal is confined to; `None` means that it is not confined.
    pub fn namespace(&self) -> Option<TopicRef<'_>> {
        self.namespace.as_ref().map(Topic::as_topic_ref)
    }

    /// Returns what its keys belong to.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Takes over the identity of the principal `before` it on the same connection if both are
    /// known by their tokens alone: a client that refreshes its token stays the same publisher.
    pub(crate) fn after(mut self, before: &Self) -> Self {
        if let (Identity::Token(_), Identity::Token(_)) = (&before.identity, &self.identity) {
            self.identity = before.identity.clone();
        }
        self
    }

    /// Adds what the client showed.
    pub(crate) fn seen(mut self, token: Option<&str>, address: SocketAddr) -> Self {
        self.token = token.map(str::to_owned);
        self.address = Some(address);
        self
    }
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Principal")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_an_id_is_named_by_the_beginning_of_its_hash() {
        // sha256("abc") = ba7816bf8f01cfea…
        assert_eq!(Principal::token_id_of("abc"), "ba7816bf8f01cfea");
        let principal = Principal::of_token("token", "abc");
        assert_eq!(principal.token_id(), Some("ba7816bf8f01cfea"));
        assert!(!format!("{principal:?}").contains("abc"));
    }
}
