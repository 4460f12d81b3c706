//! Checks the form and the signature of a JWT.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::error::TokenError;
use super::key_set::KeySet;
use super::strict;

/// The longest JWT: no client can send a longer one.
const TOKEN_BYTES: usize = 4096;

/// The longest id of a key.
const KEY_ID_BYTES: usize = 256;

/// What the header of a JWT says. Keys in it, and where to find some, are not read: only the
/// server's own keys count.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that the reader has to know. There are none.
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    /// These belong to encrypted tokens.
    enc: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
}

/// Returns the claims of a JWT that one of the keys has signed.
pub(super) fn verify(token: &str, keys: &KeySet) -> Result<Map<String, Value>, TokenError> {
    let (message, header, claims, signature) = split(token).ok_or(TokenError::NotJwt)?;
    let header = strict::base64(header).ok_or(TokenError::NotJwt)?;
    let header = strict::object(&header).ok_or(TokenError::Header)?;
    let header = Header::deserialize(Value::Object(header)).map_err(|_| TokenError::Header)?;
    if !header.is_acceptable() {
        return Err(TokenError::Header);
    }
    let signature = strict::base64(signature).ok_or(TokenError::Signature)?;
    let mut refusal = TokenError::UnknownKey;
    for key in keys.candidates(header.kid.as_deref()) {
        if key.algorithm.name() != header.alg {
            // A wrong signature says more.
            if refusal == TokenError::UnknownKey {
                refusal = TokenError::Algorithm;
            }
        } else if key.verifies(message.as_bytes(), &signature) {
            let claims = strict::base64(claims).ok_or(TokenError::Claims)?;
            return strict::object(&claims).ok_or(TokenError::Claims);
        } else {
            refusal = TokenError::Signature;
        }
    }
    Err(refusal)
}

/// Returns what is signed, and the three parts.
fn split(token: &str) -> Option<(&str, &str, &str, &str)> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let fits = token.len() <= TOKEN_BYTES && !claims.contains('.');
    fits.then_some((message, header, claims, signature))
}

impl Header {
    fn is_acceptable(&self) -> bool {
        let is_plain =
            self.crit.is_none() && self.b64.is_none() && self.enc.is_none() && self.zip.is_none();
        let id_fits = |id: &String| (1..=KEY_ID_BYTES).contains(&id.len());
        is_plain && self.kid.as_ref().is_none_or(id_fits) && self.is_access_token()
    }

    /// Tokens that were made for another purpose by the same issuer are not accepted (RFC 8725,
    /// 3.11).
    fn is_access_token(&self) -> bool {
        let Some(kind) = &self.typ else {
            return true;
        };
        let kind = kind.to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        ["jwt", "at+jwt"].contains(&kind)
    }
}
