//! `Hello`: who is there.

use super::{Token, text};
use serde::{Deserialize, Serialize};

/// The first frame of a connection (`QP-4.2`).
///
/// ```text
/// 0x01 | features v | agent text | token ? text |
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Which optional parts of the protocol the client knows, one bit each; none is defined yet.
    pub features: u64,
    /// The name and version of the client's software, for logs. Cut to 128 bytes when sent.
    #[serde(serialize_with = "text::agent")]
    pub agent: String,
    /// What the server's authenticator asks for.
    pub token: Option<Token>,
}
