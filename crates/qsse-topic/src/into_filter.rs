//! [`IntoFilter`]: the types that a filter can be made from.

use crate::filter::{Filter, FilterError};
use crate::pattern::{Pattern, PatternRef};
use crate::topic::{Topic, TopicRef};
use alloc::string::String;
use alloc::vec::Vec;

/// Types that make a [`Filter`]: one pattern or several, as text or already checked.
///
/// Functions that take `impl IntoFilter` can be called with `"ride.*"`, with
/// `["people", "ride.*"]`, with a [`Pattern`], a [`Topic`] or a [`Filter`].
///
/// ```
/// use qsse_topic::{Filter, FilterError, IntoFilter, Pattern};
///
/// fn subscribe(what: impl IntoFilter) -> Result<Filter, FilterError> {
///     what.into_filter()
/// }
///
/// subscribe("ride.*")?;
/// subscribe(["people", "ride.*"])?;
/// subscribe(Pattern::new("ride.*")?)?;
/// assert_eq!(subscribe(Vec::<String>::new()), Err(FilterError::Empty));
/// # Ok::<(), FilterError>(())
/// ```
pub trait IntoFilter {
    /// Checks the patterns and makes the filter.
    ///
    /// # Errors
    /// The error of the first invalid text, or [`FilterError::Empty`].
    fn into_filter(self) -> Result<Filter, FilterError>;
}

/// Checks the texts one after another.
fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Filter, FilterError> {
    let patterns = texts
        .into_iter()
        .map(Pattern::new)
        .collect::<Result<Vec<_>, _>>()?;
    Filter::new(patterns)
}

impl IntoFilter for Filter {
    fn into_filter(self) -> Result<Filter, FilterError> {
        Ok(self)
    }
}

impl IntoFilter for &Filter {
    fn into_filter(self) -> Result<Filter, FilterError> {
        Ok(self.clone())
    }
}

impl IntoFilter for Pattern {
    fn into_filter(self) -> Result<Filter, FilterError> {
        Ok(self.into())
    }
}

impl IntoFilter for &Pattern {
    fn into_filter(self) -> Result<Filter, FilterError> {
        Ok(self.clone().into())
    }
}

impl IntoFilter for PatternRef<'_> {
    fn into_filter(self) -> Result<Filter, FilterError> {
        Ok(self.to_pattern().into())
    }
}

impl IntoFilter for Topic {
    fn into_filter(self) -> Result<Filter, FilterError> {
        Ok(self.into())
    }
}

impl IntoFilter for &Topic {
    fn into_filter(self) -> Result<Filter, FilterError> {
        Ok(self.clone().into())
    }
}

impl IntoFilter for TopicRef<'_> {
    fn into_filter(self) -> Result<Filter, FilterError> {
        Ok(self.to_topic().into())
    }
}

impl IntoFilter for &str {
    fn into_filter(self) -> Result<Filter, FilterError> {
        self.parse()
    }
}

impl IntoFilter for String {
    fn into_filter(self) -> Result<Filter, FilterError> {
        self.parse()
    }
}

impl IntoFilter for &String {
    fn into_filter(self) -> Result<Filter, FilterError> {
        self.parse()
    }
}

impl<T: AsRef<str>, const N: usize> IntoFilter for [T; N] {
    fn into_filter(self) -> Result<Filter, FilterError> {
        parse(self)
    }
}

impl<T: AsRef<str>, const N: usize> IntoFilter for &[T; N] {
    fn into_filter(self) -> Result<Filter, FilterError> {
        parse(self)
    }
}

impl<T: AsRef<str>> IntoFilter for &[T] {
    fn into_filter(self) -> Result<Filter, FilterError> {
        parse(self)
    }
}

impl<T: AsRef<str>> IntoFilter for Vec<T> {
    fn into_filter(self) -> Result<Filter, FilterError> {
        parse(self)
    }
}

impl<T: AsRef<str>> IntoFilter for &Vec<T> {
    fn into_filter(self) -> Result<Filter, FilterError> {
        parse(self)
    }
}
