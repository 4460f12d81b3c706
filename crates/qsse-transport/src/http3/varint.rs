//! Integers as QUIC writes them (RFC 9000, section 16).

use bytes::{Bytes, BytesMut};

use crate::recv::RecvStream;

/// Returns how many bytes an integer has, from the first of them.
pub(super) fn length(first: u8) -> usize {
    1 << (first >> 6)
}

/// Returns an integer from all of its bytes.
pub(super) fn decode(bytes: &[u8]) -> u64 {
    let whole = bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    // The two highest bits are the length.
    whole & (u64::MAX >> (66 - 8 * bytes.len().min(8)))
}

/// Writes an integer of at most 62 bits in as few bytes as possible.
pub(super) fn put(value: u64, out: &mut BytesMut) {
    let bytes = value.to_be_bytes();
    let (length, tag) = match value {
        0..0x40 => (1, 0),
        0x40..0x4000 => (2, 0x40),
        0x4000..0x4000_0000 => (4, 0x80),
        _ => (8, 0xc0),
    };
    let start = out.len();
    out.extend_from_slice(&bytes[8 - length..]);
    out[start] |= tag;
}

/// An integer whose bytes come one by one.
#[derive(Debug, Default)]
pub(super) struct Integer {
    bytes: [u8; 8],
    have: usize,
}

impl Integer {
    /// Adds a byte. Returns the integer if it was the last one; the next byte begins another.
    pub(super) fn push(&mut self, byte: u8) -> Option<u64> {
        self.bytes[self.have] = byte;
        self.have += 1;
        if self.have < length(self.bytes[0]) {
            return None;
        }
        let have = std::mem::take(&mut self.have);
        Some(decode(&self.bytes[..have]))
    }

    /// Returns whether no integer has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.have == 0
    }
}

/// Returns the smaller number.
pub(super) fn at_most(length: usize, left: u64) -> usize {
    usize::try_from(left).map_or(length, |left| length.min(left))
}

/// Reads an integer and nothing after it. Returns it with its bytes; `None` if the stream ended.
pub(super) async fn read(stream: &mut RecvStream) -> Option<(u64, Bytes)> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes[..1]).await.ok()?;
    let length = length(bytes[0]);
    stream.read_exact(&mut bytes[1..length]).await.ok()?;
    let bytes = &bytes[..length];
    Some((decode(bytes), Bytes::copy_from_slice(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_all_lengths_come_back() {
        // The examples of RFC 9000, appendix A.1.
        for (bytes, value) in [
            (&[0x25][..], 37),
            (&[0x40, 0x25], 37),
            (&[0x7b, 0xbd], 15_293),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
                151_288_809_941_952_652,
            ),
        ] {
            assert_eq!(length(bytes[0]), bytes.len());
            assert_eq!(decode(bytes), value);
        }
        for value in [
            0,
            0x3f,
            0x40,
            0x3fff,
            0x4000,
            0x3fff_ffff,
            0x4000_0000,
            (1 << 62) - 1,
        ] {
            let mut out = BytesMut::from(&b"before"[..]);
            put(value, &mut out);
            let bytes = &out[6..];
            assert_eq!((length(bytes[0]), decode(bytes)), (bytes.len(), value));
        }
    }
}
