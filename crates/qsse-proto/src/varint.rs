//! Numbers of variable length, and a reader of fields in borrowed bytes.

/// The longest number: 64 bits take ten groups of seven.
pub(crate) const MAX: usize = 10;

/// Why a field could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes end before the field does; more may come.
    Short,
    /// A number that does not fit into 64 bits.
    Overflow,
}

/// Reads fields one after another from the front of `rest`.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Stop> {
        let (&byte, rest) = self.rest.split_first().ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Stop::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads a length byte and that many bytes.
    #[inline]
    pub(crate) fn short_bytes(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.byte()?;
        self.bytes(usize::from(length))
    }

    /// Reads a number. Most have one or two bytes; the others take a separate call.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Stop> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Stop> {
        let mut value = 0;
        for (at, &byte) in self.rest.iter().take(MAX).enumerate() {
            // QP-2.2: the tenth byte holds the last bit.
            if at == MAX - 1 && byte > 1 {
                return Err(Stop::Overflow);
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(Stop::Short)
    }
}

/// Returns these numbers in their shortest forms, and the total length; `None` if that is over
/// eight.
///
/// They are assembled in a register. To read a word where bytes have just been written makes the
/// processor wait for all earlier writes, and a log's memory is far from the processor.
#[inline]
pub(crate) fn packed<const N: usize>(numbers: [u64; N]) -> Option<([u8; 8], usize)> {
    let (mut word, mut len) = (0, 0);
    for number in numbers {
        let (bytes, count) = match number {
            ..0x80 => (number, 1),
            0x80..0x4000 => (number & 0x7f | 0x80 | (number >> 7) << 8, 2),
            _ => return None,
        };
        if len + count > 8 {
            return None;
        }
        word |= bytes << (8 * len);
        len += count;
    }
    Some((word.to_le_bytes(), len))
}

/// Writes `value` at `at` in its shortest form (`QP-2.2`), and moves `at` past it.
#[inline]
pub(crate) fn put(buf: &mut [u8], at: &mut usize, mut value: u64) {
    while value >= 0x80 {
        buf[*at] = value as u8 | 0x80;
        *at += 1;
        value >>= 7;
    }
    buf[*at] = value as u8;
    *at += 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(value: u64) -> Vec<u8> {
        let (mut buf, mut len) = ([0; MAX], 0);
        put(&mut buf, &mut len, value);
        buf[..len].to_vec()
    }

    proptest! {
        #[test]
        fn packed_numbers_are_the_same_bytes(numbers in [0..300u64, 0..200, 0..20_000, 0..3, 0..20_000]) {
            let all = numbers.map(bytes).concat();
            match packed(numbers) {
                Some((word, len)) => prop_assert_eq!(&word[..len], &all),
                None => prop_assert!(all.len() > 8 || numbers.iter().any(|number| *number >= 0x4000)),
            }
        }
    }

    // QP-2.2
    #[test]
    fn numbers_have_the_bytes_of_the_protocol() {
        assert_eq!(bytes(0), [0]);
        assert_eq!(bytes(127), [0x7f]);
        assert_eq!(bytes(128), [0x80, 1]);
        assert_eq!(bytes(300), [0xac, 2]);
        assert_eq!(bytes(u64::MAX), [[0xff; 9].as_slice(), &[1]].concat());
    }

    // QP-2.2
    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        let mut over = [0xff; 10];
        over[9] = 2;
        assert_eq!(Reader::new(&over).varint(), Err(Stop::Overflow));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(Stop::Overflow));
        assert_eq!(Reader::new(&[0xff; 9]).varint(), Err(Stop::Short));
        assert_eq!(Reader::new(&[]).varint(), Err(Stop::Short));
    }

    proptest! {
        // QP-2.2: the same form as in control bodies.
        #[test]
        fn round_trip(value: u64, shift in 0..64, tail: [u8; 3]) {
            let value = value >> shift;
            let mut buf = bytes(value);
            prop_assert_eq!(&buf, &postcard::to_allocvec(&value).unwrap());
            for cut in 0..buf.len() {
                prop_assert_eq!(Reader::new(&buf[..cut]).varint(), Err(Stop::Short));
            }
            buf.extend(tail);
            let mut reader = Reader::new(&buf);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.rest, tail);
        }
    }
}
