//! [`Handlers`]: functions that are called with events, instead of a loop.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use qsse_proto::control::{OnLag, Start};
use qsse_proto::{Cursor, Event};
use qsse_topic::{Filter, FilterError, IntoFilter, Matcher, Pattern};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::core::Handle;
use crate::error::{HandlersError, SubscribeError};
use crate::notice::Notice;
use crate::subscription::Subscribe;

mod run;

use run::{ErrorHandler, Handler, NoticeHandler, Runner, log_error, log_message, log_notice};

/// Functions to be called with events.
///
/// ```no_run
/// use qsse_client::{Client, Handlers};
///
/// # async fn f(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let handlers = Handlers::new()
///     .on("people", |event| async move { println!("person: {:?}", event.data()) })
///     .on("ride.*.start", |event| async move { println!("a ride starts: {}", event.topic()) })
///     .topics("ride.*")
///     .on_message(|event| async move { println!("something else: {}", event.topic()) });
/// let running = client.handle(handlers).await?;
/// # running.stop().await; Ok(()) }
/// ```
///
/// - All handlers share one subscription, to the union of their patterns.
/// - They run one at a time, in the order of events. Each handler that matches an event runs once,
///   in the order in which they were added. A slow handler makes a slow subscriber, so it should
///   leave long work to a task.
/// - [`on_message`](Self::on_message) gets the events of [`topics`](Self::topics) that no handler
///   matches. By default they are logged.
/// - [`on_notice`](Self::on_notice) gets gaps, resets and other [notices](Notice), in their place
///   among the events. By default they are logged.
/// - [`on_error`](Self::on_error) gets panics, and the error that ends the subscription. By default
///   they are logged.
/// - The panic of a handler is reported, and ends nothing else.
#[must_use = "handlers run once they are given to `Client::handle`"]
pub struct Handlers {
    handlers: Vec<(Result<Filter, FilterError>, Handler)>,
    topics: Vec<Result<Filter, FilterError>>,
    on_message: Handler,
    on_notice: NoticeHandler,
    on_error: ErrorHandler,
    start: Start,
    on_lag: OnLag,
}

impl Handlers {
    /// Makes an empty set of handlers.
    pub fn new() -> Self {
        Self {
            handlers: Vec::new(),
            topics: Vec::new(),
            on_message: Box::new(|event| Box::pin(log_message(event))),
            on_notice: Box::new(|notice| Box::pin(log_notice(notice))),
            on_error: Box::new(|error| Box::pin(log_error(error))),
            start: Start::default(),
            on_lag: OnLag::default(),
        }
    }

    /// Calls `handler` with each event that the pattern or filter matches.
    ///
    /// An invalid pattern is an error of [`Client::handle`](crate::Client::handle).
    pub fn on<F, Fut>(mut self, filter: impl IntoFilter, handler: F) -> Self
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let handler: Handler = Box::new(move |event| Box::pin(handler(event)));
        self.handlers.push((filter.into_filter(), handler));
        self
    }

    /// Subscribes to these patterns too. Their events go to [`on_message`](Self::on_message) if no
    /// handler matches.
    pub fn topics(mut self, filter: impl IntoFilter) -> Self {
        self.topics.push(filter.into_filter());
        self
    }

    /// Calls `handler` with each event that no other handler matches, instead of logging the event.
    pub fn on_message<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_message = Box::new(move |event| Box::pin(handler(event)));
        self
    }

    /// Calls `handler` with each gap, reset and other [`Notice`], instead of logging the notice.
    pub fn on_notice<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Notice) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_notice = Box::new(move |notice| Box::pin(handler(notice)));
        self
    }

    /// Calls `handler` with each panic of a handler and with the error that ends the subscription,
    /// instead of logging the error.
    pub fn on_error<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(HandlersError) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_error = Box::new(move |error| Box::pin(handler(error)));
        self
    }

    /// Sets where to start, as [`Subscribe::start`](crate::Subscribe::start) does.
    pub fn start(mut self, start: impl Into<Start>) -> Self {
        self.start = start.into();
        self
    }

    /// Sets what the server does when the handlers are too slow, as
    /// [`Subscribe::on_lag`](crate::Subscribe::on_lag) does.
    pub fn on_lag(mut self, on_lag: OnLag) -> Self {
        self.on_lag = on_lag;
        self
    }

    pub(crate) async fn run(self, handle: &Arc<Handle>) -> Result<HandlersHandle, SubscribeError> {
        let Self {
            handlers,
            topics,
            on_message,
            on_notice,
            on_error,
            start,
            on_lag,
        } = self;
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut routes = Matcher::<Vec<usize>>::new();
        let mut functions = Vec::new();
        for (index, (filter, function)) in handlers.into_iter().enumerate() {
            for pattern in filter?.patterns() {
                match routes.get_mut(pattern) {
                    Some(indices) => indices.push(index),
                    None => drop(routes.insert(pattern.clone(), vec![index])),
                }
                patterns.push(pattern.clone());
            }
            functions.push(function);
        }
        for filter in topics {
            patterns.extend_from_slice(filter?.patterns());
        }
        let filter = Filter::new(patterns.iter().cloned())?;
        let subscription = Subscribe::new(handle.clone(), Ok(filter.clone()))
            .start(start)
            .on_lag(on_lag)
            .offering(patterns)
            .await?;
        let stop = CancellationToken::new();
        let (running, ended) = watch::channel(subscription.cursor());
        let runner = Runner {
            routes,
            functions,
            on_message,
            on_notice,
            on_error,
        };
        let runtime = &handle.core.runtime;
        runtime.spawn(runner.run(subscription, stop.clone(), running));
        Ok(HandlersHandle {
            filter,
            ended,
            stop: Stop(stop),
        })
    }
}

impl Default for Handlers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filters: Vec<_> = self.handlers.iter().map(|(filter, _)| filter).collect();
        f.debug_struct("Handlers")
            .field("handlers", &filters)
            .field("topics", &self.topics)
            .field("start", &self.start)
            .field("on_lag", &self.on_lag)
            .finish_non_exhaustive()
    }
}

/// Running handlers. Made by [`Client::handle`](crate::Client::handle).
///
/// [`stop`](Self::stop) and dropping it stop the handlers: the one that is running finishes, and
/// no other one runs. It keeps the connection alive.
#[must_use = "dropping this stops the handlers"]
#[derive(Debug)]
pub struct HandlersHandle {
    filter: Filter,
    /// Closed when the handlers' task has ended.
    ended: watch::Receiver<Cursor>,
    stop: Stop,
}

#[derive(Debug)]
struct Stop(CancellationToken);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl HandlersHandle {
    /// Stops the handlers, waits for the one that is running, and returns the
    /// [`cursor`](Self::cursor).
    pub async fn stop(self) -> Cursor {
        self.stop.0.cancel();
        self.ended().await
    }

    /// Waits until the handlers have ended, for instance because the connection has ended for good,
    /// and returns the [`cursor`](Self::cursor). Cancel-safe.
    pub async fn ended(&self) -> Cursor {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
        self.cursor()
    }

    /// Returns the position of the last event whose handlers have finished.
    pub fn cursor(&self) -> Cursor {
        *self.ended.borrow()
    }

    /// Returns the union of the patterns subscribed to.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }
}
