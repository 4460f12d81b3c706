//! [`Guard`]: bounds the frames of a control stream.

use super::varint::{self, Integer};

/// Follows the frames of a control stream and bounds their length.
///
/// Without it, a peer could announce a frame of any length, and `h3` would wait for it with all of
/// it in memory.
#[derive(Debug)]
pub(super) struct Guard {
    limit: u64,
    at: At,
    integer: Integer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Kind,
    Length,
    Payload { left: u64 },
}

/// A frame is longer than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes, of at most {limit}")]
pub(super) struct FrameTooLong {
    length: u64,
    limit: u64,
}

impl Guard {
    /// Begins where a frame begins. Frames have at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit as u64,
            at: At::Kind,
            integer: Integer::default(),
        }
    }

    /// Follows the next bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), FrameTooLong> {
        while let Some(first) = bytes.first() {
            let used = match self.at {
                At::Payload { left } => {
                    let used = varint::at_most(bytes.len(), left);
                    self.payload(left - used as u64)?;
                    used
                }
                at => {
                    match (self.integer.push(*first), at) {
                        (Some(length), At::Length) => self.payload(length)?,
                        (Some(_), _) => self.at = At::Length,
                        (None, _) => {}
                    }
                    1
                }
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    fn payload(&mut self, left: u64) -> Result<(), FrameTooLong> {
        let limit = self.limit;
        self.at = match left {
            0 => At::Kind,
            left if left <= limit => At::Payload { left },
            length => return Err(FrameTooLong { length, limit }),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_a_limit_however_they_are_cut() {
        let mut bytes = vec![4, 3, 9, 9, 9, 0x40, 0x21, 0, 7, 0x40, 100];
        bytes.extend([0xff; 100]);
        bytes.extend([0x40, 0x21, 0x40, 101]);
        for step in 1..bytes.len() {
            let mut guard = Guard::new(100);
            let (whole, last) = bytes.split_at(bytes.len() - 1);
            let followed = whole.chunks(step).try_for_each(|part| guard.follow(part));
            assert_eq!(followed, Ok(()));
            let (length, limit) = (101, 100);
            assert_eq!(guard.follow(last), Err(FrameTooLong { length, limit }));
        }
    }
}
