//! Durations in configurations, as people write them: `30s`, `500ms`, `1m 30s`.
//!
//! For `#[serde(with = …)]` on the settings of the crates above this one.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::time::Duration;

/// Writes a duration.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*value))
}

/// Reads a duration.
///
/// # Errors
/// The text is not a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?)
}

/// The same for a setting that may be absent.
pub mod optional {
    use super::*;

    /// Writes a duration, or none.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => {
                serializer.serialize_some(&humantime::format_duration(*value).to_string())
            }
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration, or none.
    ///
    /// # Errors
    /// The text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| parse(&text))
            .transpose()
    }
}

fn parse<E: Error>(text: &str) -> Result<Duration, E> {
    humantime::parse_duration(text).map_err(|_| {
        E::custom(format_args!(
            "{text:?} is not a duration: write a number and a unit, as in \"30s\" or \"500ms\""
        ))
    })
}
