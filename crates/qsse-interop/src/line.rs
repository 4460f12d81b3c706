//! The lines that Go peers print.

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// A line of a Go client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    /// The constructor returned, and handlers are set.
    Ready,
    Event {
        /// The pattern that matched: that is what handlers are given.
        topic: String,
        data: Vec<u8>,
        /// Whether a handler of its own took it, or the one for the rest.
        via: String,
    },
    Error {
        code: u64,
        data: Value,
    },
    Tally(Tally),
}

/// What a client that only counts has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) in_order: bool,
    pub(crate) missing: u64,
    pub(crate) ms: u64,
}

impl Line {
    pub(crate) fn event(topic: &str, data: impl AsRef<[u8]>, via: &str) -> Self {
        Self::Event {
            topic: topic.to_owned(),
            data: data.as_ref().to_owned(),
            via: via.to_owned(),
        }
    }

    pub(crate) fn error(code: u64, key: &str, value: impl Into<Value>) -> Self {
        let data = Value::Object([(key.to_owned(), value.into())].into_iter().collect());
        Self::Error { code, data }
    }

    /// Reads a line of standard output.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line)?;
        if let Some(tally) = value.get("tally") {
            return Ok(Self::Tally(serde_json::from_value(tally.clone())?));
        }
        if let Some(error) = value.get("error") {
            return Ok(Self::Error {
                code: error["code"].as_u64().context("a code")?,
                data: error["data"].clone(),
            });
        }
        if value.get("ready").is_some() {
            return Ok(Self::Ready);
        }
        let text = |key: &str| value[key].as_str().unwrap_or_default();
        Ok(Self::Event {
            topic: text("topic").to_owned(),
            data: BASE64_STANDARD.decode(text("data"))?,
            via: text("via").to_owned(),
        })
    }

    /// Reads a line of the library's log: what came in before the peer had set its handlers went
    /// there.
    pub(crate) fn from_log(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("code: ")?;
        let (code, rest) = rest.split_once(", data: map[")?;
        let (key, value) = rest.strip_suffix(']')?.split_once(':')?;
        let value = match value {
            "true" => Value::Bool(true),
            text => Value::from(text),
        };
        Some(Self::error(code.parse().ok()?, key, value))
    }
}
