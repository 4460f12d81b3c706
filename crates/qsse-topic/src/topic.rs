//! [`Topic`]: the name that events are published on.

use crate::error::TopicError;
use crate::name::Name;
use crate::syntax::{Segments, check};
use crate::text::{parse_traits, text_traits};

/// The name of one topic: segments joined by dots, such as `ride.7.start`.
///
/// A topic is not empty and has no empty segment, no `*` and no control character. It has at most
/// [`MAX_TOPIC_BYTES`](crate::MAX_TOPIC_BYTES) bytes and at most
/// [`MAX_SEGMENTS`](crate::MAX_SEGMENTS) segments. Everything else is allowed, and case matters.
///
/// A clone copies a text of at most 24 bytes and shares a longer one; it never allocates. Topics
/// compare, order and hash like their text, so a map with topics as keys can be queried with a
/// `&str`. [`TopicRef`] is the borrowed form.
///
/// ```
/// use qsse_topic::{ErrorKind, Topic};
///
/// let topic = Topic::new("ride.7.start")?;
/// assert_eq!(topic.segments().collect::<Vec<_>>(), ["ride", "7", "start"]);
///
/// let error = Topic::new("ride..start").unwrap_err();
/// assert_eq!((error.kind(), error.offset()), (ErrorKind::EmptySegment, 5));
/// # Ok::<(), qsse_topic::TopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub(crate) Name);

/// A borrowed [`Topic`]: a checked `&str`, for lookups without an owned topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicRef<'a>(pub(crate) &'a str);

impl Topic {
    /// Checks `name` and copies it.
    ///
    /// # Errors
    /// The name is not a topic. The error tells what is wrong and at which byte.
    pub fn new(name: impl AsRef<str>) -> Result<Self, TopicError> {
        TopicRef::new(name.as_ref()).map(TopicRef::to_topic)
    }

    /// Returns the name as text.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the borrowed form.
    pub fn as_topic_ref(&self) -> TopicRef<'_> {
        TopicRef(self.as_str())
    }

    /// Returns the segments, in order.
    pub fn segments(&self) -> Segments<'_> {
        self.as_topic_ref().segments()
    }

    /// Returns whether the name starts with `$`. Such names are reserved for the server, and a
    /// wildcard in the first segment of a pattern never matches them.
    pub fn is_reserved(&self) -> bool {
        self.as_topic_ref().is_reserved()
    }
}

impl<'a> TopicRef<'a> {
    /// Checks `name` and borrows it.
    ///
    /// # Errors
    /// The name is not a topic. The error tells what is wrong and at which byte.
    pub const fn new(name: &'a str) -> Result<Self, TopicError> {
        match check(name, false) {
            Ok(()) => Ok(Self(name)),
            Err((kind, offset)) => Err(TopicError::new(kind, offset)),
        }
    }

    /// Returns the name as text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Returns an owned copy.
    pub fn to_topic(self) -> Topic {
        Topic(self.0.into())
    }

    /// Returns the segments, in order.
    pub fn segments(self) -> Segments<'a> {
        Segments::new(self.0)
    }

    /// Returns whether the name starts with `$`; see [`Topic::is_reserved`].
    pub fn is_reserved(self) -> bool {
        self.0.starts_with('$')
    }
}

text_traits!(Topic);
text_traits!(TopicRef<'a>);
parse_traits!(Topic, TopicError);

impl<'a> TryFrom<&'a str> for TopicRef<'a> {
    type Error = TopicError;

    fn try_from(name: &'a str) -> Result<Self, TopicError> {
        Self::new(name)
    }
}

impl<'a> From<&'a Topic> for TopicRef<'a> {
    fn from(topic: &'a Topic) -> Self {
        topic.as_topic_ref()
    }
}

impl From<TopicRef<'_>> for Topic {
    fn from(topic: TopicRef<'_>) -> Self {
        topic.to_topic()
    }
}
