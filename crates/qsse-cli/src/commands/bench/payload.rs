//! [`Payload`]: the data of a load's event. It tells a receiver how late the event is and which
//! ones are missing.
//!
//! ```text
//!  0      4        8     16       24     32
//!  ├ QSSB ┼ source ┼ run ┼ number ┼ time ┼ dots up to the size wanted
//! ```
//!
//! All numbers are little-endian.

/// The bytes of a payload, and so the least size of an event.
pub(super) const MIN_BYTES: usize = 32;

const MAGIC: [u8; 4] = *b"QSSB";

/// Identifies an event of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    /// Publisher and topic. Each has its own sequence of numbers.
    pub(super) source: u32,
    /// The random id of the load.
    pub(super) run: u64,
    pub(super) number: u64,
    /// When the event was due, in nanoseconds since 1970.
    pub(super) due: u64,
}

impl Payload {
    /// Writes the payload to the start of `data`, which must have at least [`MIN_BYTES`].
    pub(super) fn write(&self, data: &mut [u8]) {
        data[..4].copy_from_slice(&MAGIC);
        data[4..8].copy_from_slice(&self.source.to_le_bytes());
        for (place, number) in
            data[8..MIN_BYTES]
                .chunks_exact_mut(8)
                .zip([self.run, self.number, self.due])
        {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// Reads the payload of an event; `None` if the event does not belong to a load.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (magic, rest) = data.split_first_chunk::<4>()?;
        let (source, rest) = rest.split_first_chunk::<4>()?;
        let (run, rest) = rest.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (due, _) = rest.split_first_chunk::<8>()?;
        (*magic == MAGIC).then(|| Self {
            source: u32::from_le_bytes(*source),
            run: u64::from_le_bytes(*run),
            number: u64::from_le_bytes(*number),
            due: u64::from_le_bytes(*due),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is_taken_for_it() {
        let payload = Payload {
            source: 7,
            run: u64::MAX - 1,
            number: 1 << 40,
            due: 3,
        };
        let mut data = [b'.'; MIN_BYTES + 3];
        payload.write(&mut data);
        assert_eq!(Payload::read(&data), Some(payload));
        assert_eq!(&data[MIN_BYTES..], b"...");
        assert_eq!(Payload::read(&data[..MIN_BYTES - 1]), None, "too short");
        data[0] = b'q';
        assert_eq!(Payload::read(&data), None, "of no load");
    }
}
