//! Texts for people, cut to their limits.

use crate::limits::{AGENT_BYTES, REASON_BYTES};
use serde::Serializer;

/// Serializes the reason beside a code (`QP-10.4`).
pub(crate) fn reason<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(cut(text, REASON_BYTES))
}

/// Serializes the name of a peer's software (`QP-4.3`).
pub(super) fn agent<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(cut(text, AGENT_BYTES))
}

/// Returns the longest prefix of at most `max` bytes that ends between characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("ab", 2), "ab");
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("é", 1), "");
    }
}
