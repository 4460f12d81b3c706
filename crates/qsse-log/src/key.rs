//! The keys of publishes.

use bytes::Bytes;

use crate::event::Appended;

/// The key of a publish. A second publish with the same key is a repetition of the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublishKey {
    scope: [u8; 16],
    key: Bytes,
}

impl PublishKey {
    /// Creates a key within a scope. Keys of different scopes are never equal.
    ///
    /// The scope stands for the principal and the name of the publisher.
    pub fn new(scope: [u8; 16], key: impl Into<Bytes>) -> Self {
        let key = key.into();
        Self { scope, key }
    }

    /// Returns the scope.
    pub fn scope(&self) -> [u8; 16] {
        self.scope
    }

    /// Returns the key without its scope.
    pub fn key(&self) -> &Bytes {
        &self.key
    }
}

/// Whether the log has already taken a publish that has a key or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The log has not taken it.
    New,
    /// The log has taken it, and these are its events; `None` if it reached no topic.
    Taken(Option<Appended>),
    /// The log has taken it, but no longer knows which events it became.
    TakenLongAgo,
    /// The publish is a retry, and the log no longer knows whether it took an earlier attempt.
    Unknown,
}
