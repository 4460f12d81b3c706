//! Bodies in postcard's format.

use super::{Frame, HEADER_BYTES, length_field};
use crate::error::DecodeError;
use bytes::Bytes;
use postcard::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Encodes `body` as a whole frame.
pub(crate) fn encode(kind: u8, body: &impl Serialize) -> Bytes {
    let mut out = vec![0; HEADER_BYTES];
    out[HEADER_BYTES - 1] = kind;
    let mut out = postcard::to_extend(body, out).expect("memory takes any frame");
    let length = length_field(out.len());
    out[..length.len()].copy_from_slice(&length);
    Bytes::from(out)
}

/// Decodes the body of a frame. Leftover bytes are an error (`QP-3.4`).
pub(crate) fn decode<T: DeserializeOwned>(frame: &Frame) -> Result<T, DecodeError> {
    let kind = frame.kind;
    let (value, rest) = postcard::take_from_bytes(&frame.body).map_err(|error| match error {
        Error::DeserializeUnexpectedEnd => DecodeError::Truncated {
            kind,
            offset: frame.body.len(),
        },
        error => DecodeError::Malformed {
            kind,
            what: describe(&error),
        },
    })?;
    if !rest.is_empty() {
        return Err(DecodeError::Leftover {
            kind,
            bytes: rest.len(),
        });
    }
    Ok(value)
}

const fn describe(error: &Error) -> &'static str {
    match error {
        Error::DeserializeBadVarint => "a number does not fit",
        Error::DeserializeBadBool => "a flag is neither 0 nor 1",
        Error::DeserializeBadOption => "a presence mark is neither 0 nor 1",
        Error::DeserializeBadEnum => "a choice is not one of the known ones",
        Error::DeserializeBadUtf8 | Error::DeserializeBadChar => "a text is not UTF-8",
        _ => "a value is not allowed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_value_is_named() {
        for (error, named) in [
            (Error::DeserializeBadVarint, "number"),
            (Error::DeserializeBadBool, "flag"),
            (Error::DeserializeBadOption, "presence"),
            (Error::DeserializeBadEnum, "choice"),
            (Error::DeserializeBadUtf8, "UTF-8"),
            (Error::DeserializeBadChar, "UTF-8"),
            (Error::SerdeDeCustom, "not allowed"),
        ] {
            let text = describe(&error);
            assert!(text.contains(named), "{error:?}: {text}");
        }
    }
}
