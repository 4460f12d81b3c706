//! [`BindError`]: why a server did not start.

use qsse_proto::limits::SettingError;
use qsse_topic::PatternError;
use qsse_transport::tls::TlsError;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address does not parse or could not be looked up.
    #[error("{address:?} is not an address to listen on: write it like 127.0.0.1:4242")]
    Address {
        /// What was given.
        address: String,
        /// What the resolver reported.
        source: std::io::Error,
    },
    /// A declared topic does not parse.
    #[error("the topic {topic:?} cannot be declared")]
    Topic {
        /// What was given.
        topic: String,
        /// What is wrong with it.
        source: PatternError,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The socket could not be bound.
    #[error(transparent)]
    Endpoint(#[from] qsse_transport::BindError),
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The threads of [`shards`](crate::ServerBuilder::shards) did not start.
    #[error("cannot start a thread for each shard")]
    Threads {
        /// What the system reported.
        source: std::io::Error,
    },
    /// The store cannot be used.
    #[cfg(feature = "store")]
    #[error("the store in {} cannot be used", .directory.display())]
    Store {
        /// Where it is.
        directory: std::path::PathBuf,
        /// What is wrong with it.
        source: qsse_log::disk::OpenError,
    },
}
