//! [`ErrorData`]: the data of an error event.

use super::LineError;
use super::json::{nullable, parse};
use crate::code::Code;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The field that reports lost events.
const LOST: &str = "lost";

/// An error: `{"code":…,"data":{…}}` with one of the Go library's five codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorData {
    #[serde(default, deserialize_with = "nullable")]
    code: Code,
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Map::is_empty"
    )]
    data: Map<String, Value>,
}

impl ErrorData {
    /// The five codes of the dialect (`QP-12.12`).
    pub const CODES: [Code; 5] = [
        Code::NOT_AUTHORISED,
        Code::TOPIC_NOT_AVAILABLE,
        Code::FAILED_TO_CREATE_STREAM,
        Code::FAILED_TO_SEND_OFFER,
        Code::UNKNOWN,
    ];

    /// Creates an error without further data. A code that the dialect does not have becomes
    /// [`Code::UNKNOWN`].
    pub fn new(code: Code) -> Self {
        let known = Self::CODES.contains(&code);
        Self {
            code: if known { code } else { Code::UNKNOWN },
            data: Map::new(),
        }
    }

    /// Adds the topic that the error is about, as the Go server does.
    #[must_use = "the error that it is made from is used up"]
    pub fn with_topic(mut self, topic: impl Into<String>) -> Self {
        self.data.insert("topic".to_owned(), topic.into().into());
        self
    }

    /// Creates the report that events were lost. The dialect has no gaps, so a server reports them
    /// this way (`QP-12.10`).
    pub fn lost() -> Self {
        let mut lost = Self::new(Code::UNKNOWN);
        lost.data.insert(LOST.to_owned(), true.into());
        lost
    }

    /// Returns whether it reports lost events.
    pub fn is_lost(&self) -> bool {
        self.data.get(LOST) == Some(&Value::Bool(true))
    }

    /// Returns the topic that the error is about, if it names one.
    pub fn topic(&self) -> Option<&str> {
        self.data.get("topic").and_then(Value::as_str)
    }

    /// Returns the code: any number that the peer sent.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Returns the further data.
    pub const fn data(&self) -> &Map<String, Value> {
        &self.data
    }

    /// Parses the data of an event.
    ///
    /// # Errors
    /// The data is not a valid error.
    pub fn parse(data: &[u8]) -> Result<Self, LineError> {
        parse(data)
    }

    /// Returns the data of an event for this error.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a map of JSON is always JSON")
    }
}

/// Returns [`Code::UNKNOWN`] without further data.
impl Default for ErrorData {
    fn default() -> Self {
        Self::new(Code::UNKNOWN)
    }
}
