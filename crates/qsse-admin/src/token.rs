//! [`AdminToken`]: the secret that a request over TCP has to show.

use sha2::{Digest, Sha256};

/// The fewest bytes of a token. A random one of this length cannot be guessed.
const LEAST_BYTES: usize = 16;

/// The secret of the administrator. Only its hash is kept.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

/// A token that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an admin token has at least {LEAST_BYTES} bytes: make one with `openssl rand -hex 16`")]
pub struct TokenError(());

impl AdminToken {
    /// Uses this text, without white space around it.
    ///
    /// # Errors
    /// It has fewer than 16 bytes.
    pub fn new(token: &str) -> Result<Self, TokenError> {
        let token = token.trim();
        match token.len() {
            LEAST_BYTES.. => Ok(Self(Sha256::digest(token).into())),
            _ => Err(TokenError(())),
        }
    }

    /// Returns whether this is the token. Hashes are compared, so the time reveals nothing.
    pub(crate) fn is(&self, token: &str) -> bool {
        self.0 == <[u8; 32]>::from(Sha256::digest(token))
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(…)")
    }
}
