//! [`Refused`]: why the server refused something.

use qsse_proto::Code;

use crate::session::End;
use crate::session::subscribing::Refusal;

/// Why the server refused something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Refused {
    /// The kind of reason.
    pub code: Code,
    /// What is wrong, and what to do. It names only what the client may see.
    pub message: String,
}

impl Refused {
    pub(in crate::session) fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }
}

impl From<End> for Refused {
    fn from(end: End) -> Self {
        Self::new(end.code, end.reason)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}
