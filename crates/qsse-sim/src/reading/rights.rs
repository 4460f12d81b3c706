//! What a subscriber may encounter, given the permissions that its client has had.

use qsse_client::Filter;

use super::{Actor, Wish};

impl Actor {
    /// Whether at some moment since `asked` its client may have had the right to what it subscribes
    /// to.
    pub(super) fn may_be_let_in(&self, asked: u64) -> bool {
        let (model, Wish { place, filter, .. }) = (self.world.model.borrow(), &self.wish);
        // What is revoked between the questions about two patterns may let in what nobody has the
        // right to as a whole.
        filter.patterns().iter().all(|pattern| {
            let alone = Filter::from(pattern.clone());
            model.may(*place, asked, |rights| model.lets_in(rights, &alone))
        })
    }

    /// Whether at some moment since `asked` it may not have had it.
    pub(super) fn may_be_refused(&self, asked: u64) -> bool {
        let (model, Wish { place, filter, .. }) = (self.world.model.borrow(), &self.wish);
        !model.must(*place, asked, |rights| model.lets_in(rights, filter))
    }

    /// Whether its client may have been turned away while it was subscribed.
    pub(super) fn may_be_out(&self) -> bool {
        let model = self.world.model.borrow();
        let stay = model.readings[self.reading].stays.last();
        model.may_be_out(self.wish.place, stay.map_or(0, |stay| stay.asked))
    }
}
