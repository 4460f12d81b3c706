//! [`Place`]: a subscription among those of its visitor.

use qsse_topic::Filter;

use super::Visitor;
use super::refused::Refused;
use crate::session::subscribing;
use crate::session::subscriptions::{ClientSubscription, Ends};

/// The place of a subscription among those of its visitor, until it is dropped.
pub(super) struct Place {
    pub(super) visitor: Visitor,
    pub(super) id: u32,
    pub(super) ends: Ends,
}

impl Place {
    pub(super) fn take(visitor: &Visitor, patterns: usize) -> Result<Self, Refused> {
        let session = &visitor.session;
        let patterns = u32::try_from(patterns).unwrap_or(u32::MAX);
        let mut subscriptions = session.subscriptions.lock();
        let places = subscribing::count(session, &mut subscriptions, patterns)?;
        let ends = Ends::new(places);
        let subscription = ClientSubscription {
            ends: ends.clone(),
            filter: None,
            patterns,
        };
        let id = visitor.foreign.next_id();
        subscriptions.add(id, subscription);
        let visitor = visitor.clone();
        Ok(Self { visitor, id, ends })
    }

    pub(super) fn accept(&self, filter: &Filter) {
        let mut subscriptions = self.visitor.session.subscriptions.lock();
        if let Some(subscription) = subscriptions.get_mut(self.id) {
            subscription.filter = Some(filter.clone());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ends.cancel();
        self.visitor.session.subscriptions.lock().remove(self.id);
        self.visitor.foreign.note_left();
    }
}
