//! What can go wrong: one enum per operation, none of them quinn's.

use std::io;
use std::net::SocketAddr;

use qsse_proto::limits::SettingError;
use qsse_proto::{Code, DecodeError};

use crate::tls::TlsError;

mod connect;
mod connection;
mod text;

pub use connect::{CertificateProblem, ConnectError};
pub use connection::ConnectionError;
pub(crate) use text::{cut, printable};

/// Why an endpoint could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket has the port.
    #[error(
        "{address} is in use by another program: stop it, or listen on another port (0 lets the system choose)"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address is not one of this machine's.
    #[error(
        "{address} is not an address of this machine: listen on one it has, on 127.0.0.1, or on 0.0.0.0 for all"
    )]
    NotLocal {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system does not allow the port to this user.
    #[error(
        "listening on {address} is not permitted: ports below 1024 often need a privilege, take a higher one"
    )]
    Denied {
        /// The address asked for.
        address: SocketAddr,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The TLS configuration cannot serve QUIC.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// More or fewer shards than a server can have.
    #[error("a server has 1 to {limit} shards, not {asked}")]
    Shards {
        /// How many were asked for.
        asked: usize,
        /// How many there may be at most.
        limit: usize,
    },
    /// Several shards on a system that cannot tell them apart by connection id.
    #[error("several shards need Linux: serve with one here")]
    ShardsUnsupported,
    /// Called outside a tokio runtime, whose I/O and timers the endpoint needs.
    #[error("no tokio runtime is running here: call this from within one")]
    NoRuntime,
    /// The system refused the socket for another reason.
    #[error("cannot listen on {address}")]
    Io {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    pub(crate) fn io(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { address },
            io::ErrorKind::PermissionDenied => Self::Denied { address },
            _ => Self::Io { address, source },
        }
    }
}

/// Why a server did not complete a handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The client did not finish within the deadline.
    #[error("the client did not finish its handshake in time")]
    TimedOut,
    /// The client speaks none of the offered protocols.
    #[error("the client speaks none of the protocols served here")]
    AlpnMismatch,
    /// The connection failed first, for instance because the client refused the certificate.
    #[error(transparent)]
    Connection(ConnectionError),
}

/// Why reading from a stream failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer abandoned the stream; what it had sent may be incomplete.
    #[error("the peer reset the stream: {0}")]
    Reset(Code),
    /// The connection ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Why writing to a stream failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer wants no more of this stream.
    #[error("the peer stopped the stream: {0}")]
    Stopped(Code),
    /// The stream has been finished or reset on this side.
    #[error("the stream is already finished or reset")]
    Finished,
    /// The connection ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Why the next frame could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are no frame, or one beyond the limit. Close the connection with the error's code.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// The stream or its connection failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl FrameError {
    /// The code to close the connection with, where the peer is at fault; `None` when the stream
    /// was reset or the connection has ended already.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Decode(error) => Some(error.code()),
            Self::Truncated => Some(Code::PROTOCOL_VIOLATION),
            Self::Read(_) => None,
        }
    }
}

impl From<quinn::ReadError> for ReadError {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::Reset(code) => Self::Reset(crate::quic::code(code)),
            quinn::ReadError::ConnectionLost(error) => Self::Connection(error.into()),
            // Only our own earlier calls could lead here; the types around quinn's rule them out.
            other => Self::Connection(ConnectionError::Transport(other.to_string())),
        }
    }
}

impl From<quinn::WriteError> for WriteError {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::Stopped(code) => Self::Stopped(crate::quic::code(code)),
            quinn::WriteError::ConnectionLost(error) => Self::Connection(error.into()),
            quinn::WriteError::ClosedStream => Self::Finished,
            other => Self::Connection(ConnectionError::Transport(other.to_string())),
        }
    }
}
