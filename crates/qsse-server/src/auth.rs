//! Who may connect, and who may do what.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use qsse_proto::limits::FOREVER;
use qsse_topic::PatternRef;
use qsse_transport::rustls::pki_types::CertificateDer;

use crate::dedup_scope::{self, Identity};

/// What a client shows of itself.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Credentials<'a> {
    /// The token of its `Hello`, if it sent one.
    pub token: Option<&'a str>,
    /// Where it connects from.
    pub address: SocketAddr,
    /// Its certificate chain, verified, when the server's TLS asks for one.
    pub certificates: &'a [CertificateDer<'static>],
}

/// Turns credentials into a principal.
///
/// A plain closure is enough for tokens: [`ServerBuilder::authenticator_fn`](crate::ServerBuilder::authenticator_fn).
/// An answer that takes longer than [`auth_timeout`](crate::Config::auth_timeout), or a panic, is a no.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Asked once per connection, and again for each refreshed token.
    ///
    /// # Errors
    /// [`Denied`] closes the connection.
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied>;
}

/// The credentials were not accepted. The reason is told to the client: keep secrets out of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    reason: String,
}

impl Denied {
    /// A refusal with its reason, at most 256 bytes of which reach the client.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// Somebody who was authenticated.
///
/// A principal is also what the keys of publishes belong to ([`Publish::key`](crate::Publish::key) of a client): two principals that
/// are the same to a server share them, so that a publish under a key that the other one used counts as a repetition. Principals are the
/// same if they were made by [`new`](Self::new) with the same name, or by [`of_token`](Self::of_token) with the same token.
#[derive(Clone)]
pub struct Principal {
    name: String,
    identity: Identity,
    token: Option<String>,
    address: Option<SocketAddr>,
    valid_for: Option<Duration>,
}

impl Principal {
    /// A principal by name, which must be of this principal alone, and stay the same from token to token. The name appears in logs: it must
    /// not be a secret.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self::of(Identity::Name(name.clone()), name)
    }

    /// A principal of which nothing is known but its token: another token is another principal, also if the name is the same. Of the token
    /// only a hash is kept for this. The name appears in logs: it must not be a secret.
    pub fn of_token(name: impl Into<String>, token: &str) -> Self {
        Self::of(Identity::Token(dedup_scope::of_token(token)), name.into())
    }

    /// A client of which nothing is known. Keys of such clients belong to the publisher name that a client has set, or else to that client
    /// alone.
    pub fn anonymous() -> Self {
        Self::of(Identity::Anonymous, "anonymous".into())
    }

    fn of(identity: Identity, name: String) -> Self {
        Self {
            name,
            identity,
            token: None,
            address: None,
            valid_for: None,
        }
    }

    /// Ends the connection this long after authentication, unless the token is refreshed before. More than a hundred years
    /// count as a hundred.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time.min(FOREVER));
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The token that was accepted.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Where the client connects from; `None` for the server's own process.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// How long the authentication is good for; `None` is for ever.
    pub fn expires_in(&self) -> Option<Duration> {
        self.valid_for
    }

    /// What its keys belong to.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// With the identity of the principal `before` it on the same connection, if neither is more than a token: whoever has shown one
    /// token, and refreshes it, is the same publisher.
    pub(crate) fn after(mut self, before: &Self) -> Self {
        if let (Identity::Token(_), Identity::Token(_)) = (&before.identity, &self.identity) {
            self.identity = before.identity.clone();
        }
        self
    }

    pub(crate) fn seen(mut self, credentials: Credentials<'_>) -> Self {
        self.token = credentials.token.map(str::to_owned);
        self.address = Some(credentials.address);
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

/// What a principal wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Receive the events of a topic or pattern.
    Subscribe,
    /// Publish on a topic.
    Publish,
}

/// Which questions an [`Authorizer`] understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Topics by name only. A wildcard subscription is let in, and each topic is asked for by name before its
    /// first event goes out.
    Names,
    /// Patterns too: a wildcard subscription is allowed or refused as a whole, by containment.
    Patterns,
}

/// Decides what a principal may do.
///
/// Unclear means no: an answer that takes longer than [`auth_timeout`](crate::Config::auth_timeout)
/// denies, and so does a panic. That holds for what waited: the same topic is asked about again after 5 s, and after each further question
/// without an answer after twice as long, up to a minute. A publish, and a subscription that is resumed, are refused as busy then, so that the
/// client may try again. Answers about the topics of events are kept for the connection, up to a bound, and end
/// with its token; each subscription is asked about anew. A connection has at most 32 questions open at a time.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Which questions it understands.
    fn scope(&self) -> Scope;

    /// Whether `principal` may do `action` on `resource`: the name of a topic, or with [`Scope::Patterns`] any pattern,
    /// to be allowed only if everything that it matches is allowed.
    async fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        resource: PatternRef<'_>,
    ) -> bool;
}

/// Accepts everybody, as a server without an authenticator does.
pub(crate) struct AcceptAll;

#[async_trait]
impl Authenticator for AcceptAll {
    async fn authenticate(&self, _: Credentials<'_>) -> Result<Principal, Denied> {
        Ok(Principal::anonymous())
    }
}

/// A server without an authorizer: everybody may subscribe, nobody may publish over the network.
pub(crate) struct SubscribeOnly;

#[async_trait]
impl Authorizer for SubscribeOnly {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, action: Action, _: PatternRef<'_>) -> bool {
        action == Action::Subscribe
    }
}

/// Go's authenticator: token in, yes or no out. No token is the empty one.
pub(crate) struct TokenFn<F>(pub(crate) F);

#[async_trait]
impl<F: Fn(&str) -> bool + Send + Sync + 'static> Authenticator for TokenFn<F> {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let token = credentials.token.unwrap_or_default();
        match (self.0)(token) {
            true if token.is_empty() => Ok(Principal::anonymous()),
            true => Ok(Principal::of_token("token", token)),
            false => Err(Denied::new("the token was refused")),
        }
    }
}

/// Go's authorizer: (token, topic), asked for subscribing only, so that it can't open publishing.
pub(crate) struct NameFn<F>(pub(crate) F);

#[async_trait]
impl<F: Fn(&str, &str) -> bool + Send + Sync + 'static> Authorizer for NameFn<F> {
    fn scope(&self) -> Scope {
        Scope::Names
    }

    async fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        resource: PatternRef<'_>,
    ) -> bool {
        action == Action::Subscribe
            && (self.0)(principal.token().unwrap_or_default(), resource.as_str())
    }
}
