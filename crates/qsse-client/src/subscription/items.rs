//! [`Items`]: a stream of events and notices.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::Subscription;
use crate::error::SubscriptionError;
use crate::notice::Item;

/// Reading events together with notices.
impl Subscription {
    /// Waits for the next event or [notice](crate::Notice) and returns it; returns `None` once the
    /// subscription has ended. For programs that need to know where events are missing.
    ///
    /// Notices are not passed to the function of [`on_notice`](crate::Subscribe::on_notice).
    /// Cancel-safe.
    ///
    /// # Errors
    /// A [`SubscriptionError`] ends the subscription.
    ///
    /// ```
    /// # use qsse_client::{Client, Item, Notice};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = qsse_server::TestServer::start().await?;
    /// # let client = Client::connect(server.url()).await?;
    /// let mut rides = client.subscribe("ride.*").await?;
    /// # server.publish("ride.7", "far").await?;
    /// while let Some(item) = rides.next_item().await.transpose()? {
    ///     match item {
    ///         Item::Event(event) => println!("{} {:?}", event.topic(), event.data()),
    ///         Item::Notice(Notice::Gap(gap)) => println!("up to {} events lost", gap.at_most),
    ///         Item::Notice(notice) => println!("{notice}"),
    ///     }
    /// #   break;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_item(&mut self) -> Option<Result<Item, SubscriptionError>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// Returns a [`Stream`] of what [`next_item`](Self::next_item) yields. Dropping it loses no
    /// item.
    pub fn items(&mut self) -> Items<'_> {
        Items(self)
    }
}

/// The events and [notices](crate::Notice) of a subscription. Made by [`Subscription::items`].
#[derive(Debug)]
pub struct Items<'s>(&'s mut Subscription);

impl Stream for Items<'_> {
    type Item = Result<Item, SubscriptionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_item(cx)
    }
}

impl FusedStream for Items<'_> {
    fn is_terminated(&self) -> bool {
        self.0.ended
    }
}
