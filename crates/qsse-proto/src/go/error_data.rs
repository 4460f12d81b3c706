//! What the data of an error event is.

use super::LineError;
use super::json::{nullable, parse};
use crate::code::Code;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The field that says that events were lost.
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
    /// The five codes that the dialect knows (`QP-12.12`).
    pub const CODES: [Code; 5] = [
        Code::NOT_AUTHORISED,
        Code::TOPIC_NOT_AVAILABLE,
        Code::FAILED_TO_CREATE_STREAM,
        Code::FAILED_TO_SEND_OFFER,
        Code::UNKNOWN,
    ];

    /// An error without further data; a code that the dialect does not know becomes
    /// [`Code::UNKNOWN`].
    pub fn new(code: Code) -> Self {
        let known = Self::CODES.contains(&code);
        Self {
            code: if known { code } else { Code::UNKNOWN },
            data: Map::new(),
        }
    }

    /// The same about one topic, as the Go server says it.
    #[must_use = "the error that it is made from is used up"]
    pub fn with_topic(mut self, topic: impl Into<String>) -> Self {
        self.data.insert("topic".to_owned(), topic.into().into());
        self
    }

    /// Events were lost: how a server tells of a gap, which the dialect has no word for (`QP-12.10`).
    pub fn lost() -> Self {
        let mut lost = Self::new(Code::UNKNOWN);
        lost.data.insert(LOST.to_owned(), true.into());
        lost
    }

    /// Whether it says that events were lost.
    pub fn is_lost(&self) -> bool {
        self.data.get(LOST) == Some(&Value::Bool(true))
    }

    /// The topic that it is about, if it names one.
    pub fn topic(&self) -> Option<&str> {
        self.data.get("topic").and_then(Value::as_str)
    }

    /// What went wrong: any number that the peer sent.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What more there is to say.
    pub const fn data(&self) -> &Map<String, Value> {
        &self.data
    }

    /// Reads the data of an event.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(data: &[u8]) -> Result<Self, LineError> {
        parse(data)
    }

    /// The data for an event.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a map of JSON is always JSON")
    }
}

/// [`Code::UNKNOWN`], without further data.
impl Default for ErrorData {
    fn default() -> Self {
        Self::new(Code::UNKNOWN)
    }
}
