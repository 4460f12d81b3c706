//! The limits on topics and patterns.

/// The most bytes that a topic or a pattern may have.
///
/// A length fits into one byte, on the wire and in the matcher.
pub const MAX_TOPIC_BYTES: usize = 255;

/// The most segments that a topic or a pattern may have.
///
/// It bounds the depth of every walk, so a lookup needs no memory of its own.
pub const MAX_SEGMENTS: usize = 16;
