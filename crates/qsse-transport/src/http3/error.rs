//! [`RequestError`]: why a request or an answer failed.

use h3::error::StreamError;
use qsse_proto::Code;

use crate::error::{ConnectionError, WriteError};

/// Why a request or an answer failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The peer gave it up.
    #[error("the peer cancelled the request: {0}")]
    Cancelled(Code),
    /// It is not what HTTP/3 permits.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Its head is longer than may be.
    #[error("the head has {bytes} bytes, of at most {limit}")]
    HeadTooLong {
        /// The bytes, as far as they were counted.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The connection ended.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl RequestError {
    pub(super) fn from_h3(error: StreamError) -> Self {
        match error {
            StreamError::RemoteTerminate { code } => Self::Cancelled(Code::new(code.value())),
            StreamError::StreamError { reason, .. } => Self::Malformed(reason),
            StreamError::HeaderTooBig {
                actual_size,
                max_size,
            } => Self::HeadTooLong {
                bytes: actual_size,
                limit: max_size,
            },
            other => Self::Connection(ConnectionError::Transport(other.to_string())),
        }
    }
}

impl From<WriteError> for RequestError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::Cancelled(code),
            WriteError::Connection(error) => Self::Connection(error),
            WriteError::Finished => Self::Malformed(error.to_string()),
        }
    }
}
