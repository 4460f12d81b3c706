//! [`Checks`]: what the claims of a JWT have to say.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use qsse_server::Principal;
use serde_json::{Map, Value};

use super::error::TokenError;
use crate::permissions::{Permissions, named};

/// The last second of the year 9999. A later time is no time in seconds.
const LAST: f64 = 253_402_300_799.0;

/// The longest name and id.
const NAME_BYTES: usize = 256;

/// What the claims have to say.
pub(super) struct Checks {
    pub(super) issuers: Vec<String>,
    pub(super) audiences: Vec<String>,
    /// The name of the claim that has the grants.
    pub(super) claim: String,
    pub(super) leeway: Duration,
    pub(super) needs_expiry: bool,
}

/// The claims that every JWT may have.
struct Claims<'c>(&'c Map<String, Value>);

impl Checks {
    /// Returns who the owner of a token with these claims is.
    pub(super) fn principal(
        &self,
        token: &str,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<Principal, TokenError> {
        let claims = Claims(claims);
        let left = self.time_left(&claims, now)?;
        self.issuer(&claims)?;
        self.audience(&claims)?;
        let (subject, id) = (claims.name("sub")?, claims.name("jti")?);
        let permissions = claims.0.get(&self.claim);
        let permissions = permissions.ok_or_else(|| TokenError::NoGrants(self.claim.clone()))?;
        let rights = named::<_, Permissions>(permissions)
            .map_err(|_| TokenError::Claim(self.claim.clone()))?
            .check()
            .map_err(TokenError::Grants)?;
        let principal = match subject {
            Some(name) => Principal::new(name).with_token_id(Principal::token_id_of(token)),
            None => Principal::of_token("jwt", token),
        };
        let principal = match id {
            Some(id) => principal.with_token_id(id),
            None => principal,
        };
        let principal = rights.give(principal);
        Ok(match left {
            Some(left) => principal.valid_for(left),
            None => principal,
        })
    }

    /// Checks the times, and returns how long the token is valid. The leeway counts for its owner.
    fn time_left(
        &self,
        claims: &Claims<'_>,
        now: SystemTime,
    ) -> Result<Option<Duration>, TokenError> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest = now + self.leeway;
        for name in ["nbf", "iat"] {
            if claims.time(name)?.is_some_and(|begin| begin > latest) {
                return Err(TokenError::NotYet);
            }
        }
        match claims.time("exp")? {
            None if self.needs_expiry => Err(TokenError::NoExpiry),
            None => Ok(None),
            Some(end) => match (end + self.leeway).checked_sub(now) {
                Some(left) if !left.is_zero() => Ok(Some(left)),
                _ => Err(TokenError::Expired),
            },
        }
    }

    fn issuer(&self, claims: &Claims<'_>) -> Result<(), TokenError> {
        let issuer = claims.text("iss")?;
        let fits = |issuer: &str| self.issuers.iter().any(|known| known == issuer);
        match self.issuers.is_empty() || issuer.is_some_and(fits) {
            true => Ok(()),
            false => Err(TokenError::Issuer),
        }
    }

    /// A token that names audiences is for them alone, also if the server has no name (RFC 7519,
    /// 4.1.3).
    fn audience(&self, claims: &Claims<'_>) -> Result<(), TokenError> {
        let wrong = || TokenError::Claim("aud".into());
        let named: Vec<&str> = match claims.0.get("aud") {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => {
                let texts = all.iter().map(Value::as_str);
                texts.collect::<Option<_>>().ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        let is_ours = |one: &&str| self.audiences.iter().any(|own| own == one);
        match named.iter().any(is_ours) || (named.is_empty() && self.audiences.is_empty()) {
            true => Ok(()),
            false => Err(TokenError::Audience),
        }
    }
}

impl<'c> Claims<'c> {
    /// Returns a time, since 1970.
    fn time(&self, name: &'static str) -> Result<Option<Duration>, TokenError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(seconds) if (0.0..=LAST).contains(&seconds) => {
                Ok(Some(Duration::from_secs_f64(seconds)))
            }
            _ => Err(TokenError::Claim(name.into())),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&'c str>, TokenError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenError::Claim(name.into())),
        }
    }

    /// Returns a text that is shown in logs.
    fn name(&self, name: &'static str) -> Result<Option<&'c str>, TokenError> {
        let text = self.text(name)?;
        let fits =
            |text: &str| (1..=NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control);
        match text.is_none_or(fits) {
            true => Ok(text),
            false => Err(TokenError::Claim(name.into())),
        }
    }
}
