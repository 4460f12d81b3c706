//! The errors: one enum per operation, without quinn's types.

use std::io;
use std::net::SocketAddr;

use qsse_proto::limits::SettingError;
use qsse_proto::{Code, DecodeError};

mod certificate;
mod connect;
mod connection;
mod text;
mod tls;

pub use certificate::CertificateProblem;
pub(crate) use certificate::{NotInFile, is_authority};
pub use connect::ConnectError;
pub use connection::ConnectionError;
pub(crate) use text::{cut, printable};
pub use tls::TlsError;

/// Why an endpoint could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket has the port.
    #[error(
        "{address} is in use by another program: stop it, or listen on another port (0 lets the system \
         choose)"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address does not belong to this machine.
    #[error(
        "{address} is not an address of this machine: listen on one that it has, on 127.0.0.1, or on \
         0.0.0.0 for all"
    )]
    NotLocal {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system does not permit this user to use the port.
    #[error(
        "listening on {address} is not permitted: ports below 1024 often need a privilege, so use a \
         higher one"
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
        /// The number of shards that was asked for.
        asked: usize,
        /// The largest number of shards.
        limit: usize,
    },
    /// Several shards were asked for on a system that cannot distribute packets by connection id.
    #[error("several shards need Linux: use one shard on this system")]
    ShardsUnsupported,
    /// No tokio runtime is running. The endpoint needs its I/O and timers.
    #[error("no tokio runtime is running: call this from within one")]
    NoRuntime,
    /// The system refused the socket for another reason.
    #[error("cannot listen on {address}")]
    Io {
        /// The address asked for.
        address: SocketAddr,
        /// The system's error.
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
    /// The client was silent while others waited for its place.
    #[error("the client was silent while too many others wanted to connect")]
    Displaced,
    /// The client speaks none of the offered protocols.
    #[error("the client speaks none of the server's protocols")]
    AlpnMismatch,
    /// The connection failed first. For example, the client refused the certificate.
    #[error(transparent)]
    Connection(ConnectionError),
}

/// Why reading from a stream failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer abandoned the stream. What it has sent may be incomplete.
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
    /// The peer wants no more data on this stream.
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
    /// The bytes are not a frame, or a frame is over the limit. Close the connection with the
    /// error's code.
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
    /// Returns the code to close the connection with, if the peer is at fault; `None` if the stream
    /// was reset or the connection has already ended.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Decode(error) => Some(error.code()),
            Self::Truncated => Some(Code::PROTOCOL_VIOLATION),
            Self::Read(_) => None,
        }
    }
}

impl ReadError {
    pub(crate) fn from_quinn(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::Reset(code) => Self::Reset(crate::quic::code(code)),
            quinn::ReadError::ConnectionLost(error) => {
                Self::Connection(ConnectionError::from_quinn(error))
            }
            // Only misuse could lead here, and this crate's types around quinn's rule that out.
            other => Self::Connection(ConnectionError::Transport(other.to_string())),
        }
    }
}

impl WriteError {
    pub(crate) fn from_quinn(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::Stopped(code) => Self::Stopped(crate::quic::code(code)),
            quinn::WriteError::ConnectionLost(error) => {
                Self::Connection(ConnectionError::from_quinn(error))
            }
            quinn::WriteError::ClosedStream => Self::Finished,
            other => Self::Connection(ConnectionError::Transport(other.to_string())),
        }
    }
}
