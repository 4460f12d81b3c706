//! [`Handlers`]: functions that are called with events, for those who would rather not write a loop.

use std::fmt;
use std::future::Future;

use futures_core::future::BoxFuture;
use qsse_proto::Event;
use qsse_proto::control::{OnLag, Start};
use qsse_topic::{Filter, FilterError, IntoFilter, Matcher, Pattern};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::cursor::Cursor;
use crate::error::{SubscribeError, SubscriptionError};
use crate::notice::Notice;

mod run;

use run::{Runner, log_error, log_message, log_notice};

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
/// - All share one subscription, to everything that any of them wants.
/// - They run one at a time, in the order of events; of those that match an event each runs once, in the order they were added. A slow
///   handler is a slow subscriber. It may hand work on to a task of its own.
/// - [`on_message`](Self::on_message) gets the events of [`topics`](Self::topics) that no handler matches. By default they are logged.
/// - [`on_notice`](Self::on_notice) gets gaps, resets and other [notices](Notice), in their place among the events. By default they are logged.
/// - [`on_error`](Self::on_error) gets panics, and the error that ends the subscription. By default they are logged.
/// - A handler that panics is reported and ends nothing else.
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

type Handler = Box<dyn Fn(Event) -> BoxFuture<'static, ()> + Send + Sync>;
type NoticeHandler = Box<dyn Fn(Notice) -> BoxFuture<'static, ()> + Send + Sync>;
type ErrorHandler = Box<dyn Fn(HandlersError) -> BoxFuture<'static, ()> + Send + Sync>;

/// What running handlers have to report; given to [`Handlers::on_error`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlersError {
    /// The subscription has ended.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
    /// A handler panicked. The others run on, and so does it with the next event.
    #[error("a handler of {} panicked at event {}: {message}", event.topic(), event.id())]
    #[non_exhaustive]
    Panicked {
        /// The event it was called with.
        event: Event,
        /// What the panic said.
        message: String,
    },
}

impl HandlersError {
    /// The server's reason, where it gave one.
    pub fn code(&self) -> Option<qsse_proto::Code> {
        match self {
            Self::Subscription(error) => error.code(),
            Self::Panicked { .. } => None,
        }
    }
}

impl Handlers {
    /// No handlers yet.
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

    /// Calls `handler` with each event that the pattern matches, or the filter.
    ///
    /// What cannot be read as a pattern is an error of [`Client::handle`].
    pub fn on<F, Fut>(mut self, filter: impl IntoFilter, handler: F) -> Self
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let handler: Handler = Box::new(move |event| Box::pin(handler(event)));
        self.handlers.push((filter.into_filter(), handler));
        self
    }

    /// Subscribes to these too; their events go to [`on_message`](Self::on_message) where no handler matches.
    pub fn topics(mut self, filter: impl IntoFilter) -> Self {
        self.topics.push(filter.into_filter());
        self
    }

    /// Calls `handler` with each event that no other handler matches, instead of logging it.
    pub fn on_message<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_message = Box::new(move |event| Box::pin(handler(event)));
        self
    }

    /// Calls `handler` with each gap, reset and other [`Notice`], instead of logging it.
    pub fn on_notice<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Notice) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_notice = Box::new(move |notice| Box::pin(handler(notice)));
        self
    }

    /// Calls `handler` with each panic of a handler, and with the error that ends the subscription, instead of logging it.
    pub fn on_error<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(HandlersError) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_error = Box::new(move |error| Box::pin(handler(error)));
        self
    }

    /// Where to begin, as [`Subscribe::start`](crate::Subscribe::start).
    pub fn start(mut self, start: impl Into<Start>) -> Self {
        self.start = start.into();
        self
    }

    /// What the server does when the handlers are too slow, as [`Subscribe::on_lag`](crate::Subscribe::on_lag).
    pub fn on_lag(mut self, on_lag: OnLag) -> Self {
        self.on_lag = on_lag;
        self
    }

    pub(crate) async fn run(self, client: &Client) -> Result<HandlersHandle, SubscribeError> {
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
        let subscription = client
            .subscribe(&filter)
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
        client.spawn(runner.run(subscription, stop.clone(), running));
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

/// Handlers that run; made by [`Client::handle`].
///
/// [`stop`](Self::stop) ends them, and so does dropping it: the handler that runs at that moment finishes, none runs after it. It keeps
/// the connection alive.
#[must_use = "dropping this stops the handlers"]
#[derive(Debug)]
pub struct HandlersHandle {
    filter: Filter,
    /// Gone when the handlers' task is.
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
    /// Runs no further handler, waits for the one that runs, and returns where the subscription stood.
    pub async fn stop(self) -> Cursor {
        self.stop.0.cancel();
        self.ended().await
    }

    /// Waits until the handlers have ended by themselves, as when the connection ends for good, and returns where the subscription
    /// stood. Cancel-safe.
    pub async fn ended(&self) -> Cursor {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
        self.cursor()
    }

    /// The last event whose handlers have finished.
    pub fn cursor(&self) -> Cursor {
        *self.ended.borrow()
    }

    /// All that is subscribed to.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }
}
