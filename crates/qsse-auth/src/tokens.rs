//! [`Tokens`]: the file that grants permissions to tokens.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use qsse_server::{Authenticator, Credentials, Denied, Principal};

use crate::certificate;
use crate::error::SetupError;
use crate::files::{self, Content};

mod entry;
mod parse;
mod problem;

use entry::{ANY, Entries, Entry, digest};

pub use parse::MIN_TOKEN_BYTES;

/// What the file is called in messages.
const FILE: &str = "tokens file";

/// The permissions of tokens and client certificates, from a TOML file. Clones share them.
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
///
/// [[certificate]]
/// name = "dns:worker.example.org"     # or uri:, email:, cn:; "*" stands for all others
/// publish = ["ride.*"]                # and the optional fields of a token
/// ```
///
/// A token may do nothing that its entry does not list. Tokens are kept and looked up by their
/// SHA-256 only, so the time of a comparison reveals nothing. Only random tokens may be stored as a
/// hash: one that can be guessed can be found from it.
///
/// A client without a token is known by its certificate, if the server's TLS settings ask for one
/// and have verified it. Of the names in it, those of the URI, the DNS name, the email address and
/// the common name are tried in this order, and the first that has an entry names the principal.
#[derive(Clone)]
pub struct Tokens(Arc<Entries>);

impl Tokens {
    /// Reads the file. Logs a warning about tokens of less than [`MIN_TOKEN_BYTES`].
    ///
    /// # Errors
    /// The file cannot be read or parsed, [others may write it](crate::files), or it grants
    /// nothing: a server is never opened by its file.
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

    /// Returns how many tokens there are.
    pub fn tokens(&self) -> usize {
        self.0.tokens.len()
    }

    /// Returns how many certificates there are.
    pub fn certificates(&self) -> usize {
        self.0.certificates.len()
    }

    /// Decides about a token at a time.
    fn decide(&self, token: &str, now: SystemTime) -> Result<Principal, Denied> {
        let Some(entry) = self.0.tokens.get(&digest(token)) else {
            return Err(Denied::new("this server does not know the token"));
        };
        let principal = match &entry.name {
            Some(name) => Principal::new(name).with_token_id(Principal::token_id_of(token)),
            None => Principal::of_token(&entry.shown, token),
        };
        entry.accept(principal, now)
    }

    /// Decides about a verified certificate at a time: its first name that has an entry counts.
    fn decide_by_certificate(&self, der: &[u8], now: SystemTime) -> Result<Principal, Denied> {
        let all = &self.0.certificates;
        let names = certificate::names(der);
        let own = names.iter().find(|name| all.contains_key(*name));
        let Some(name) = own.or(names.first()) else {
            return Err(Denied::new("the certificate has no name"));
        };
        match all.get(name).or_else(|| all.get(ANY)) {
            Some(entry) => entry.accept(Principal::new(name), now),
            None => Err(Denied::new("this server does not know the certificate")),
        }
    }
}

impl Entry {
    /// Gives a principal its rights, unless the entry has expired.
    fn accept(&self, principal: Principal, now: SystemTime) -> Result<Principal, Denied> {
        let principal = self.rights.give(principal);
        match self.expires.map(|expires| expires.duration_since(now)) {
            None => Ok(principal),
            Some(Ok(left)) if !left.is_zero() => Ok(principal.valid_for(left)),
            Some(_) => Err(Denied::new("the token has expired")),
        }
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let now = SystemTime::now();
        match (credentials.token, credentials.certificates.first()) {
            (Some(token), _) => self.decide(token, now),
            (None, Some(leaf)) => self.decide_by_certificate(leaf, now),
            (None, None) if self.0.tokens.is_empty() => {
                Err(Denied::new("this server wants a client certificate"))
            }
            (None, None) => Err(Denied::new("this server wants a token")),
        }
    }
}

/// Returns a new random token: 43 characters that need no quoting anywhere.
pub fn new_token() -> String {
    const SAFE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0; 43];
    let source = qsse_server::transport::tls::provider().secure_random;
    source
        .fill(&mut random)
        .expect("the operating system gives random bytes");
    // 64 characters, so each is as likely as the others.
    let character = |byte: u8| SAFE[usize::from(byte % 64)] as char;
    random.into_iter().map(character).collect()
}

/// Returns the hash of a token as a tokens file has it: `sha256:` and 64 hexadecimal digits.
pub fn token_hash(token: &str) -> String {
    let digits = digest(token);
    let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

#[cfg(test)]
mod tests;
