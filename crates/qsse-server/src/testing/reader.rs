//! [`TestClient`]: a client without a connection, for millions of histories of permissions.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::BoxFuture;
use qsse_log::{OnLag, Start};
use qsse_proto::batch::Batch;
use qsse_topic::Filter;

use crate::access::Access;
use crate::auth::Principal;
use crate::delivery::{DeliveryLoop, Next, Recipient};
use crate::server::Server;
use crate::shared::Shared;

/// A client without a connection, for tests of an authorizer. What it may read is decided by the
/// same code as for others, but its subscriptions are read where they are made.
pub struct TestClient(Arc<Access>);

/// A subscription of a [`TestClient`].
pub struct TestReader {
    delivery: DeliveryLoop<TestRecipient>,
    filter: Filter,
}

struct TestRecipient {
    shared: Arc<Shared>,
    access: Arc<Access>,
    by_name: bool,
}

impl TestClient {
    /// Lets a principal in.
    pub fn new(server: &Server, principal: Principal) -> Self {
        let shared = Arc::clone(server.shared());
        Self(Arc::new(Access::new(shared, principal)))
    }

    /// Replaces the principal, as a new token does.
    pub fn refresh(&self, principal: Principal) {
        self.0.replace(principal);
    }

    /// Subscribes to a filter; `None` if it is refused.
    pub async fn subscribe(
        &self,
        server: &Server,
        filter: Filter,
        start: Start,
    ) -> Option<TestReader> {
        if self.0.denied(&filter).await.is_some() {
            return None;
        }
        let shared = Arc::clone(server.shared());
        let reader = shared.log.open(&filter, start, OnLag::CatchUp).await.ok()?;
        let recipient = TestRecipient {
            by_name: self.0.by_name(&filter),
            access: Arc::clone(&self.0),
            shared,
        };
        let delivery = DeliveryLoop::new(recipient, reader, None);
        Some(TestReader { delivery, filter })
    }

    /// Returns whether the present principal may go on with a subscription.
    pub async fn may_go_on(&self, reader: &TestReader) -> bool {
        self.0.denied(&reader.filter).await.is_none()
    }
}

impl TestReader {
    /// Returns the topics of the events that it can read now.
    pub async fn topics(&mut self) -> Vec<String> {
        let (mut topics, mut batches) = (Vec::new(), Vec::new());
        // A task that does much in one go has to let others run, and then nothing is ready once.
        let mut waits = 0;
        let mut position = self.delivery.reader().position();
        while waits < 2 {
            let polled = |cx: &mut std::task::Context<'_>| {
                Poll::Ready(self.delivery.poll_next(cx, &mut batches))
            };
            match poll_fn(polled).await {
                Poll::Ready(Next::Batches) => {
                    for batch in batches.drain(..) {
                        topics.extend(batch.iter().map(|event| event.topic().to_owned()));
                    }
                    waits = 0;
                }
                Poll::Ready(Next::Gap(_) | Next::Heartbeat(_)) => {}
                Poll::Ready(_) => break,
                Poll::Pending => {
                    waits += 1;
                    tokio::task::yield_now().await;
                    // A search for events waits between its parts.
                    let reached = self.delivery.reader().position();
                    if reached > std::mem::replace(&mut position, reached) {
                        waits = 0;
                    }
                }
            }
        }
        topics
    }
}

impl Recipient for TestRecipient {
    const TURN: usize = 32 << 10;
    const STORED_TURN: usize = 128 << 10;

    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn ask_permission(&self, batches: &mut Vec<Batch>) -> Option<BoxFuture<'static, Vec<Batch>>> {
        if !self.by_name {
            return None;
        }
        let (access, batches) = (Arc::clone(&self.access), std::mem::take(batches));
        Some(Box::pin(async move {
            let mut allowed = Vec::with_capacity(batches.len());
            for batch in batches {
                allowed.extend(access.readable(batch).await);
            }
            allowed
        }))
    }
}
