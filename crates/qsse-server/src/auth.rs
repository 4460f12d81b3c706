//! Who may connect, and who may do what.

use std::net::SocketAddr;

use async_trait::async_trait;
use qsse_topic::PatternRef;
use qsse_transport::rustls::pki_types::CertificateDer;

mod grants;
mod limits;
mod principal;

pub use grants::{Action, Grants};
pub use limits::PrincipalLimits;
pub use principal::Principal;

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

impl<'a> Credentials<'a> {
    /// Makes credentials without certificates, to test an [`Authenticator`] with.
    pub fn new(token: Option<&'a str>, address: SocketAddr) -> Self {
        Self {
            token,
            address,
            certificates: &[],
        }
    }

    /// Sets the certificate chain.
    #[must_use]
    pub fn with_certificates(mut self, chain: &'a [CertificateDer<'static>]) -> Self {
        self.certificates = chain;
        self
    }
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

    /// Returns whether `principal` may do `action` on anything at all that `pattern` matches.
    ///
    /// The server asks this before it looks for the topics of a pattern, so that a search costs
    /// nothing for those who may do nothing there. It must answer at once. Answer `true` if that is
    /// not known without asking elsewhere, which is the default: then each topic is asked about.
    fn could_allow(&self, principal: &Principal, action: Action, pattern: PatternRef<'_>) -> bool {
        let _ = (principal, action, pattern);
        true
    }
}

/// Accepts every client, as a server without an authenticator does.
pub(crate) struct AcceptAll;

#[async_trait]
impl Authenticator for AcceptAll {
    async fn authenticate(&self, _: Credentials<'_>) -> Result<Principal, Denied> {
        Ok(Principal::anonymous())
    }
}

/// Decides by the [`Grants`] that the authenticator gave the principal. A principal without grants
/// may do nothing.
///
/// So one authenticator decides who a client is and what it may do. A server without any authorizer
/// differs in one point: it lets a principal without grants subscribe to everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByGrants;

#[async_trait]
impl Authorizer for ByGrants {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, who: &Principal, action: Action, resource: PatternRef<'_>) -> bool {
        who.grants()
            .is_some_and(|grants| grants.allow(action, resource))
    }

    fn could_allow(&self, who: &Principal, action: Action, pattern: PatternRef<'_>) -> bool {
        who.grants()
            .is_some_and(|grants| grants.allow_some(action, pattern))
    }
}

/// Decides as a server without an authorizer does: by grants, and who has none may only subscribe.
pub(crate) struct ByGrantsOrSubscribe;

#[async_trait]
impl Authorizer for ByGrantsOrSubscribe {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, who: &Principal, action: Action, resource: PatternRef<'_>) -> bool {
        match who.grants() {
            Some(grants) => grants.allow(action, resource),
            None => action == Action::Subscribe,
        }
    }

    fn could_allow(&self, who: &Principal, action: Action, pattern: PatternRef<'_>) -> bool {
        match who.grants() {
            Some(grants) => grants.allow_some(action, pattern),
            None => action == Action::Subscribe,
        }
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

    fn could_allow(&self, _: &Principal, action: Action, _: PatternRef<'_>) -> bool {
        action == Action::Subscribe
    }
}
