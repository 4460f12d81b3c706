//! [`Address`]: where the administration of a server listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A Unix socket, or a port of loopback.
///
/// ```
/// use qsse_admin::Address;
///
/// assert!(matches!("/run/qsse/admin.sock".parse(), Ok(Address::Unix(_))));
/// assert!(matches!("127.0.0.1:4243".parse(), Ok(Address::Loopback(_))));
/// assert!("0.0.0.0:4243".parse::<Address>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A port of loopback.
    Loopback(SocketAddr),
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Other machines could reach it.
    #[error(
        "{0} can be reached from other machines: administer over a Unix socket or a port of loopback, as in 127.0.0.1:4243"
    )]
    NotLoopback(SocketAddr),
    /// It is neither a path nor an address.
    #[error(
        "{0:?} is no place for the administration: write the path of a socket with a slash, as in /run/qsse/admin.sock, or IP:PORT"
    )]
    Invalid(String),
}

impl Address {
    /// Returns the default: `qsse-admin.sock` in the user's folder for such files,
    /// `$XDG_RUNTIME_DIR`; without one `/run/qsse/admin.sock`.
    pub fn default_path() -> PathBuf {
        match std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
            Some(folder) => PathBuf::from(folder).join("qsse-admin.sock"),
            None => PathBuf::from("/run/qsse/admin.sock"),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.contains('/') {
            return Ok(Self::Unix(text.into()));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().to_canonical().is_loopback() => Ok(Self::Loopback(address)),
            Ok(address) => Err(AddressError::NotLoopback(address)),
            Err(_) => Err(AddressError::Invalid(text.into())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Loopback(address) => address.fmt(f),
        }
    }
}
