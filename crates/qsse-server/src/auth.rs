//! Who may connect, and who may do what.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use qsse_proto::limits::FOREVER;
use qsse_topic::PatternRef;
use qsse_transport::rustls::pki_types::CertificateDer;

use crate::dedup_scope::{self, Identity};

/// What a client shows to identify itself.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Credentials<'a> {
    /// The token of its `Hello`, if it sent one.
    pub token: Option<&'a str>,
    /// Where it connects from.
    pub address: SocketAddr,
    /// Its certificate chain, verified, if the server's TLS settings ask for one.
    pub certificates: &'a [CertificateDer<'static>],
}

/// Turns credentials into a principal.
///
/// A closure is enough for tokens:
/// [`ServerBuilder::authenticator_fn`](crate::ServerBuilder::authenticator_fn). An answer that
/// takes longer than [`auth_timeout`](crate::Config::auth_timeout), or a panic, refuses the client.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Returns who the client is. Called once per connection, and again for each refreshed token.
    ///
    /// # Errors
    /// [`Denied`] closes the connection.
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied>;
}

/// A refusal of credentials. The client gets the reason: keep secrets out of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    reason: String,
}

impl Denied {
    /// Makes a refusal with its reason, of which at most 256 bytes reach the client.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

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
    address: Option<SocketAddr>,
    valid_for: Option<Duration>,
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
    /// logs: it must not be a secret.
    pub fn of_token(name: impl Into<String>, token: &str) -> Self {
        Self::of(Identity::Token(dedup_scope::of_token(token)), name.into())
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
            address: None,
            valid_for: None,
        }
    }

    /// Ends the connection this long after authentication, unless the token is refreshed before.
    /// More than a hundred years count as a hundred.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time.min(FOREVER));
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

    /// Returns the address that the client connects from; `None` for the server's own process.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns how long the authentication is valid; `None` means for ever.
    pub fn expires_in(&self) -> Option<Duration> {
        self.valid_for
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

/// What a principal asks to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Receive the events of a topic or pattern.
    Subscribe,
    /// Publish on a topic.
    Publish,
}

/// Which questions an [`Authorizer`] can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// About topic names only. A wildcard subscription is accepted, and the authorizer is asked
    /// about each topic before its first event is delivered.
    Names,
    /// About patterns too: a wildcard subscription is allowed or refused as a whole.
    Patterns,
}

/// Decides what a principal may do.
///
/// Without an answer the request is denied: if it takes longer than
/// [`auth_timeout`](crate::Config::auth_timeout), or if the authorizer panics. The same topic is
/// asked about again after 5 s, and after each further question without an answer after twice as
/// long, up to a minute. A publish and a resumed subscription are refused as busy then, so that the
/// client tries again.
///
/// Answers about the topics of events are cached for the connection, up to a limit, until its token
/// changes. Each subscription is checked anew. A connection has at most 32 open questions at a
/// time.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Returns which questions it can answer.
    fn scope(&self) -> Scope;

    /// Returns whether `principal` may do `action` on `resource`: a topic name, or with
    /// [`Scope::Patterns`] any pattern. Allow a pattern only if everything that it matches is
    /// allowed.
    async fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        resource: PatternRef<'_>,
    ) -> bool;
}

/// Accepts every client, as a server without an authenticator does.
pub(crate) struct AcceptAll;

#[async_trait]
impl Authenticator for AcceptAll {
    async fn authenticate(&self, _: Credentials<'_>) -> Result<Principal, Denied> {
        Ok(Principal::anonymous())
    }
}

/// Lets every client subscribe and none publish, as a server without an authorizer does.
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

/// The authenticator of the Go library: a function of the token, which is empty if there is none.
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

/// The authorizer of the Go library: a function of token and topic. It is asked only about
/// subscribing, so that it cannot allow publishing.
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
