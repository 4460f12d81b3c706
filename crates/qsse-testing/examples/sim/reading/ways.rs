//! The two ways to read a subscription.

use qsse_client::{Event, Subscription, SubscriptionError};
use tokio::task::yield_now;

use crate::program::By;

/// What comes next, or `None` at the end.
pub(super) type Item = Option<Result<Event, SubscriptionError>>;

/// What a subscription says next, read in one of the ways.
pub(super) async fn next(by: By, subscription: &mut Subscription) -> Item {
    match by {
        By::Next => subscription.next().await,
        By::Lend => lend(subscription).await,
        By::Turns => {
            tokio::select! {
                biased;
                item = lend(subscription) => return item,
                () = yield_now() => {}
            }
            subscription.next().await
        }
    }
}

async fn lend(subscription: &mut Subscription) -> Item {
    let lent = subscription.lend_next().await?;
    Some(lent.map(|event| event.to_event()))
}
