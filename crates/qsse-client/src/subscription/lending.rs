//! Events that are lent instead of handed out.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use qsse_proto::LentEvent;

use super::Subscription;
use super::reading::Reading;
use crate::error::SubscriptionError;
use crate::notice::Item;

/// Events to look at.
impl Subscription {
    /// As [`next`](Self::next), but lends the event until the subscription is used again, which takes half as long or less: for
    /// those who look at an event and are done with it, millions of times a second.
    /// [`LentEvent::to_event`] makes one to keep.
    ///
    /// Cancel-safe.
    ///
    /// ```
    /// # use qsse_client::Client;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = qsse_server::TestServer::start().await?;
    /// # let client = Client::connect(server.url()).await?;
    /// let mut rides = client.subscribe("ride.*").await?;
    /// server.publish("ride.7", "far").await?;
    /// let mut bytes = 0;
    /// while let Some(event) = rides.lend_next().await {
    ///     bytes += event?.data().len();
    /// #   break;
    /// }
    /// assert_eq!(bytes, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lend_next(&mut self) -> Option<Result<LentEvent<'_>, SubscriptionError>> {
        loop {
            match self.lend().await? {
                Ok(Item::Event(())) => return Some(Ok(self.lent())),
                Ok(Item::Notice(notice)) => (self.on_notice)(&notice),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Does what [`next_item`](Self::next_item) does, with a lent event.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// A [`SubscriptionError`] is the end.
    pub async fn lend_item(&mut self) -> Option<Result<Item<LentEvent<'_>>, SubscriptionError>> {
        let item = self.lend().await?;
        Some(item.map(|item| item.map(|()| self.lent())))
    }

    async fn lend(&mut self) -> Option<Result<Item<()>, SubscriptionError>> {
        poll_fn(|cx| self.poll_lend(cx)).await
    }

    /// Does what [`poll_item`](Self::poll_item) does, but the event is [lent](Self::lent).
    #[inline]
    fn poll_lend(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Item<()>, SubscriptionError>>> {
        self.kept = None;
        if let Some(Reading::Frames(frames)) = &mut self.reading
            && let Some(id) = frames.lend_next()
            && self.advance(id)
        {
            return Poll::Ready(Some(Ok(Item::Event(()))));
        }
        let item = ready!(self.poll_item(cx));
        Poll::Ready(item.map(|item| item.map(|item| item.map(|event| self.kept = Some(event)))))
    }

    #[inline]
    fn lent(&self) -> LentEvent<'_> {
        match (&self.kept, &self.reading) {
            (None, Some(Reading::Frames(frames))) => frames.lent(),
            (kept, _) => kept.as_ref().expect("an event was gone on to").into(),
        }
    }
}
