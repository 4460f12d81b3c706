//! [`ServerUrl`]: the address of a server, and how to verify it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use qsse_proto::DEFAULT_PORT;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::fingerprint::{Fingerprint, FingerprintError};

/// The address of a server, and optionally the fingerprints of its certificate.
///
/// It is parsed from `HOST`, `HOST:PORT` or
/// `qsse://HOST[:PORT][?fingerprint=HEX[&fingerprint=HEX…]]`. IPv6 addresses are in brackets. The
/// default port is 4242. It is printed in the long form, which parses to the same value.
///
/// ```
/// use qsse_transport::ServerUrl;
///
/// let url: ServerUrl = "events.example.org".parse()?;
/// assert_eq!(url.to_string(), "qsse://events.example.org:4242");
/// assert!("[::1]:5000".parse::<ServerUrl>()?.is_loopback());
/// # Ok::<(), qsse_transport::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    host: String,
    port: u16,
    fingerprints: Vec<Fingerprint>,
}

impl ServerUrl {
    /// Creates the URL of the server at `host`, a name or an IP address without brackets, and
    /// `port`.
    ///
    /// # Errors
    /// `host` is neither, or `port` is 0.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self, UrlError> {
        let host = host.into();
        if host.parse::<IpAddr>().is_err() {
            check_name(&host)?;
        }
        if port == 0 {
            return Err(UrlError::Port("0".into()));
        }
        Ok(Self {
            host,
            port,
            fingerprints: Vec::new(),
        })
    }

    /// Adds a fingerprint that the server's certificate may have.
    #[must_use]
    pub fn with_fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        if !self.fingerprints.contains(&fingerprint) {
            self.fingerprints.push(fingerprint);
        }
        self
    }

    /// Returns the host name or IP address, without brackets. The certificate must be valid for it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns host and port, as a URL has them: an IPv6 address is in brackets.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Returns the fingerprints that the server's certificate may have; empty if it is verified
    /// otherwise.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    /// Returns whether the host is this machine: `localhost`, a name below it, or a loopback
    /// address.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => {
                let name = self.host.trim_end_matches('.').to_ascii_lowercase();
                name == "localhost" || name.ends_with(".localhost")
            }
        }
    }
}

impl From<SocketAddr> for ServerUrl {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
            fingerprints: Vec::new(),
        }
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.contains('@') {
            return Err(UrlError::Credentials);
        }
        let rest = without_scheme(text.trim())?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, query),
            None => (rest, ""),
        };
        if query.contains('#') || rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if let Some((_, path)) = authority.split_once('/') {
            return Err(UrlError::Path(path.into()));
        }
        let (host, port) = host_and_port(authority)?;
        let mut url = Self::new(host, port)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if key != "fingerprint" {
                return Err(UrlError::UnknownKey(key.into()));
            }
            // Some programs write a colon in a query as %3A.
            let value = value.replace("%3A", ":").replace("%3a", ":");
            url = url.with_fingerprint(value.parse()?);
        }
        Ok(url)
    }
}

fn without_scheme(text: &str) -> Result<&str, UrlError> {
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("qsse") => Ok(rest),
        Some((scheme, rest)) if !scheme.contains(['?', '/']) => Err(UrlError::Scheme {
            found: scheme.into(),
            instead: format!("qsse://{rest}"),
        }),
        _ => Ok(text),
    }
}

/// Splits into the host, without brackets, and the port.
fn host_and_port(authority: &str) -> Result<(&str, u16), UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(UrlError::OpenBracket)?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(UrlError::NotIpv6(host.into()));
        }
        return match after.strip_prefix(':') {
            Some(digits) => Ok((host, port(digits)?)),
            None if after.is_empty() => Ok((host, DEFAULT_PORT)),
            None => Err(UrlError::Port(after.into())),
        };
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(UrlError::BareIpv6(authority.into()));
    }
    match authority.split_once(':') {
        Some((host, digits)) => Ok((host, port(digits)?)),
        None => Ok((authority, DEFAULT_PORT)),
    }
}

fn port(digits: &str) -> Result<u16, UrlError> {
    match digits.parse() {
        // `parse` would accept a plus sign.
        Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(UrlError::Port(digits.into())),
    }
}

fn check_name(host: &str) -> Result<(), UrlError> {
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match host.chars().find(|c| !allowed(*c)) {
        Some(found) => Err(UrlError::HostCharacter {
            host: host.into(),
            found,
        }),
        None if host.len() > 253 => Err(UrlError::HostLength(host.len())),
        None => Ok(()),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "qsse://{}", self.authority())?;
        for (i, fingerprint) in self.fingerprints.iter().enumerate() {
            let separator = if i == 0 { '?' } else { '&' };
            write!(f, "{separator}fingerprint={}", fingerprint.to_hex())?;
        }
        Ok(())
    }
}

impl TryFrom<&str> for ServerUrl {
    type Error = UrlError;

    fn try_from(text: &str) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is not `qsse`.
    #[error("{found}:// is not supported: write {instead}")]
    Scheme {
        /// The scheme that was given.
        found: String,
        /// The URL to use instead.
        instead: String,
    },
    /// The host is missing.
    #[error("the server's host is missing: write HOST, HOST:PORT or qsse://HOST:PORT")]
    NoHost,
    /// The host name has a character that host names do not have.
    #[error(
        "{found:?} cannot be in the host name {host:?}: write HOST, HOST:PORT or qsse://HOST:PORT"
    )]
    HostCharacter {
        /// The host that was given.
        host: String,
        /// The character.
        found: char,
    },
    /// The host name is too long.
    #[error("a host name has at most 253 characters, this one has {0}")]
    HostLength(usize),
    /// The port is not a number from 1 to 65535.
    #[error("{0:?} is not a port: write a number from 1 to 65535")]
    Port(String),
    /// An IPv6 address without brackets: its last part could be a port.
    #[error("put the IPv6 address in brackets: [{0}] or [{0}]:4242")]
    BareIpv6(String),
    /// A bracket is not closed.
    #[error("the closing bracket is missing: write an IPv6 address as [::1] or [::1]:4242")]
    OpenBracket,
    /// The text in brackets is not an IPv6 address.
    #[error("{0:?} is not an IPv6 address: put only IPv6 addresses in brackets, as in [::1]")]
    NotIpv6(String),
    /// It has a path.
    #[error(
        "a server's address has no path: leave out /{0}; name topics when you subscribe or publish"
    )]
    Path(String),
    /// It has a user name or token.
    #[error(
        "a token does not belong in the address, where logs would show it: pass it with --token or \
         `.token(…)`"
    )]
    Credentials,
    /// It has a fragment.
    #[error("a server's address has no fragment: leave out the # and what follows it")]
    Fragment,
    /// It has an unknown query key.
    #[error("a server's address has no parameter {0:?}: only fingerprint=SHA256 is known")]
    UnknownKey(String),
    /// A fingerprint is invalid.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
}

#[cfg(test)]
mod tests;
