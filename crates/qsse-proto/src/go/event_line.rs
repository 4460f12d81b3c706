//! One event.

use super::json::{nullable, parse};
use super::{ERROR_TOPIC, ErrorData, LineError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

/// A line that a server writes: `{"topic":…,"data":"<base 64>"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EventLine {
    #[serde(default, deserialize_with = "nullable")]
    topic: String,
    #[serde(default, deserialize_with = "base64")]
    data: Bytes,
}

impl EventLine {
    /// An event on that topic.
    pub fn new(topic: impl Into<String>, data: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            data: data.into(),
        }
    }

    /// An event that tells of an error.
    pub fn error(error: &ErrorData) -> Self {
        Self::new(ERROR_TOPIC, error.to_json())
    }

    /// The topic; not checked.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The data, decoded.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The error that this is, if it is one. One that cannot be read is
    /// [`Code::UNKNOWN`](crate::Code::UNKNOWN), as the Go client takes it (`QP-12.16`).
    pub fn as_error(&self) -> Option<ErrorData> {
        (self.topic == ERROR_TOPIC).then(|| ErrorData::parse(&self.data).unwrap_or_default())
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        parse(line)
    }

    /// The line, with its line break.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        write_event(&mut line, &self.topic, &self.data);
        line
    }
}

/// Appends the line of an event, with its line break, to `out`.
pub fn write_event(out: &mut Vec<u8>, topic: &str, data: &[u8]) {
    #[derive(Serialize)]
    struct Head<'a> {
        topic: &'a str,
    }

    // Room for the text is made at once; the data goes in behind it without a copy of its own.
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
        .map_err(|_| de::Error::custom("not base 64"))
}
