//! Filters: what a subscription asks for, as a normalised set of patterns.

use crate::error::PatternError;
use crate::matcher::Matcher;
use crate::pattern::{Pattern, PatternRef};
use crate::topic::{Topic, TopicRef};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::error::Error;
use core::fmt;
use core::str::FromStr;

/// A normalised set of patterns. Filters that match the same topics are equal.
///
/// A filter is never empty. Its patterns are distinct, and none contains another. Patterns with
/// wildcards come first, then the others, both in byte order. A clone shares the patterns.
///
/// ```
/// use qsse_topic::{Filter, IntoFilter, Topic};
///
/// let filter = ["ride.7.start", "people", "ride.*"].into_filter()?;
/// assert_eq!(filter, ["people", "ride.*"].into_filter()?);
/// assert_eq!(filter.to_string(), "ride.*, people");
/// assert!(filter.matches(&Topic::new("ride.7.start")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    patterns: Arc<[Pattern]>,
    /// How many patterns have wildcards. These come first.
    wild: usize,
}

/// Why a filter could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FilterError {
    /// There was no pattern.
    Empty,
    /// One of the texts is not a pattern.
    Pattern(PatternError),
}

impl Filter {
    /// Creates a filter from `patterns`, and normalises it.
    ///
    /// [`IntoFilter`](crate::IntoFilter) also makes one from text.
    ///
    /// # Errors
    /// [`FilterError::Empty`] if there are no patterns.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Result<Self, FilterError> {
        let mut patterns: Vec<Pattern> = patterns.into_iter().collect();
        if patterns.is_empty() {
            return Err(FilterError::Empty);
        }
        patterns.sort_unstable_by(|a, b| (a.is_exact(), a).cmp(&(b.is_exact(), b)));
        patterns.dedup();
        // Only a pattern with a wildcard contains another one.
        let wild: Matcher<()> = patterns
            .iter()
            .filter(|pattern| !pattern.is_exact())
            .map(|p| (p.clone(), ()))
            .collect();
        if !wild.is_empty() {
            patterns.retain(|pattern| wild.containing(pattern).all(|(outer, ())| outer == pattern));
        }
        Ok(Self {
            wild: patterns.partition_point(|pattern| !pattern.is_exact()),
            patterns: patterns.into(),
        })
    }

    /// Returns the normalised patterns, at least one.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Returns whether a pattern of the filter matches `topic`.
    ///
    /// Names are found by binary search; patterns with wildcards are tried one by one. For very
    /// many of those, a [`Matcher`] is faster.
    pub fn matches<'t>(&self, topic: impl Into<TopicRef<'t>>) -> bool {
        let topic = topic.into();
        let (wild, exact) = self.patterns.split_at(self.wild);
        wild.iter().any(|pattern| pattern.matches(topic))
            || exact
                .binary_search_by(|pattern| pattern.as_str().cmp(topic.as_str()))
                .is_ok()
    }

    /// Returns whether the filter matches every topic of `pattern`.
    ///
    /// The answer is exact: if several patterns cover a pattern together, one of them covers it
    /// alone.
    pub fn contains<'p>(&self, pattern: impl Into<PatternRef<'p>>) -> bool {
        let pattern = pattern.into();
        self.patterns.iter().any(|outer| outer.contains(pattern))
    }

    /// Returns whether the filter matches some topic of `pattern`.
    pub fn intersects<'p>(&self, pattern: impl Into<PatternRef<'p>>) -> bool {
        let pattern = pattern.into();
        self.patterns.iter().any(|own| own.intersects(pattern))
    }
}

/// Joins the patterns with `, `. This is for people, because a name may contain commas.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.patterns.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{pattern}")?;
        }
        Ok(())
    }
}

impl<'a> IntoIterator for &'a Filter {
    type Item = &'a Pattern;
    type IntoIter = core::slice::Iter<'a, Pattern>;

    fn into_iter(self) -> Self::IntoIter {
        self.patterns.iter()
    }
}

impl From<Pattern> for Filter {
    fn from(pattern: Pattern) -> Self {
        Self {
            wild: usize::from(!pattern.is_exact()),
            patterns: Arc::new([pattern]),
        }
    }
}

impl From<Topic> for Filter {
    fn from(topic: Topic) -> Self {
        Pattern::from(topic).into()
    }
}

/// Makes the filter of one pattern. Commas are part of the pattern.
impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(pattern: &str) -> Result<Self, FilterError> {
        Ok(Pattern::new(pattern)?.into())
    }
}

/// Makes the filter of one pattern. Commas are part of the pattern.
impl TryFrom<&str> for Filter {
    type Error = FilterError;

    fn try_from(pattern: &str) -> Result<Self, FilterError> {
        pattern.parse()
    }
}

/// Makes the filter of one pattern. Commas are part of the pattern.
impl TryFrom<String> for Filter {
    type Error = FilterError;

    fn try_from(pattern: String) -> Result<Self, FilterError> {
        pattern.parse()
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("filter is empty: it needs at least one pattern"),
            // This message is that of the pattern's error, so that error is not its source.
            Self::Pattern(error) => error.fmt(f),
        }
    }
}

impl Error for FilterError {}

impl From<PatternError> for FilterError {
    fn from(error: PatternError) -> Self {
        Self::Pattern(error)
    }
}

/// Lets a conversion that cannot fail be used where one that can fail is expected.
impl From<Infallible> for FilterError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
