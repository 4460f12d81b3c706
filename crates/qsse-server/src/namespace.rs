//! [`Namespace`]: the prefix to which a client is confined without noticing it.

use std::borrow::Cow;

use qsse_topic::{Pattern, PatternError, Topic, TopicError, TopicRef};

use crate::auth::Principal;

/// Adds the prefix to names that a client sends, and removes it from those that it gets. Without a
/// namespace both are the same.
///
/// A *full* name is the server's, an *inner* name the client's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespace {
    /// With the dot behind it; empty for a client that is not confined.
    prefix: Box<str>,
}

impl Namespace {
    pub(crate) fn of(principal: &Principal) -> Self {
        let prefix = principal.namespace().map(|name| format!("{name}."));
        let prefix = prefix.unwrap_or_default().into();
        Self { prefix }
    }

    /// Returns the prefix, if the client is confined.
    pub(crate) fn prefix(&self) -> Option<&str> {
        Some(&*self.prefix).filter(|prefix| !prefix.is_empty())
    }

    /// Returns the full text of a name or pattern.
    pub(crate) fn full<'n>(&self, inner: &'n str) -> Cow<'n, str> {
        match self.prefix() {
            Some(prefix) => Cow::Owned(format!("{prefix}{inner}")),
            None => Cow::Borrowed(inner),
        }
    }

    /// Returns the inner text of a name or pattern; `None` if it is not in the namespace.
    pub(crate) fn inner<'n>(&self, full: &'n str) -> Option<&'n str> {
        full.strip_prefix(&*self.prefix)
    }

    /// Returns how many bytes the prefix has, which are removed from names in batches.
    pub(crate) fn bytes(&self) -> usize {
        self.prefix.len()
    }

    /// Returns the full topic.
    ///
    /// # Errors
    /// It exceeds a limit.
    pub(crate) fn full_topic(&self, inner: TopicRef<'_>) -> Result<Topic, TopicError> {
        Topic::new(self.full(inner.as_str()))
    }

    /// Returns the full pattern.
    ///
    /// # Errors
    /// It exceeds a limit.
    pub(crate) fn full_pattern(&self, inner: &Pattern) -> Result<Pattern, PatternError> {
        match self.prefix() {
            Some(_) => Pattern::new(self.full(inner.as_str())),
            None => Ok(inner.clone()),
        }
    }

    /// Returns the inner pattern; `None` if it is not in the namespace.
    pub(crate) fn inner_pattern<'p>(&self, full: &'p Pattern) -> Option<Cow<'p, Pattern>> {
        if self.prefix().is_none() {
            return Some(Cow::Borrowed(full));
        }
        Pattern::new(self.inner(full.as_str())?)
            .ok()
            .map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_added_and_removed_and_nothing_else_is_inside() {
        let principal = Principal::new("ada").with_namespace("acme.eu".parse().unwrap());
        let namespace = Namespace::of(&principal);
        assert_eq!(namespace.full("ride.*"), "acme.eu.ride.*");
        assert_eq!(namespace.inner("acme.eu.ride.7"), Some("ride.7"));
        for outside in ["acme.eu", "acme.europe.ride", "ride.7", "*"] {
            assert_eq!(namespace.inner(outside), None, "{outside}");
            assert_eq!(namespace.inner_pattern(&outside.parse().unwrap()), None);
        }
        let none = Namespace::of(&Principal::new("ada"));
        assert_eq!((none.full("a"), none.inner("a")), ("a".into(), Some("a")));
    }
}
