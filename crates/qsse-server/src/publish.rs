//! Publishing from the server's own process.

use std::future::{Future, IntoFuture};
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use qsse_log::{Receipt, StorageError};
use qsse_proto::publish::Key;
use qsse_proto::{EventId, Kind, Published};

use crate::shared::Shared;

mod error;

pub use error::PublishError;

/// An event about to be published. Await it for its id; made by
/// [`Server::publish`](crate::Server::publish).
///
/// Dropped before it was polled, it publishes nothing; dropped later, the event may be published
/// all the same. A [key](Self::key) makes it safe to try again. After an error of the store that is
/// [final](qsse_log::StorageError::is_final), the outcome is unknown: what was written may be there
/// when the store is opened again.
#[must_use = "an event is published when this is awaited"]
pub struct Publish<'a, T, D> {
    shared: &'a Shared,
    state: State<'a, T, D>,
}

enum State<'a, T, D> {
    New(Request<T, D>),
    /// It waits for room in the store.
    Full(Request<T, D>, BoxFuture<'a, ()>),
    /// It waits until the event is stored.
    Appended(EventId, BoxFuture<'a, Result<(), StorageError>>),
    Published(EventId),
    Done,
}

/// What is to be published, and how.
struct Request<T, D> {
    /// A topic or a pattern.
    name: T,
    data: D,
    options: Options,
}

/// How something is published.
pub(crate) struct Options {
    pub(crate) kind: Kind,
    pub(crate) key: Option<Key>,
    /// Fail instead of waiting for room.
    at_once: bool,
    /// Why it cannot be published. In a box, as there is mostly no such thing.
    wrong: Option<Box<PublishError>>,
}

impl Options {
    fn set_kind(&mut self, kind: &str) {
        match Kind::new(kind) {
            Ok(kind) => self.kind = kind,
            Err(error) => self.wrong = Some(Box::new(error.into())),
        }
    }

    fn set_key(&mut self, key: &[u8]) {
        match Key::new(Bytes::copy_from_slice(key)) {
            Ok(key) => self.key = Some(key),
            Err(error) => self.wrong = Some(Box::new(error.into())),
        }
    }

    fn check(&mut self) -> Result<(), PublishError> {
        match self.wrong.take() {
            Some(error) => Err(*error),
            None => Ok(()),
        }
    }
}

impl<T, D> Request<T, D> {
    fn new(name: T, data: D) -> Self {
        let options = Options {
            kind: Kind::MESSAGE,
            key: None,
            at_once: false,
            wrong: None,
        };
        Self {
            name,
            data,
            options,
        }
    }
}

impl<T: AsRef<str>, D: AsRef<[u8]>> Request<T, D> {
    fn publish(&self, shared: &Shared) -> Result<(EventId, Receipt), PublishError> {
        let (topic, data) = (self.name.as_ref(), self.data.as_ref());
        shared.publish(topic, data, &self.options)
    }
}

impl<'a, T, D> Publish<'a, T, D> {
    pub(crate) fn new(shared: &'a Shared, topic: T, data: D) -> Self {
        let state = State::New(Request::new(topic, data));
        Self { shared, state }
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        if let State::New(request) = &mut self.state {
            set(&mut request.options);
        }
        self
    }

    /// Sets the event's kind. Default: `message`. It has 1 to 64 bytes without control characters;
    /// anything else is an error when this is awaited.
    pub fn kind(self, kind: impl AsRef<str>) -> Self {
        self.with(|options| options.set_kind(kind.as_ref()))
    }

    /// Publishes under a key of 1 to 64 bytes: of several publishes with the same key only the
    /// first makes an event, and the others get its id, whatever their topic, kind and data are.
    ///
    /// A key is known for [`dedup_window`](crate::LogConfig::dedup_window), unless
    /// [`dedup_keys`](crate::LogConfig::dedup_keys) others come sooner. Keys of the server's own
    /// process are independent of those of clients.
    pub fn key(self, key: impl AsRef<[u8]>) -> Self {
        self.with(|options| options.set_key(key.as_ref()))
    }

    /// Fails with [`PublishError::Busy`] if the store is behind, instead of waiting for room.
    pub fn or_busy(self) -> Self {
        self.with(|options| options.at_once = true)
    }
}

#[cfg(feature = "json")]
impl<'a, T> Publish<'a, T, Vec<u8>> {
    pub(crate) fn json(
        shared: &'a Shared,
        topic: T,
        value: &(impl serde::Serialize + ?Sized),
    ) -> Self {
        match serde_json::to_vec(value) {
            Ok(data) => Self::new(shared, topic, data),
            Err(error) => Self::new(shared, topic, Vec::new())
                .with(|options| options.wrong = Some(Box::new(PublishError::Json(error)))),
        }
    }
}

impl<'a, T: AsRef<str>, D: AsRef<[u8]>> Publish<'a, T, D> {
    /// Appends the event. In a box is only what has to be waited for.
    fn append(&self, mut request: Request<T, D>) -> Result<State<'a, T, D>, PublishError> {
        request.options.check()?;
        let shared = self.shared;
        match request.publish(shared) {
            Err(PublishError::Busy { .. }) if !request.options.at_once => {
                Ok(State::Full(request, Box::pin(shared.log.room())))
            }
            Err(error) => Err(error),
            Ok((id, receipt)) if shared.log.is_stored_first() => {
                Ok(State::Appended(id, Box::pin(receipt.stored())))
            }
            Ok((id, _)) => Ok(State::Published(id)),
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<State<'a, T, D>, PublishError>> {
        match mem::replace(&mut self.state, State::Done) {
            State::New(request) => Poll::Ready(self.append(request)),
            State::Full(request, mut room) => match room.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(self.append(request)),
                Poll::Pending => {
                    self.state = State::Full(request, room);
                    Poll::Pending
                }
            },
            State::Appended(id, mut stored) => match stored.as_mut().poll(cx) {
                Poll::Ready(stored) => {
                    Poll::Ready(stored.map(|()| State::Published(id)).map_err(Into::into))
                }
                Poll::Pending => {
                    self.state = State::Appended(id, stored);
                    Poll::Pending
                }
            },
            State::Published(_) | State::Done => panic!("polled after it was done"),
        }
    }
}

/// Nothing is pinned in it.
impl<T, D> Unpin for Publish<'_, T, D> {}

impl<T: AsRef<str>, D: AsRef<[u8]>> Future for Publish<'_, T, D> {
    type Output = Result<EventId, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let id = loop {
            match self.state {
                State::Published(id) => break id,
                _ => self.state = ready!(self.poll_step(cx))?,
            }
        };
        // Otherwise a loop of publishes would leave no turn to the tasks that deliver.
        ready!(pin!(tokio::task::consume_budget()).poll(cx));
        self.state = State::Done;
        Poll::Ready(Ok(id))
    }
}

/// An event about to be published on every topic that a pattern matches. Await it; made by
/// [`Server::publish_matching`](crate::Server::publish_matching).
#[must_use = "events are published when this is awaited"]
pub struct PublishMatching<'a> {
    shared: &'a Shared,
    request: Request<String, Bytes>,
}

impl<'a> PublishMatching<'a> {
    pub(crate) fn new(shared: &'a Shared, pattern: &str, data: &[u8]) -> Self {
        let request = Request::new(pattern.to_owned(), Bytes::copy_from_slice(data));
        Self { shared, request }
    }

    /// Sets the kind of the events, as [`Publish::kind`].
    pub fn kind(mut self, kind: impl AsRef<str>) -> Self {
        self.request.options.set_kind(kind.as_ref());
        self
    }

    /// Publishes under a key, as [`Publish::key`]: the topics reached are those of the first
    /// publish.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.request.options.set_key(key.as_ref());
        self
    }
}

impl<'a> IntoFuture for PublishMatching<'a> {
    type Output = Result<Published, PublishError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            shared,
            mut request,
        } = self;
        Box::pin(async move {
            request.options.check()?;
            let (data, options) = (&*request.data, &request.options);
            let topics = shared.reached(&request.name, data.len()).await?;
            let append = || shared.publish_matching(&topics, data, options);
            let published = stored(shared, append).await?;
            tokio::task::yield_now().await;
            Ok(published)
        })
    }
}

/// Appends events, waiting for room, and waits until they are stored.
pub(crate) async fn stored<P>(
    shared: &Shared,
    append: impl Fn() -> Result<(P, Receipt), PublishError>,
) -> Result<P, PublishError> {
    let (published, receipt) = loop {
        match append() {
            Err(PublishError::Busy { .. }) => shared.log.room().await,
            appended => break appended?,
        }
    };
    receipt.stored().await?;
    Ok(published)
}
