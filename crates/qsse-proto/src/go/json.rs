//! Parses untrusted lines.

use super::DEPTH;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

/// Why a line could not be parsed.
///
/// It never contains text of the line, which may be a token (`QP-12.4`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line is over the limit. This is reported before the bytes are stored.
    #[error("line is longer than {limit} bytes: send less in one")]
    TooLong {
        /// The limit, without the line break.
        limit: usize,
    },
    /// The line is not UTF-8.
    #[error("line is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The offset of the first invalid byte.
        offset: usize,
    },
    /// Arrays and objects nest too deeply.
    #[error("line nests deeper than {DEPTH} levels")]
    TooDeep,
    /// The line is not JSON.
    #[error("line is not JSON at column {column}")]
    NotJson {
        /// The column, counted from 1.
        column: usize,
    },
    /// The line is JSON of another shape: a field has another type, or occurs twice.
    #[error("line is JSON of another shape, from column {column}")]
    WrongShape {
        /// The column, counted from 1.
        column: usize,
    },
}

/// Parses a line, with or without its line break.
pub(super) fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, LineError> {
    let text = std::str::from_utf8(line).map_err(|error| LineError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    if depth(line) > DEPTH {
        return Err(LineError::TooDeep);
    }
    // serde also reads a struct from an array of its fields. This dialect does not.
    if text.trim_start().starts_with('[') {
        return Err(LineError::WrongShape { column: 1 });
    }
    serde_json::from_str(text).map_err(|error| {
        let column = error.column();
        if error.is_data() {
            LineError::WrongShape { column }
        } else {
            LineError::NotJson { column }
        }
    })
}

/// Reads a field in which Go writes `null` for an empty value (`QP-12.3`).
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Returns how deep brackets nest outside strings.
fn depth(line: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string<'a>(bytes: &mut impl Iterator<Item = &'a u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => _ = bytes.next(),
            _ => {}
        }
    }
}
