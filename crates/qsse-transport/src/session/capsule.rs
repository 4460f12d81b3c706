//! Capsules: the messages on the stream that opened a session (RFC 9297, section 3.2).

use std::mem;

use bytes::Bytes;
use qsse_proto::Code;

use super::put_varint;
use crate::error::printable;

/// The type of the capsule that closes a session.
const CLOSE: u64 = 0x2843;

/// The bytes of the code in it.
const CODE_BYTES: u64 = 4;

/// The most bytes of the reason in it.
const REASON_BYTES: u64 = 1_024;

const MOST_CLOSE_BYTES: u64 = CODE_BYTES + REASON_BYTES;

/// Returns the capsule that closes a session (QP-15.7).
pub(crate) fn close_capsule(code: Code, reason: &str) -> Bytes {
    let code = u32::try_from(code.get()).unwrap_or(u32::MAX);
    let mut capsule = Vec::with_capacity(8 + reason.len());
    put_varint(&mut capsule, CLOSE);
    put_varint(&mut capsule, CODE_BYTES + reason.len() as u64);
    capsule.extend(code.to_be_bytes());
    capsule.extend(reason.as_bytes());
    capsule.into()
}

/// How the peer closes a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: Code,
    pub(crate) reason: String,
}

/// A capsule that no session may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadCapsule;

/// Reads capsules from pieces of any size. It stores at most one close; the others are skipped as
/// they arrive, whatever length they claim.
#[derive(Debug, Default)]
pub(crate) struct Capsules {
    state: State,
    /// The beginning of a number, or of a close.
    partial: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Type,
    Length {
        of_close: bool,
    },
    /// So many bytes of a capsule that has no meaning here.
    Skip(u64),
    Close(u64),
}

impl Capsules {
    /// Reads what has arrived. Returns the close if it is complete.
    ///
    /// # Errors
    /// A close has a length that none can have, or its reason is not text.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<Option<Close>, BadCapsule> {
        while !bytes.is_empty() {
            match self.state {
                State::Type => {
                    if let Some(kind) = self.varint(&mut bytes) {
                        let of_close = kind == CLOSE;
                        self.state = State::Length { of_close };
                    }
                }
                State::Length { of_close } => {
                    if let Some(length) = self.varint(&mut bytes) {
                        self.state = body(of_close, length)?;
                    }
                }
                State::Skip(left) => {
                    let skipped = left.min(bytes.len() as u64);
                    bytes = &bytes[skipped as usize..];
                    self.state = match left - skipped {
                        0 => State::Type,
                        left => State::Skip(left),
                    };
                }
                State::Close(length) => {
                    let missing = length as usize - self.partial.len();
                    let (now, rest) = bytes.split_at(missing.min(bytes.len()));
                    self.partial.extend(now);
                    bytes = rest;
                    if self.partial.len() as u64 == length {
                        return read_close(&mem::take(&mut self.partial)).map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes a number from the front, once it is complete.
    fn varint(&mut self, bytes: &mut &[u8]) -> Option<u64> {
        while let Some((first, rest)) = bytes.split_first() {
            self.partial.push(*first);
            *bytes = rest;
            let length = 1 << (self.partial[0] >> 6);
            if self.partial.len() == length {
                let mut number = u64::from(self.partial[0] & 0x3f);
                for byte in &self.partial[1..] {
                    number = number << 8 | u64::from(*byte);
                }
                self.partial.clear();
                return Some(number);
            }
        }
        None
    }
}

/// Returns what follows the length of a capsule.
fn body(of_close: bool, length: u64) -> Result<State, BadCapsule> {
    match (of_close, length) {
        (true, CODE_BYTES..=MOST_CLOSE_BYTES) => Ok(State::Close(length)),
        (true, _) => Err(BadCapsule),
        (false, 0) => Ok(State::Type),
        (false, _) => Ok(State::Skip(length)),
    }
}

fn read_close(body: &[u8]) -> Result<Close, BadCapsule> {
    let (code, reason) = body.split_first_chunk().ok_or(BadCapsule)?;
    str::from_utf8(reason).map_err(|_| BadCapsule)?;
    Ok(Close {
        code: Code::new(u64::from(u32::from_be_bytes(*code))),
        reason: printable(reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Close>, BadCapsule> {
        let whole = Capsules::default().push(bytes);
        let mut capsules = Capsules::default();
        let mut pieces = Ok(None);
        for byte in bytes {
            pieces = capsules.push(&[*byte]);
            if !matches!(pieces, Ok(None)) {
                break;
            }
        }
        assert_eq!(whole, pieces, "it does not depend on how it arrives");
        whole
    }

    fn capsule(kind: u64, length: u64, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, kind);
        put_varint(&mut bytes, length);
        bytes.extend(body);
        bytes
    }

    // QP-15.7.
    #[test]
    fn a_close_has_a_code_and_a_reason() {
        let closed = |code, reason: &str| {
            let reason = reason.into();
            Ok(Some(Close { code, reason }))
        };
        for (code, reason) in [
            (Code::NO_ERROR, ""),
            (Code::TOKEN_EXPIRED, "it has expired"),
        ] {
            assert_eq!(read(&close_capsule(code, reason)), closed(code, reason));
        }
        let disturbing = close_capsule(Code::BUSY, "a\u{1b}[31m");
        assert_eq!(read(&disturbing), closed(Code::BUSY, "a\u{fffd}[31m"));
        let large = close_capsule(Code::new(u64::MAX), "");
        assert_eq!(read(&large), closed(Code::new(u64::from(u32::MAX)), ""));
    }

    #[test]
    fn other_capsules_are_skipped_whatever_they_claim() {
        let mut bytes = capsule(0x78ae, 0, b"");
        bytes.extend(capsule(0x17, 70, &[7; 70]));
        bytes.extend(close_capsule(Code::BUSY, "x"));
        let code = Code::BUSY;
        let reason = "x".into();
        assert_eq!(read(&bytes), Ok(Some(Close { code, reason })));

        let mut capsules = Capsules::default();
        let huge = capsule(0x17, (1 << 62) - 1, &[0; 100]);
        assert_eq!(capsules.push(&huge), Ok(None));
        assert_eq!(capsules.push(&[0; 1 << 16]), Ok(None));
        assert_eq!(
            capsules.partial.capacity().min(64),
            capsules.partial.capacity()
        );
    }

    #[test]
    fn a_close_of_a_wrong_length_or_without_text_is_refused() {
        for length in [0, 3, 1_029, (1 << 62) - 1] {
            assert_eq!(read(&capsule(CLOSE, length, &[0; 64])), Err(BadCapsule));
        }
        let longest = [b'x'; 1_028];
        assert!(matches!(
            read(&capsule(CLOSE, 1_028, &longest)),
            Ok(Some(_))
        ));
        let bytes = capsule(CLOSE, 5, &[0, 0, 0, 0, 0xff]);
        assert_eq!(read(&bytes), Err(BadCapsule));
    }
}
