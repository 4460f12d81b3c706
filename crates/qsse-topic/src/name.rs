//! [`Name`]: the text of a topic or pattern. A short one is stored in place.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

/// A text that is cloned often. A short one is copied, a long one is shared.
///
/// Reference counting costs more than copying the few bytes that most topics have. All fields are
/// whole words: a tag of one byte would make the compiler move the value in pieces, and a read in
/// other pieces right afterwards would stall.
#[derive(Clone)]
pub(crate) struct Name {
    /// The length of a short text.
    len: usize,
    short: Words,
    long: Option<Arc<Box<str>>>,
}

const SHORT_BYTES: usize = 24;

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Words([u8; SHORT_BYTES]);

impl Name {
    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        match &self.long {
            None => core::str::from_utf8(&self.short.0[..self.len])
                .expect("the bytes were those of a text"),
            Some(text) => text,
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        let mut name = Self {
            len: 0,
            short: Words([0; SHORT_BYTES]),
            long: None,
        };
        match name.short.0.get_mut(..text.len()) {
            Some(bytes) => {
                bytes.copy_from_slice(text.as_bytes());
                name.len = text.len();
            }
            None => name.long = Some(Arc::new(text.into())),
        }
        name
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
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
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_text_is_kept_whatever_its_length() {
        for count in 0..60 {
            for letter in ["x", "é", "🚲"] {
                let text = letter.repeat(count);
                let name = Name::from(&*text);
                assert_eq!(name.as_str(), text);
                assert_eq!(name.clone(), name);
                assert_eq!(format!("{name:?}"), format!("{text:?}"));
                assert_eq!(name.long.is_none(), text.len() <= SHORT_BYTES);
            }
        }
    }

    #[test]
    fn order_is_that_of_the_text() {
        let texts = ["", "a", "a.b", "ab", "b.a long text that is shared", "c"];
        assert!(texts.map(Name::from).is_sorted());
    }
}
