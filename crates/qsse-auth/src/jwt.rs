//! [`Jwt`]: signed tokens that carry the permissions of their owner.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use qsse_server::{Authenticator, Credentials, Denied, Principal};

use crate::error::SetupError;

mod algorithm;
mod claims;
mod error;
mod key;
mod key_set;
mod sign;
mod source;
mod strict;
mod verify;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use key_set::KeySet;
pub use sign::JwtSigner;

use claims::Checks;
use error::TokenError;
use source::{Place, Source};

/// Accepts signed JSON Web Tokens, which carry the permissions of their owner.
///
/// ```json
/// {
///   "sub": "driver 7",
///   "exp": 1801267200,
///   "qsse": {"subscribe": ["ride.*"], "publish": ["ride.7.*"], "limits": {"connections": 4}}
/// }
/// ```
///
/// - The key determines the algorithm, never the token. Keys that a token contains or points to are
///   ignored.
/// - `exp` is required, unless [`allow_no_expiry`](Self::allow_no_expiry) says otherwise, and ends
///   the connection. `nbf` and `iat` must not be in the future. All three may be off by the
///   [`leeway`](Self::leeway).
/// - A token that names audiences must name one of [`audiences`](Self::audiences). If any are set,
///   every token must. The same holds for [`issuers`](Self::issuers), except that a token may name
///   an issuer that nobody asks for.
/// - `sub` is the name of the principal, and `jti` the id of the token. Both are optional.
/// - The claim [`qsse`](Self::claim) has `subscribe` and `publish`, at least one of them, and
///   optionally `namespace` and `limits`. Anything else in it refuses the token.
pub struct Jwt {
    source: Source,
    checks: Checks,
    refresh: Duration,
}

impl Jwt {
    /// Accepts tokens that one of these keys has signed.
    pub fn new(keys: KeySet) -> Self {
        Self::with(Source::Fixed(Arc::new(keys)))
    }

    /// Accepts tokens that a key in this JWKS file has signed. The file is read again as
    /// [`refresh`](Self::refresh) says.
    ///
    /// # Errors
    /// The file cannot be read, [others may write it](crate::files), or contains no usable key.
    pub async fn jwks_file(path: impl AsRef<Path>) -> Result<Self, SetupError> {
        Source::open(Place::File(path.as_ref().into()))
            .await
            .map(Self::with)
    }

    /// Accepts tokens that a key in the JWKS at this URL has signed. It is read again as
    /// [`refresh`](Self::refresh) says. The URL begins with `https://`; `http://` is only accepted
    /// for this machine. `ca` is a PEM file with the authorities to trust instead of the system's.
    ///
    /// # Errors
    /// The URL is wrong, does not answer within 3 s, or has no usable key.
    #[cfg(feature = "http")]
    pub async fn jwks_url(url: &str, ca: Option<&Path>) -> Result<Self, SetupError> {
        let endpoint = crate::http::Endpoint::new(url, ca)?;
        Source::open(Place::Url(endpoint)).await.map(Self::with)
    }

    fn with(source: Source) -> Self {
        Self {
            source,
            checks: Checks {
                issuers: Vec::new(),
                audiences: Vec::new(),
                claim: "qsse".into(),
                leeway: Duration::from_secs(30),
                needs_expiry: true,
            },
            refresh: Duration::from_secs(600),
        }
    }

    /// Requires that `iss` is one of these. Default: any issuer, because the key decides.
    #[must_use]
    pub fn issuers<T: Into<String>>(mut self, issuers: impl IntoIterator<Item = T>) -> Self {
        self.checks.issuers = issuers.into_iter().map(Into::into).collect();
        self
    }

    /// Requires that `aud` is or contains one of these. Default: none, and then a token that names
    /// an audience is refused.
    #[must_use]
    pub fn audiences<T: Into<String>>(mut self, audiences: impl IntoIterator<Item = T>) -> Self {
        self.checks.audiences = audiences.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the name of the claim that has the permissions. Default `qsse`.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>) -> Self {
        self.checks.claim = name.into();
        self
    }

    /// Sets how far the clock of the issuer may be off. Default 30 s.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.checks.leeway = leeway;
        self
    }

    /// Accepts tokens that never expire. Default: they are refused.
    #[must_use]
    pub fn allow_no_expiry(mut self, allow: bool) -> Self {
        self.checks.needs_expiry = !allow;
        self
    }

    /// Sets after which time a JWKS is read again, when the next client connects. Default 10 min,
    /// at least 10 s. It is also read again when a token names an unknown key, at most every 10 s.
    /// If it cannot be read, the old keys stay.
    #[must_use]
    pub fn refresh(mut self, time: Duration) -> Self {
        self.refresh = time;
        self
    }

    async fn decide(&self, token: &str, now: SystemTime) -> Result<Principal, TokenError> {
        let keys = self.source.keys(self.refresh).await;
        let claims = match verify::verify(token, &keys) {
            Err(TokenError::UnknownKey) => match self.source.newer(&keys).await {
                Some(keys) => verify::verify(token, &keys),
                None => Err(TokenError::UnknownKey),
            },
            other => other,
        };
        self.checks.principal(token, &claims?, now)
    }
}

#[async_trait]
impl Authenticator for Jwt {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let Some(token) = credentials.token else {
            return Err(Denied::new("this server wants a token"));
        };
        let decided = self.decide(token, SystemTime::now()).await;
        decided.map_err(|error| Denied::new(error.to_string()))
    }
}
