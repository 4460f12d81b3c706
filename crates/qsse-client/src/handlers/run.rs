//! [`Runner`]: the task in which handlers run.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use qsse_proto::Event;
use qsse_topic::Matcher;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{ErrorHandler, Handler, HandlersError, NoticeHandler};
use crate::cursor::Cursor;
use crate::notice::{Item, Notice};
use crate::subscription::Subscription;

/// The task in which handlers run.
pub(super) struct Runner {
    /// The handlers of each pattern, by their place in `functions`.
    pub(super) routes: Matcher<Vec<usize>>,
    pub(super) functions: Vec<Handler>,
    pub(super) on_message: Handler,
    pub(super) on_notice: NoticeHandler,
    pub(super) on_error: ErrorHandler,
}

impl Runner {
    /// Runs until the subscription ends or `stop` is cancelled.
    pub(super) async fn run(
        self,
        mut subscription: Subscription,
        stop: CancellationToken,
        cursor: watch::Sender<Cursor>,
    ) {
        let mut matching = Vec::new();
        loop {
            let item = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                item = subscription.next_item() => item,
            };
            match item {
                Some(Ok(Item::Event(event))) => {
                    self.dispatch(event, &mut matching).await;
                    cursor.send_replace(subscription.cursor());
                }
                Some(Ok(Item::Notice(notice))) => self.notify(notice).await,
                Some(Err(error)) => self.report(error.into()).await,
                None => return,
            }
        }
    }

    /// Calls the handlers of an event; `matching` is only there to be used again.
    async fn dispatch(&self, event: Event, matching: &mut Vec<usize>) {
        matching.clear();
        matching.extend(
            self.routes
                .matches(event.topic())
                .flat_map(|(_, indices)| indices),
        );
        // Patterns match in any order, and one handler by several of them.
        matching.sort_unstable();
        matching.dedup();
        if matching.is_empty() {
            self.call(&self.on_message, event).await;
            return;
        }
        for index in &*matching {
            self.call(&self.functions[*index], event.clone()).await;
        }
    }

    async fn call(&self, handler: &Handler, event: Event) {
        if let Err(message) = caught(async || handler(event.clone()).await).await {
            self.report(HandlersError::Panicked { event, message })
                .await;
        }
    }

    async fn notify(&self, notice: Notice) {
        if let Err(message) = caught(async || (self.on_notice)(notice.clone()).await).await {
            tracing::error!(message, %notice, "the handler of notices panicked");
        }
    }

    async fn report(&self, error: HandlersError) {
        if let Err(message) = caught(async || (self.on_error)(error.clone()).await).await {
            tracing::error!(message, %error, "the error handler panicked");
        }
    }
}

/// What to do with an event that no handler is for, unless said otherwise.
pub(super) async fn log_message(event: Event) {
    tracing::info!(id = %event.id(), topic = %event.topic(), bytes = event.data().len(), "event without a handler");
}

/// What to do with a notice, unless said otherwise.
pub(super) async fn log_notice(notice: Notice) {
    tracing::warn!(%notice, "handlers");
}

/// What to do with an error, unless said otherwise.
pub(super) async fn log_error(error: HandlersError) {
    tracing::warn!(error = &error as &dyn std::error::Error, "handlers");
}

/// Runs a function of the caller's; what its panic says is the error.
///
/// Unwind safety is the caller's business: its function sees its own state after a panic of its own.
async fn caught(function: impl AsyncFnOnce()) -> Result<(), String> {
    let future = AssertUnwindSafe(async { function().await });
    future.catch_unwind().await.map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic".into())
}
