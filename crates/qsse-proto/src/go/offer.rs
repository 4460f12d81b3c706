//! [`Offer`]: what a client asks for.

use super::LineError;
use super::json::{nullable, parse};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The only line that a client writes: `{"token":…,"topics":[…]}` (`QP-12.2`).
///
/// `Debug` does not show the token.
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
    /// Creates an offer. An empty token means none.
    pub fn new<T: Into<String>>(
        token: impl Into<String>,
        topics: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            token: token.into(),
            topics: topics.into_iter().map(Into::into).collect(),
        }
    }

    /// Returns the token; empty if there is none. It must not appear in logs or errors.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns the patterns, unchecked.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Parses a line.
    ///
    /// # Errors
    /// The line is invalid. The error contains no text of it.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        parse(line)
    }

    /// Returns the line with its line break.
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
