//! The two ways to read a subscription.

use qsse_client::{Item, Subscription, SubscriptionError};
use tokio::task::yield_now;

use crate::program::By;

/// What comes next, or `None` at the end.
pub(super) type Next = Option<Result<Item, SubscriptionError>>;

/// What a subscription says next, read in one of the ways.
pub(super) async fn next(by: By, subscription: &mut Subscription) -> Next {
    match by {
        By::Next => subscription.next_item().await,
        By::Lend => lend(subscription).await,
        By::Turns => {
            tokio::select! {
                biased;
                item = lend(subscription) => return item,
                () = yield_now() => {}
            }
            subscription.next_item().await
        }
    }
}

async fn lend(subscription: &mut Subscription) -> Next {
    let lent = subscription.lend_item().await?;
    Some(lent.map(|item| item.map(|event| event.to_event())))
}
