//! Patterns: topics with wildcards, and what can be asked of them.

use crate::error::PatternError;
use crate::name::Name;
use crate::relation;
use crate::syntax::{Segments, check};
use crate::text::{parse_traits, text_traits};
use crate::topic::{Topic, TopicRef};

/// A set of topics, written as one topic in which some segments are `*`.
///
/// - In the middle `*` stands for exactly one segment: `ride.*.start`.
/// - At the end it stands for one or more: `ride.*` has `ride.7` and `ride.7.start`, not `ride`.
/// - `*` alone is every topic, except those that start with `$`: a wildcard in the first segment
///   never matches them; `$sys.*` does.
/// - A pattern without `*` is the one topic of that name.
///
/// The limits are those of a [`Topic`]. A clone costs no allocation; comparing, ordering and hashing
/// are those of the text. [`PatternRef`] is the borrowed form. Questions take a pattern or a topic,
/// owned or borrowed.
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

/// A borrowed [`Pattern`]: a checked `&str` with the same questions.
///
/// Every topic is also a pattern, so `&Topic` and [`TopicRef`] turn into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatternRef<'a>(&'a str);

impl Pattern {
    /// Checks `text` and keeps a copy of it.
    ///
    /// # Errors
    /// What is wrong with the text, and at which byte. A `*` inside a longer segment, as in
    /// `ri*`, is an error.
    pub fn new(text: impl AsRef<str>) -> Result<Self, PatternError> {
        PatternRef::new(text.as_ref()).map(PatternRef::to_pattern)
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The borrowed form.
    pub fn as_pattern_ref(&self) -> PatternRef<'_> {
        PatternRef(self.as_str())
    }

    /// The segments, in order; wildcards as `*`.
    pub fn segments(&self) -> Segments<'_> {
        self.as_pattern_ref().segments()
    }

    /// How many segments are wildcards.
    pub fn wildcards(&self) -> usize {
        self.as_pattern_ref().wildcards()
    }

    /// Whether there is no wildcard, so that only the topic of this name matches.
    pub fn is_exact(&self) -> bool {
        self.as_pattern_ref().is_exact()
    }

    /// The topic of this name, if there is no wildcard.
    pub fn as_topic(&self) -> Option<TopicRef<'_>> {
        self.as_pattern_ref().as_topic()
    }

    /// Whether `topic` is one of the topics of this pattern.
    pub fn matches<'t>(&self, topic: impl Into<TopicRef<'t>>) -> bool {
        self.as_pattern_ref().matches(topic)
    }

    /// Whether every topic of `other` is also one of this pattern.
    ///
    /// The answer is exact for the sets that the patterns describe. The limits on length are left
    /// out: a pattern with a wildcard at the end counts as having topics of any depth.
    pub fn contains<'p>(&self, other: impl Into<PatternRef<'p>>) -> bool {
        self.as_pattern_ref().contains(other)
    }

    /// Whether some topic is one of both patterns; exact as [`contains`](Pattern::contains) is.
    pub fn intersects<'p>(&self, other: impl Into<PatternRef<'p>>) -> bool {
        self.as_pattern_ref().intersects(other)
    }
}

impl<'a> PatternRef<'a> {
    /// Checks `text` and borrows it.
    ///
    /// # Errors
    /// What is wrong with the text, and at which byte.
    pub const fn new(text: &'a str) -> Result<Self, PatternError> {
        match check(text, true) {
            Ok(()) => Ok(Self(text)),
            Err((kind, offset)) => Err(PatternError::new(kind, offset)),
        }
    }

    /// The pattern as text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// An owned copy.
    pub fn to_pattern(self) -> Pattern {
        Pattern(self.0.into())
    }

    /// The segments, in order; wildcards as `*`.
    pub fn segments(self) -> Segments<'a> {
        Segments::new(self.0)
    }

    /// How many segments are wildcards.
    pub fn wildcards(self) -> usize {
        // In a pattern `*` is always a segment of its own.
        self.0.bytes().filter(|&byte| byte == b'*').count()
    }

    /// Whether there is no wildcard; see [`Pattern::is_exact`].
    pub fn is_exact(self) -> bool {
        !self.0.bytes().any(|byte| byte == b'*')
    }

    /// The topic of this name, if there is no wildcard.
    pub fn as_topic(self) -> Option<TopicRef<'a>> {
        self.is_exact().then_some(TopicRef(self.0))
    }

    /// Whether `topic` is one of the topics of this pattern.
    pub fn matches<'t>(self, topic: impl Into<TopicRef<'t>>) -> bool {
        relation::matches(self.0, topic.into().as_str())
    }

    /// Whether every topic of `other` is also one of this pattern; see [`Pattern::contains`].
    pub fn contains<'p>(self, other: impl Into<PatternRef<'p>>) -> bool {
        relation::contains(self.0, other.into().0)
    }

    /// Whether some topic is one of both patterns; see [`Pattern::intersects`].
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

/// The pattern that only this topic matches; the text is shared.
impl From<Topic> for Pattern {
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

/// The pattern that only this topic matches; the text is shared.
impl From<&Topic> for Pattern {
    fn from(topic: &Topic) -> Self {
        Self(topic.0.clone())
    }
}
