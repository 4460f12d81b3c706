//! [`Pattern`]: a topic with wildcards.

use crate::error::PatternError;
use crate::name::Name;
use crate::relation;
use crate::syntax::{Segments, check};
use crate::text::{parse_traits, text_traits};
use crate::topic::{Topic, TopicRef};

/// A set of topics, written as a topic in which some segments are `*`.
///
/// - In the middle `*` stands for exactly one segment: `ride.*.start`.
/// - At the end it stands for one or more segments: `ride.*` matches `ride.7` and `ride.7.start`,
///   not `ride`.
/// - `*` alone matches every topic except those that start with `$`. A wildcard in the first
///   segment never matches these, but `$sys.*` does.
/// - A pattern without `*` matches only the topic of that name.
///
/// Its limits are those of a [`Topic`]. A clone does not allocate. Patterns compare, order and hash
/// like their text. [`PatternRef`] is the borrowed form. The methods take patterns and topics owned
/// or borrowed.
///
/// ```
/// use qsse_topic::{Pattern, Topic};
///
/// let starts = Pattern::new("ride.*.start")?;
/// assert!(starts.matches(&Topic::new("ride.7.start")?));
/// assert!(!starts.matches(&Topic::new("ride.7.8.start")?));
///
/// let rides = Pattern::new("ride.*")?;
/// assert!(rides.contains(&starts));
/// assert!(rides.intersects(&Pattern::new("*.7")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Name);

/// A borrowed [`Pattern`]: a checked `&str` with the same methods.
///
/// Every topic is also a pattern, so `&Topic` and [`TopicRef`] convert to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatternRef<'a>(&'a str);

impl Pattern {
    /// Checks `text` and copies it.
    ///
    /// # Errors
    /// The text is not a pattern. The error tells what is wrong and at which byte. A `*` inside a
    /// longer segment, as in `ri*`, is an error.
    pub fn new(text: impl AsRef<str>) -> Result<Self, PatternError> {
        PatternRef::new(text.as_ref()).map(PatternRef::to_pattern)
    }

    /// Returns the pattern as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the borrowed form.
    pub fn as_pattern_ref(&self) -> PatternRef<'_> {
        PatternRef(self.as_str())
    }

    /// Returns the segments in order. A wildcard is the segment `*`.
    pub fn segments(&self) -> Segments<'_> {
        self.as_pattern_ref().segments()
    }

    /// Returns how many segments are wildcards.
    pub fn wildcards(&self) -> usize {
        self.as_pattern_ref().wildcards()
    }

    /// Returns whether there is no wildcard, so that only the topic of this name matches.
    pub fn is_exact(&self) -> bool {
        self.as_pattern_ref().is_exact()
    }

    /// Returns the topic of this name, if there is no wildcard.
    pub fn as_topic(&self) -> Option<TopicRef<'_>> {
        self.as_pattern_ref().as_topic()
    }

    /// Returns whether the pattern matches `topic`.
    pub fn matches<'t>(&self, topic: impl Into<TopicRef<'t>>) -> bool {
        self.as_pattern_ref().matches(topic)
    }

    /// Returns whether every topic of `other` also matches this pattern.
    ///
    /// The answer is exact for the sets that the patterns describe. It ignores the limits on
    /// length: a pattern with a final wildcard counts as having topics of any depth.
    pub fn contains<'p>(&self, other: impl Into<PatternRef<'p>>) -> bool {
        self.as_pattern_ref().contains(other)
    }

    /// Returns whether some topic matches both patterns. It is as exact as
    /// [`contains`](Pattern::contains).
    pub fn intersects<'p>(&self, other: impl Into<PatternRef<'p>>) -> bool {
        self.as_pattern_ref().intersects(other)
    }
}

impl<'a> PatternRef<'a> {
    /// Checks `text` and borrows it.
    ///
    /// # Errors
    /// The text is not a pattern. The error tells what is wrong and at which byte.
    pub const fn new(text: &'a str) -> Result<Self, PatternError> {
        match check(text, true) {
            Ok(()) => Ok(Self(text)),
            Err((kind, offset)) => Err(PatternError::new(kind, offset)),
        }
    }

    /// Returns the pattern as text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Returns an owned copy.
    pub fn to_pattern(self) -> Pattern {
        Pattern(self.0.into())
    }

    /// Returns the segments in order. A wildcard is the segment `*`.
    pub fn segments(self) -> Segments<'a> {
        Segments::new(self.0)
    }

    /// Returns how many segments are wildcards.
    pub fn wildcards(self) -> usize {
        // In a pattern `*` is always a segment of its own.
        self.0.bytes().filter(|&byte| byte == b'*').count()
    }

    /// Returns whether there is no wildcard; see [`Pattern::is_exact`].
    pub fn is_exact(self) -> bool {
        !self.0.bytes().any(|byte| byte == b'*')
    }

    /// Returns the topic of this name, if there is no wildcard.
    pub fn as_topic(self) -> Option<TopicRef<'a>> {
        self.is_exact().then_some(TopicRef(self.0))
    }

    /// Returns whether the pattern matches `topic`.
    pub fn matches<'t>(self, topic: impl Into<TopicRef<'t>>) -> bool {
        relation::matches(self.0, topic.into().as_str())
    }

    /// Returns whether every topic of `other` also matches this pattern; see [`Pattern::contains`].
    pub fn contains<'p>(self, other: impl Into<PatternRef<'p>>) -> bool {
        relation::contains(self.0, other.into().0)
    }

    /// Returns whether some topic matches both patterns; see [`Pattern::intersects`].
    pub fn intersects<'p>(self, other: impl Into<PatternRef<'p>>) -> bool {
        relation::intersects(self.0, other.into().0)
    }
}

text_traits!(Pattern);
text_traits!(PatternRef<'a>);
parse_traits!(Pattern, PatternError);

impl<'a> TryFrom<&'a str> for PatternRef<'a> {
    type Error = PatternError;

    fn try_from(text: &'a str) -> Result<Self, PatternError> {
        Self::new(text)
    }
}

impl<'a> From<&'a Pattern> for PatternRef<'a> {
    fn from(pattern: &'a Pattern) -> Self {
        pattern.as_pattern_ref()
    }
}

impl<'a> From<&'a Topic> for PatternRef<'a> {
    fn from(topic: &'a Topic) -> Self {
        Self(topic.as_str())
    }
}

impl<'a> From<TopicRef<'a>> for PatternRef<'a> {
    fn from(topic: TopicRef<'a>) -> Self {
        Self(topic.as_str())
    }
}

impl From<PatternRef<'_>> for Pattern {
    fn from(pattern: PatternRef<'_>) -> Self {
        pattern.to_pattern()
    }
}

/// Makes the pattern that matches only this topic. It shares the text.
impl From<Topic> for Pattern {
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

/// Makes the pattern that matches only this topic. It shares the text.
impl From<&Topic> for Pattern {
    fn from(topic: &Topic) -> Self {
        Self(topic.0.clone())
    }
}
