//! [`Runner`]: the task in which handlers run.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use qsse_proto::{Cursor, Event};
use qsse_topic::Matcher;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::HandlersError;
use crate::notice::{Item, Notice};
use crate::subscription::Subscription;

pub(super) type Handler = Box<dyn Fn(Event) -> BoxFuture<'static, ()> + Send + Sync>;
pub(super) type NoticeHandler = Box<dyn Fn(Notice) -> BoxFuture<'static, ()> + Send + Sync>;
pub(super) type ErrorHandler = Box<dyn Fn(HandlersError) -> BoxFuture<'static, ()> + Send + Sync>;

/// The task in which handlers run.
pub(super) struct Runner {
    /// The handlers of each pattern, as indices into `functions`.
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

    /// Calls the handlers of an event. `matching` is a buffer that is reused.
    async fn dispatch(&self, event: Event, matching: &mut Vec<usize>) {
        matching.clear();
        matching.extend(
            self.routes
                .matches(event.topic())
                .flat_map(|(_, indices)| indices),
        );
        // Patterns match in any order, and one handler may have several of them.
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

/// Logs an event that no handler matches, which is the default.
pub(super) async fn log_message(event: Event) {
    let (id, topic, bytes) = (event.id(), event.topic(), event.data().len());
    tracing::info!(%id, %topic, bytes, "event without a handler");
}

/// Logs a notice, which is the default.
pub(super) async fn log_notice(notice: Notice) {
    tracing::warn!(%notice, "handlers");
}

/// Logs an error, which is the default.
pub(super) async fn log_error(error: HandlersError) {
    tracing::warn!(error = &error as &dyn std::error::Error, "handlers");
}

/// Runs a function of the caller. If it panics, the error is the panic's message.
///
/// Unwind safety is up to the caller: after a panic, its function sees the state that it left.
async fn caught(function: impl AsyncFnOnce()) -> Result<(), String> {
    let future = AssertUnwindSafe(async { function().await });
    future
        .catch_unwind()
        .await
        .map_err(|panic| panic_message(&*panic))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic".into())
}
