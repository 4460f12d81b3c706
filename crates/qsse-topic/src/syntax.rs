//! What may be written: the limits, the one check of names and patterns, and their segments.

use crate::error::ErrorKind;
use core::iter::FusedIterator;

/// The most bytes a topic or a pattern may have.
///
/// A length then fits in one byte, on the wire and in the matcher.
pub const MAX_TOPIC_BYTES: usize = 255;

/// The most segments a topic or a pattern may have.
///
/// It bounds the depth of every walk, so that a lookup needs no memory of its own.
pub const MAX_SEGMENTS: usize = 16;

/// Checks a topic (`wildcards` false) or a pattern (`wildcards` true) in one pass.
///
/// The error is the leftmost one, with the byte it starts at. A text of any length costs no more
/// than [`MAX_TOPIC_BYTES`] steps.
pub(crate) const fn check(text: &str, wildcards: bool) -> Result<(), (ErrorKind, usize)> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err((ErrorKind::Empty, 0));
    }
    let mut segment_start = 0;
    let mut segments = 1;
    let mut at = 0;
    while at < bytes.len() {
        if at == MAX_TOPIC_BYTES {
            // Back to the start of the character that does not fit.
            while bytes[at] & 0xc0 == 0x80 {
                at -= 1;
            }
            return Err((ErrorKind::TooLong, at));
        }
        match bytes[at] {
            b'.' if at == segment_start => return Err((ErrorKind::EmptySegment, at)),
            b'.' => {
                segment_start = at + 1;
                segments += 1;
                if segments > MAX_SEGMENTS {
                    return Err((ErrorKind::TooManySegments, segment_start));
                }
            }
            b'*' => {
                let whole = at == segment_start && (at + 1 == bytes.len() || bytes[at + 1] == b'.');
                if !(wildcards && whole) {
                    return Err((ErrorKind::Wildcard, at));
                }
            }
            0..0x20 | 0x7f => return Err((ErrorKind::ControlCharacter, at)),
            // U+0080 to U+009F, the second set of control characters, as UTF-8.
            0xc2 if bytes[at + 1] < 0xa0 => return Err((ErrorKind::ControlCharacter, at)),
            _ => {}
        }
        at += 1;
    }
    if segment_start == bytes.len() {
        return Err((ErrorKind::EmptySegment, segment_start));
    }
    Ok(())
}

/// The segments of a topic or a pattern, from either end.
///
/// Made by `segments()` of [`Topic`](crate::Topic), [`Pattern`](crate::Pattern) and their borrowed
/// forms. A wildcard of a pattern appears as the segment `*`.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    /// What is left; `None` once the last segment has gone.
    rest: Option<&'a str>,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: Some(text) }
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_none()
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        // Segments are short: a plain loop is quicker than setting up a searcher.
        match rest.bytes().position(|byte| byte == b'.') {
            Some(dot) => {
                self.rest = Some(&rest[dot + 1..]);
                Some(&rest[..dot])
            }
            None => self.rest.take(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.rest.is_some()), Some(MAX_SEGMENTS))
    }
}

impl DoubleEndedIterator for Segments<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        match rest.bytes().rposition(|byte| byte == b'.') {
            Some(dot) => {
                self.rest = Some(&rest[..dot]);
                Some(&rest[dot + 1..])
            }
            None => self.rest.take(),
        }
    }
}

impl FusedIterator for Segments<'_> {}

/// One segment of a pattern, by what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Exactly this segment.
    Literal(&'a str),
    /// A `*` with segments behind it: exactly one segment.
    Any,
    /// A `*` at the end: one or more segments.
    Tail,
}

/// The steps of a valid pattern.
pub(crate) fn steps(pattern: &str) -> impl Iterator<Item = Step<'_>> {
    let mut segments = Segments::new(pattern);
    core::iter::from_fn(move || {
        Some(match segments.next()? {
            "*" if segments.is_empty() => Step::Tail,
            "*" => Step::Any,
            literal => Step::Literal(literal),
        })
    })
}

/// Splits a pattern before its first wildcard; without one all of it are names.
///
/// Names that a wildcard follows end with their dot.
#[inline]
pub(crate) fn split_names(pattern: &str) -> (&str, &str) {
    let wildcard = pattern.bytes().position(|byte| byte == b'*');
    pattern.split_at(wildcard.unwrap_or(pattern.len()))
}
