//! [`Grants`]: what a principal may do, as filters.

use qsse_topic::{Filter, Pattern, PatternRef};

/// What a principal asks to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Receive the events of a topic or pattern.
    Subscribe,
    /// Publish on a topic.
    Publish,
}

/// What a principal may do. Default: nothing. A clone shares the filters.
///
/// An authenticator puts them into a [`Principal`](crate::Principal). A server without an
/// authorizer then decides by them.
///
/// ```
/// use qsse_server::{Action, Grants, IntoFilter, Pattern};
///
/// let grants = Grants::new().subscribe("ride.*".into_filter()?);
/// let rides = Pattern::new("ride.*.start")?;
/// assert!(grants.allow(Action::Subscribe, &rides));
/// assert!(!grants.allow(Action::Publish, &rides));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    subscribe: Option<Filter>,
    publish: Option<Filter>,
}

impl Grants {
    /// Makes grants that allow nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes grants that allow to subscribe and to publish everywhere, except on topics that start
    /// with `$`.
    pub fn everything() -> Self {
        let pattern = Pattern::new("*").expect("it is a pattern");
        let filter = Filter::from(pattern);
        Self::new().subscribe(filter.clone()).publish(filter)
    }

    /// Allows to subscribe to what this filter matches. Replaces what was allowed before.
    #[must_use]
    pub fn subscribe(mut self, filter: Filter) -> Self {
        self.subscribe = Some(filter);
        self
    }

    /// Allows to publish on what this filter matches. Replaces what was allowed before.
    #[must_use]
    pub fn publish(mut self, filter: Filter) -> Self {
        self.publish = Some(filter);
        self
    }

    /// Allows to publish nowhere.
    #[must_use]
    pub fn without_publish(mut self) -> Self {
        self.publish = None;
        self
    }

    /// Returns the filter that an action is limited to; `None` allows nothing.
    pub fn filter(&self, action: Action) -> Option<&Filter> {
        match action {
            Action::Subscribe => self.subscribe.as_ref(),
            Action::Publish => self.publish.as_ref(),
        }
    }

    /// Returns whether everything that `resource` matches is allowed.
    pub fn allow<'p>(&self, action: Action, resource: impl Into<PatternRef<'p>>) -> bool {
        self.filter(action)
            .is_some_and(|filter| filter.contains(resource))
    }

    /// Returns whether there is a topic that `resource` matches and that is allowed.
    pub fn allow_some<'p>(&self, action: Action, resource: impl Into<PatternRef<'p>>) -> bool {
        self.filter(action)
            .is_some_and(|filter| filter.intersects(resource))
    }
}
