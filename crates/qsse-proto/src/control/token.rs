//! The secret by which a client is authenticated.

use crate::limits::TOKEN_BYTES;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// A client's token: a secret text of at most 4 KiB (`QP-4.4`).
///
/// It has no `Display`, and `Debug` does not show it.
///
/// ```
/// use qsse_proto::control::Token;
///
/// let token = Token::new("secret")?;
/// assert_eq!(format!("{token:?}"), "Token(…)");
/// assert_eq!(token.expose(), "secret");
/// # Ok::<(), qsse_proto::control::TokenTooLong>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A token of more than 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token is longer than {TOKEN_BYTES} bytes: use a shorter one")]
pub struct TokenTooLong(());

impl Token {
    /// Creates a token.
    ///
    /// # Errors
    /// The text has more than 4 KiB.
    pub fn new(text: impl Into<String>) -> Result<Self, TokenTooLong> {
        let text = text.into();
        if text.len() > TOKEN_BYTES {
            return Err(TokenTooLong(()));
        }
        Ok(Self(text))
    }

    /// Returns the secret, for code that checks it. It must not appear in logs or errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Secret)
    }
}

/// Unlike the standard visitors, never shows in an error what it read.
struct Secret;

impl Visitor<'_> for Secret {
    type Value = Token;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token of at most {TOKEN_BYTES} bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Token, E> {
        Token::new(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_wanted_and_not_what_came() {
        let error = serde_json::from_str::<Token>("true").unwrap_err();
        let wanted = "a token of at most 4096 bytes";
        assert!(error.to_string().contains(wanted), "{error}");

        let secret = "s3cret".repeat(1_000);
        let text = serde_json::to_string(&secret).unwrap();
        let error = serde_json::from_str::<Token>(&text).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
