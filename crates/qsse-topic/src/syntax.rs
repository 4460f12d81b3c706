//! The syntax of topics and patterns: its check, and their segments.

use crate::error::ErrorKind;
use crate::limits::{MAX_SEGMENTS, MAX_TOPIC_BYTES};
use core::iter::FusedIterator;

/// Checks a topic (`wildcards` false) or a pattern (`wildcards` true) in one pass.
///
/// Returns the first error and its byte offset. A text of any length takes at most
/// [`MAX_TOPIC_BYTES`] steps.
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
            // Go back to the start of the character that does not fit.
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
            // U+0080 to U+009F in UTF-8: the second set of control characters.
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

/// An iterator over the segments of a topic or a pattern, from either end.
///
/// `segments()` of [`Topic`](crate::Topic), [`Pattern`](crate::Pattern) and their borrowed forms
/// returns it. A wildcard of a pattern is the segment `*`.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    /// The remaining text; `None` after the last segment.
    rest: Option<&'a str>,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: Some(text) }
    }

    /// Returns whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_none()
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        // Segments are short, so a plain loop is faster than a searcher.
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

/// One segment of a pattern, by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Exactly this segment.
    Literal(&'a str),
    /// A `*` that is not the last segment: exactly one segment.
    Any,
    /// A `*` at the end: one or more segments.
    Tail,
}

/// Returns the steps of a valid pattern.
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

/// Splits a pattern before its first wildcard. Without one, the first part is the whole text.
///
/// Names before a wildcard include their final dot.
#[inline]
pub(crate) fn split_names(pattern: &str) -> (&str, &str) {
    let wildcard = pattern.bytes().position(|byte| byte == b'*');
    pattern.split_at(wildcard.unwrap_or(pattern.len()))
}
