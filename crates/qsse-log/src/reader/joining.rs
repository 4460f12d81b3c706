//! [`Joining`]: finds or makes the feed of a reader, part by part.

use qsse_topic::Filter;

use crate::error::StartError;
use crate::feeds::{FilterKey, JoinedFeed};
use crate::shared::Shared;

/// A reader that has no feed yet. The log is locked for one part at a time.
pub(super) struct Joining<'a> {
    shared: &'a Shared,
    filter: &'a Filter,
    key: FilterKey,
    /// The feed, while patterns of it are not in the routes.
    joined: Option<JoinedFeed>,
}

impl<'a> Joining<'a> {
    pub(super) fn new(shared: &'a Shared, filter: &'a Filter) -> Self {
        Self {
            shared,
            filter,
            key: FilterKey::new(filter, &shared.filter_hasher),
            joined: None,
        }
    }

    /// Does the next part. Returns the feed once it has every event from now on.
    ///
    /// # Errors
    /// [`StartError::TooManyFilters`].
    pub(super) fn part(&mut self) -> Result<Option<JoinedFeed>, StartError> {
        let shared = self.shared;
        let mut state = shared.state.lock();
        if self.joined.is_none() {
            let (filter, config) = (self.filter, &shared.config);
            self.joined = state.feeds.join(filter, self.key, config)?;
        }
        let Some(joined) = &self.joined else {
            return Ok(None);
        };
        let complete = state.feeds.route(joined, shared.visible().seq());
        drop(state);
        Ok(self.joined.take_if(|_| complete))
    }
}
