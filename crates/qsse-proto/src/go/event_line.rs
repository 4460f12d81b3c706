//! [`EventLine`]: one event.

use super::json::{nullable, parse};
use super::{ERROR_TOPIC, ErrorData, LineError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

/// A line from a server: `{"topic":…,"data":"<base64>"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EventLine {
    #[serde(default, deserialize_with = "nullable")]
    topic: String,
    #[serde(default, deserialize_with = "base64")]
    data: Bytes,
}

impl EventLine {
    /// Creates an event on this topic.
    pub fn new(topic: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            data: data.into(),
        }
    }

    /// Creates an event that reports an error.
    pub fn error(error: &ErrorData) -> Self {
        Self::new(ERROR_TOPIC, error.to_json())
    }

    /// Returns the topic, unchecked.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns the decoded data.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// Returns the error, if the event reports one. Unreadable data counts as
    /// [`Code::UNKNOWN`](crate::Code::UNKNOWN), as in the Go client (`QP-12.16`).
    pub fn as_error(&self) -> Option<ErrorData> {
        (self.topic == ERROR_TOPIC).then(|| ErrorData::parse(&self.data).unwrap_or_default())
    }

    /// Parses a line.
    ///
    /// # Errors
    /// The line is invalid.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        parse(line)
    }

    /// Returns the line with its line break.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        write_event(&mut line, &self.topic, &self.data);
        line
    }
}

/// Appends the line of an event to `out`, with its line break.
pub fn write_event(out: &mut Vec<u8>, topic: &str, data: &[u8]) {
    #[derive(Serialize)]
    struct Head<'a> {
        topic: &'a str,
    }

    // All room is reserved at once, and the data is encoded in place, without a second copy.
    out.reserve(data.len().div_ceil(3) * 4 + topic.len() + 32);
    serde_json::to_writer(&mut *out, &Head { topic }).expect("memory takes any text");
    if !data.is_empty() {
        out.pop();
        out.extend_from_slice(b",\"data\":\"");
        let start = out.len();
        out.resize(start + data.len().div_ceil(3) * 4, 0);
        let written = STANDARD
            .encode_slice(data, &mut out[start..])
            .expect("the room is that of the encoded data");
        out.truncate(start + written);
        out.extend_from_slice(b"\"}");
    }
    out.push(b'\n');
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let data = STANDARD.decode(text.unwrap_or_default());
    data.map(Bytes::from)
        .map_err(|_| de::Error::custom("not base64"))
}
