//! [`TokenError`]: why a JWT is refused.

/// Why a JWT is refused. The client gets the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// It does not even look like one, so it may be a token of another kind.
    #[error("this server does not know the token")]
    NotJwt,
    #[error("the header of the JWT is not JSON, or cannot be accepted")]
    Header,
    #[error("the JWT is signed with an algorithm that this server does not accept for its key")]
    Algorithm,
    #[error("this server does not know the key of the JWT")]
    UnknownKey,
    #[error("the signature of the JWT is wrong")]
    Signature,
    #[error("the claims of the JWT are not a JSON object with unique keys")]
    Claims,
    #[error("the claim {0} of the JWT is not what it should be")]
    Claim(String),
    #[error("the JWT has expired")]
    Expired,
    #[error("the JWT is not valid yet")]
    NotYet,
    #[error("the JWT has no expiry (exp), which this server requires")]
    NoExpiry,
    #[error("the JWT is not from an issuer (iss) that this server trusts")]
    Issuer,
    #[error("the JWT is not for this server (aud)")]
    Audience,
    #[error("the JWT grants nothing: it has no claim {0}")]
    NoGrants(String),
    #[error("the grants of the JWT: {0}")]
    Grants(String),
}
