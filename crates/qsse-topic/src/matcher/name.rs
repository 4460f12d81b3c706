//! [`Name`]: the name of a child. A short one is stored in place, without a pointer.

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::hash::{Hash, Hasher};

/// Longer names would make every child larger, and few segments are longer.
const SHORT_BYTES: usize = 22;

/// A segment as a key. It compares, orders and hashes like its bytes, so a map can be queried with
/// a `&[u8]`.
#[derive(Clone)]
pub(super) enum Name {
    Short { len: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

impl Name {
    pub(super) fn new(segment: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match bytes.get_mut(..segment.len()) {
            Some(start) => {
                start.copy_from_slice(segment.as_bytes());
                Self::Short {
                    len: segment.len() as u8,
                    bytes,
                }
            }
            None => Self::Long(segment.as_bytes().into()),
        }
    }

    #[inline]
    pub(super) fn is(&self, segment: &str) -> bool {
        self.as_bytes() == segment.as_bytes()
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Name {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Name {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Name {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}
