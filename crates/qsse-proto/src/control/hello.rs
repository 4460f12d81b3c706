//! `Hello`: introduces the client.

use super::{Token, text};
use serde::{Deserialize, Serialize};

/// The first frame of a connection (`QP-4.2`).
///
/// ```text
/// 0x01 | features v | agent text | token ? text |
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The optional parts of the protocol that the client supports, one bit each. None is defined
    /// yet.
    pub features: u64,
    /// The name and version of the client's software, for logs. It is cut to 128 bytes when sent.
    #[serde(serialize_with = "text::agent")]
    pub agent: String,
    /// The token that the server's authenticator asks for.
    pub token: Option<Token>,
}
