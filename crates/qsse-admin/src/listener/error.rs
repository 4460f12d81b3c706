//! [`ListenError`]: why the administration does not listen.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::address::Address;

/// Why the administration does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A port needs a token: every user of the machine can reach it.
    #[error("{0} needs an admin token: every user of this machine can reach it")]
    NoToken(SocketAddr),
    /// Another process listens there.
    #[error("another server is administered at {}", .0.display())]
    InUse(PathBuf),
    /// The path is something else than a socket.
    #[error("{} exists and is no socket: choose another path, or remove it", .0.display())]
    NoSocket(PathBuf),
    /// This system has no Unix sockets.
    #[error("this system has no Unix sockets: use a port of loopback")]
    NoUnixSockets,
    /// The system refuses.
    #[error("cannot listen on {address} for administration: {source}")]
    Io {
        /// Where.
        address: Address,
        /// What it says.
        source: io::Error,
    },
}

impl ListenError {
    pub(super) fn io(address: &Address, source: io::Error) -> Self {
        let address = address.clone();
        Self::Io { address, source }
    }
}
