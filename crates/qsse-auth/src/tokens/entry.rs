//! [`Entry`]: what a tokens file says of one token.

use std::collections::HashMap;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::permissions::Rights;

/// The entries of a file.
#[derive(Default)]
pub(super) struct Entries {
    /// By the SHA-256 of the token.
    pub(super) tokens: HashMap<[u8; 32], Entry>,
    /// By a name in the certificate; [`ANY`] stands for all certificates without an entry.
    pub(super) certificates: HashMap<String, Entry>,
}

/// Stands for all certificates without an entry of their own.
pub(super) const ANY: &str = "*";

/// One token or certificate.
pub(super) struct Entry {
    /// The name for logs, where the token must not appear.
    pub(super) shown: String,
    /// The name in the file. Without it, the keys of its publishes belong to the token.
    pub(super) name: Option<String>,
    pub(super) rights: Rights,
    pub(super) expires: Option<SystemTime>,
}

/// Returns what a token is found by.
pub(super) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
