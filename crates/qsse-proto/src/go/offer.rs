//! What a client asks for.

use super::LineError;
use super::json::{nullable, parse};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The one line that a client writes: `{"token":…,"topics":[…]}` (`QP-12.2`).
///
/// Its `Debug` form shows nothing of the token.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    token: String,
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    topics: Vec<String>,
}

impl Offer {
    /// An offer; an empty token is none.
    pub fn new<T: Into<String>>(
        token: impl Into<String>,
        topics: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            token: token.into(),
            topics: topics.into_iter().map(Into::into).collect(),
        }
    }

    /// The secret, empty if there is none. It belongs in no log and no error.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The patterns wanted; not checked.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        parse(line)
    }

    /// The line, with its line break.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("texts are always JSON");
        line.push(b'\n');
        line
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}
