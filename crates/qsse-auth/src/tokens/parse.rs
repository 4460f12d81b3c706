//! Parses a tokens file. Messages tell places, but never show a token.

use std::collections::HashMap;
use std::time::SystemTime;

use qsse_server::PrincipalLimits;
use serde::Deserialize;

use super::entry::{ANY, Entries, Entry, digest};
use super::problem;
use crate::permissions::{Permissions, named};

/// The least length of a token that is not warned about: 128 random bits, as bytes.
pub const MIN_TOKEN_BYTES: usize = 16;

/// The longest token that clients can send.
const TOKEN_BYTES: usize = 4096;

/// The longest name of a token.
const NAME_BYTES: usize = 64;

/// What a hash begins with.
const SHA256: &str = "sha256:";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Written>,
    #[serde(default)]
    certificate: Vec<Written>,
}

/// A token or certificate as it is written. A certificate has a name and neither token nor hash.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    token: Option<String>,
    hash: Option<String>,
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    publish: Vec<String>,
    expires: Option<String>,
    namespace: Option<String>,
    #[serde(default, deserialize_with = "named")]
    limits: PrincipalLimits,
}

pub(super) fn parse(text: &str) -> Result<Entries, String> {
    let file: File = toml::from_str(text).map_err(|error| problem::describe(text, &error))?;
    if file.token.is_empty() && file.certificate.is_empty() {
        return Err(
            "there is no [[token]] and no [[certificate]] in it: nobody could connect".into(),
        );
    }
    let mut entries = Entries::default();
    let mut names = HashMap::new();
    for (i, written) in file.token.into_iter().enumerate() {
        let place = format!("token {}", i + 1);
        let hash = hash(&place, &written)?;
        if let Some(name) = &written.name {
            check_name(&place, name, written.token.as_deref())?;
            if let Some(other) = names.insert(name.clone(), place.clone()) {
                return Err(format!("{place} has the same name as {other}: {name:?}"));
            }
        }
        let entry = entry(&place, written)?;
        if let Some(other) = entries.tokens.insert(hash, entry) {
            return Err(format!("{place} is the same as {}", other.shown));
        }
    }
    for (i, written) in file.certificate.into_iter().enumerate() {
        let place = format!("certificate {}", i + 1);
        let (name, entry) = certificate(&place, written)?;
        if let Some(other) = entries.certificates.insert(name.clone(), entry) {
            return Err(format!("{place} is the same as {}", other.shown));
        }
    }
    Ok(entries)
}

/// Checks a certificate, and returns its name.
fn certificate(place: &str, written: Written) -> Result<(String, Entry), String> {
    if written.token.is_some() || written.hash.is_some() {
        return Err(format!(
            "{place} has a token or hash: a certificate is known by its name"
        ));
    }
    let name = written.name.clone().unwrap_or_default();
    let kind = name.split_once(':').filter(|(_, text)| !text.is_empty());
    let known = kind.is_some_and(|(kind, _)| ["uri", "dns", "email", "cn"].contains(&kind));
    if !known && name != ANY {
        return Err(format!(
            "the name of {place} must be one in the certificate, after its kind, such as \
             \"dns:worker.example.org\", \"uri:…\", \"email:…\" or \"cn:…\"; \"{ANY}\" \
             stands for all others"
        ));
    }
    Ok((name, entry(place, written)?))
}

/// Returns the hash of the token.
fn hash(place: &str, written: &Written) -> Result<[u8; 32], String> {
    match (&written.token, &written.hash) {
        (Some(token), None) => {
            match token.len() {
                0 => return Err(format!("{place} is empty")),
                1..=TOKEN_BYTES => {}
                _ => return Err(format!("{place} has more than {TOKEN_BYTES} bytes")),
            }
            if token.len() < MIN_TOKEN_BYTES {
                tracing::warn!(
                    "{place} of the tokens file has less than {MIN_TOKEN_BYTES} bytes, so it may \
                     be guessed: make a new one with `qsse token new`"
                );
            }
            Ok(digest(token))
        }
        (None, Some(hash)) => parse_hash(hash).ok_or_else(|| {
            format!("the hash of {place} must be \"{SHA256}\" and 64 hexadecimal digits")
        }),
        (Some(_), Some(_)) => Err(format!("{place} has a token and a hash: give one of them")),
        (None, None) => Err(format!("{place} has no token: give it token or hash")),
    }
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(SHA256)?;
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(hash)
}

fn entry(place: &str, written: Written) -> Result<Entry, String> {
    let permissions = Permissions {
        subscribe: written.subscribe,
        publish: written.publish,
        namespace: written.namespace,
        limits: written.limits,
    };
    let rights = permissions.check();
    Ok(Entry {
        rights: rights.map_err(|problem| format!("{place}: {problem}"))?,
        expires: expires(place, written.expires.as_deref())?,
        shown: written.name.clone().unwrap_or_else(|| place.into()),
        name: written.name,
    })
}

/// Checks a name. It appears in logs, so it must not contain the token.
fn check_name(place: &str, name: &str, token: Option<&str>) -> Result<(), String> {
    let good = !name.is_empty() && name.len() <= NAME_BYTES && !name.contains(char::is_control);
    if token.is_some_and(|token| name.contains(token)) {
        return Err(format!("the name of {place} contains its token"));
    }
    match good {
        true => Ok(()),
        false => Err(format!(
            "the name of {place} must have 1 to {NAME_BYTES} bytes and no control character"
        )),
    }
}

fn expires(place: &str, text: Option<&str>) -> Result<Option<SystemTime>, String> {
    let parsed = text.map(humantime::parse_rfc3339).transpose();
    parsed.map_err(|_| {
        format!("{place}: expires must be a time in UTC, such as \"2027-01-31T00:00:00Z\"")
    })
}
