//! Why a text is not a topic or a pattern, and at which byte.

use crate::limits::{MAX_SEGMENTS, MAX_TOPIC_BYTES};
use core::convert::Infallible;
use core::error::Error;
use core::fmt;

/// What is wrong with a topic or a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is empty.
    Empty,
    /// The text has more than [`MAX_TOPIC_BYTES`] bytes. The offset is that of the first character
    /// that does not fit.
    TooLong,
    /// The text has more than [`MAX_SEGMENTS`] segments. The offset is that of the first segment
    /// over the limit.
    TooManySegments,
    /// A segment is empty: there are two dots in a row, or a dot at either end. The offset is where
    /// the segment should start.
    EmptySegment,
    /// There is a control character, such as a line break. The offset is its first byte.
    ControlCharacter,
    /// There is a `*` in the wrong place: anywhere in a topic, or inside a longer segment of a
    /// pattern.
    Wildcard,
}

/// The text is not a topic. Tells [what](TopicError::kind) is wrong and
/// [where](TopicError::offset).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicError {
    kind: ErrorKind,
    offset: usize,
}

/// The text is not a pattern. Tells [what](PatternError::kind) is wrong and
/// [where](PatternError::offset).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PatternError {
    kind: ErrorKind,
    offset: usize,
}

impl TopicError {
    pub(crate) const fn new(kind: ErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// Returns what is wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the byte offset of the first error.
    ///
    /// It is at most the length of the text, and always on a character boundary.
    pub const fn offset(&self) -> usize {
        self.offset
    }
}

impl PatternError {
    pub(crate) const fn new(kind: ErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// Returns what is wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the byte offset of the first error.
    ///
    /// It is at most the length of the text, and always on a character boundary.
    pub const fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::Wildcard => write!(
                f,
                "topic has a `*` at byte {}: a topic is one name, wildcards belong in patterns",
                self.offset
            ),
            kind => describe(f, "topic", kind, self.offset),
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::Wildcard => write!(
                f,
                "pattern has a `*` inside a longer segment at byte {}: \
                 a wildcard is a segment of its own, as in `ride.*.start`",
                self.offset
            ),
            kind => describe(f, "pattern", kind, self.offset),
        }
    }
}

impl Error for TopicError {}
impl Error for PatternError {}

/// Lets a conversion that cannot fail be used where one that can fail is expected.
impl From<Infallible> for TopicError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Lets a conversion that cannot fail be used where one that can fail is expected.
impl From<Infallible> for PatternError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Describes the errors that topics and patterns have in common.
fn describe(f: &mut fmt::Formatter<'_>, what: &str, kind: ErrorKind, offset: usize) -> fmt::Result {
    match kind {
        ErrorKind::Empty => write!(f, "{what} is empty: it needs at least one segment"),
        ErrorKind::TooLong => {
            write!(
                f,
                "{what} is longer than {MAX_TOPIC_BYTES} bytes: shorten it"
            )
        }
        ErrorKind::TooManySegments => write!(
            f,
            "{what} has more than {MAX_SEGMENTS} segments, the next one starts at byte {offset}: \
             join some of them"
        ),
        ErrorKind::EmptySegment => write!(
            f,
            "{what} has an empty segment at byte {offset}: \
             remove the dot too many or put a name there"
        ),
        ErrorKind::ControlCharacter => {
            write!(
                f,
                "{what} has a control character at byte {offset}: remove it"
            )
        }
        ErrorKind::Wildcard => write!(f, "{what} has a misplaced `*` at byte {offset}"),
    }
}
