//! [`Tokens`]: the file that grants permissions to tokens.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use qsse_server::{Authenticator, Credentials, Denied, Principal};

use crate::error::SetupError;
use crate::files::{self, Content};

mod entry;
mod parse;
mod problem;

use entry::{Entries, digest};

pub use parse::MIN_TOKEN_BYTES;

/// What the file is called in messages.
const FILE: &str = "tokens file";

/// The permissions of tokens, from a TOML file. Clones share them.
///
/// ```toml
/// [[token]]
/// name = "driver 7"                   # optional: the principal, and what logs show
/// token = "…"                         # or hash = "sha256:…", as `qsse token hash` prints it
/// subscribe = ["ride.*"]
/// publish = ["ride.7.*"]
/// expires = "2027-01-31T00:00:00Z"    # optional
/// namespace = "tenant7"               # optional
/// limits = { connections = 4 }        # optional: the fields of PrincipalLimits
/// ```
///
/// A token may do nothing that its entry does not list. Tokens are kept and looked up by their
/// SHA-256 only, so the time of a comparison reveals nothing. Only random tokens may be stored as a
/// hash: one that can be guessed can be found from it.
#[derive(Clone)]
pub struct Tokens(Arc<Entries>);

impl Tokens {
    /// Reads the file. Logs a warning about tokens of less than [`MIN_TOKEN_BYTES`].
    ///
    /// # Errors
    /// The file cannot be read or parsed, [others may write it](crate::files), or it grants nothing: a
    /// server is never opened by its file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, SetupError> {
        let path = path.as_ref();
        let text = files::read(FILE, path, Content::Secret)?;
        let entries = parse::parse(&text);
        let entries = entries.map_err(|problem| SetupError::in_file(FILE, path, problem))?;
        Ok(Self(Arc::new(entries)))
    }

    /// Does the same as [`read`](Self::read), with the text of a file.
    ///
    /// # Errors
    /// It cannot be parsed, or it grants nothing.
    pub fn parse(text: &str) -> Result<Self, SetupError> {
        let entries = parse::parse(text).map_err(SetupError::Problem)?;
        Ok(Self(Arc::new(entries)))
    }

    /// Returns how many tokens there are, at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Decides about a token at a time.
    fn decide(&self, token: &str, now: SystemTime) -> Result<Principal, Denied> {
        let Some(entry) = self.0.get(&digest(token)) else {
            return Err(Denied::new("this server does not know the token"));
        };
        let principal = match &entry.name {
            Some(name) => Principal::new(name).with_token_id(Principal::token_id_of(token)),
            None => Principal::of_token(&entry.shown, token),
        };
        let principal = entry.rights.give(principal);
        match entry.expires.map(|expires| expires.duration_since(now)) {
            None => Ok(principal),
            Some(Ok(left)) if !left.is_zero() => Ok(principal.valid_for(left)),
            Some(_) => Err(Denied::new("the token has expired")),
        }
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        match credentials.token {
            Some(token) => self.decide(token, SystemTime::now()),
            None => Err(Denied::new("this server wants a token")),
        }
    }
}

#[cfg(test)]
mod tests;
