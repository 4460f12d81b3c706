//! Reading a line without trusting it.

use super::DEPTH;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

/// A line that could not be read.
///
/// It never holds anything of the line: that may be a token (`QP-12.4`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line has more bytes than are allowed; said before they are kept.
    #[error("line is longer than {limit} bytes: send less in one")]
    TooLong {
        /// What is allowed, without the line break.
        limit: usize,
    },
    /// The line is not UTF-8.
    #[error("line is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The first bad byte.
        offset: usize,
    },
    /// Arrays and objects nest too deep.
    #[error("line nests deeper than {DEPTH} levels")]
    TooDeep,
    /// The line is not JSON.
    #[error("line is not JSON at column {column}")]
    NotJson {
        /// Where, counted from 1.
        column: usize,
    },
    /// The line is JSON, but not what belongs here: a field has another type, or twice.
    #[error("line is JSON of another shape, from column {column}")]
    WrongShape {
        /// Where, counted from 1.
        column: usize,
    },
}

/// Reads a line, with or without its line break.
pub(super) fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, LineError> {
    let text = std::str::from_utf8(line).map_err(|error| LineError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    if depth(line) > DEPTH {
        return Err(LineError::TooDeep);
    }
    // An array would do for a struct's fields in their order: not in this dialect.
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

/// For fields: `null` is what Go writes for nothing (`QP-12.3`).
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// How deep brackets nest outside of strings.
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
