//! [`Closed`]: why a server ended.

use std::fmt;

/// Why a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// It was shut down, and every stream was written to its end.
    Drained,
    /// It was shut down, and the timeout passed first.
    DeadlinePassed,
    /// The last handle was dropped.
    Dropped,
    /// Its endpoint failed, or the thread of a shard ended.
    EndpointFailed,
    /// The tokio runtime that it was started on has ended.
    RuntimeEnded,
    /// A task of its own panicked, which is a bug.
    Panicked,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Drained => "shut down, every client has read to the end",
            Self::DeadlinePassed => {
                "shut down, the deadline passed before every client had read to the end"
            }
            Self::Dropped => "the last handle was dropped",
            Self::EndpointFailed => "its endpoint failed, or the thread of a shard ended",
            Self::RuntimeEnded => "the tokio runtime that it was started on ended",
            Self::Panicked => "a task of its own panicked, which is a bug",
        })
    }
}
