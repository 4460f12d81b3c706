//! [`Publisher`]: publishes many events in order, without waiting for each.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use qsse_proto::{EventId, Kind};
use qsse_topic::{PatternRef, TopicRef};

use super::keys::random_id;
use super::ledger::Failure;
use super::progress::PublishProgress;
use super::resend::{Numbers, Unanswered};
use super::stream::{Outgoing, PublishStream};
use super::task::ordered_stream;
use crate::core::Handle;
use crate::error::PublishError;

/// Publishes many events in order over a stream of its own, without waiting for each. Made by
/// [`Client::publisher`](crate::Client::publisher); clones share the stream.
///
/// [`send`](Self::send) accepts an event, and waits only while too many bytes are in flight
/// ([`Config::publish_in_flight_bytes`](crate::Config#structfield.publish_in_flight_bytes)).
/// [`flush`](Self::flush) waits until the server has acknowledged all events. Small events that are
/// sent together share packets.
///
/// The order is kept: when the server refuses an event, it accepts none behind it. The next `send`
/// or `flush` returns that failure, once; later calls start afresh. The same applies when the
/// connection is lost before the acknowledgement: [`PublishError::AckLost`] says how many events
/// may have been published or not, unless the publisher sends [`exactly_once`](Self::exactly_once).
/// Events that a leaving server has not accepted are sent over the next connection. While nothing
/// is in flight, the only effect of a lost connection is the wait for the next one.
///
/// A publisher keeps its connection alive. Dropping the last clone ends its stream. Events that
/// were sent and not flushed are then still written if the client lives on, but whether they arrive
/// stays unknown: flush first.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    handle: Arc<Handle>,
    /// Events get numbers, and are sent again after a lost connection.
    exactly_once: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Opened by the first event, and again after a failure or on another connection.
    stream: Option<Arc<PublishStream>>,
    /// The progress of earlier streams.
    before: PublishProgress,
    /// The numbers of the next stream.
    numbers: Numbers,
}

impl Publisher {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self {
            shared: Arc::new(Shared {
                handle,
                exactly_once: AtomicBool::new(false),
                state: Mutex::new(State {
                    stream: None,
                    before: PublishProgress::default(),
                    numbers: Numbers {
                        id: random_id(),
                        next: 1,
                    },
                }),
            }),
        }
    }

    /// Sends events again that were in flight when a connection was lost: over the next one, in
    /// their order and before new ones. It takes effect with the next stream, so call it before the
    /// first `send`.
    ///
    /// The publisher numbers its events, and the server remembers the last number that it accepted,
    /// so that it accepts none twice. `flush` then succeeds once every event is published exactly
    /// once. This adds no bytes to an event and no work on the server.
    ///
    /// If it is not possible, the error is [`PublishError::OutcomeUnknown`]; nothing is published
    /// twice. This happens when there was no connection within
    /// [`Config::publish_wait`](crate::Config#structfield.publish_wait), when the server has
    /// another log, or when it may have forgotten the publisher. By default a server remembers the
    /// last 10,000 publishers, each for 10 minutes after its last event. Events are sent again for
    /// half that time.
    ///
    /// It is not the default, because a publisher without it fails as soon as a connection is lost
    /// and does not wait for the next one. It has no effect if
    /// [`Config::publish_retry`](crate::Config#structfield.publish_retry) is off.
    #[must_use]
    pub fn exactly_once(self) -> Self {
        self.shared.exactly_once.store(true, Ordering::Relaxed);
        self
    }

    /// Sends an event of the kind `message`.
    ///
    /// Waits while too many bytes are in flight, and for a lost connection to be restored
    /// ([`Config::publish_wait`](crate::Config#structfield.publish_wait)). Cancel-safe: a dropped
    /// future has sent nothing.
    ///
    /// # Errors
    /// Fails because of this event, which was then not sent, or because of an earlier one.
    pub async fn send(
        &self,
        topic: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        self.send_kind(topic, &Kind::MESSAGE, data).await
    }

    /// Does what [`send`](Self::send) does, with any kind.
    ///
    /// # Errors
    /// Fails as `send` does.
    pub async fn send_kind(
        &self,
        topic: impl AsRef<str>,
        kind: &Kind,
        data: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        let topic = topic.as_ref();
        TopicRef::new(topic)?;
        self.push(topic, false, kind, data.as_ref()).await
    }

    /// Sends an event to every topic that a pattern matches; see
    /// [`Client::publish_matching`](crate::Client::publish_matching).
    ///
    /// # Errors
    /// Fails as `send` does.
    pub async fn send_matching(
        &self,
        pattern: impl AsRef<str>,
        kind: &Kind,
        data: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        let pattern = pattern.as_ref();
        PatternRef::try_from(pattern)?;
        self.push(pattern, true, kind, data.as_ref()).await
    }

    /// Waits until everything sent so far is acknowledged, and returns the id of the last event
    /// published; `None` if there was none yet.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// Returns the first failure of a sent event that was not returned before.
    pub async fn flush(&self) -> Result<Option<EventId>, PublishError> {
        loop {
            let stream = self.shared.state.lock().stream.clone();
            let Some(stream) = stream else {
                break;
            };
            stream.drained().await;
            let failure = stream.failure();
            if failure.is_none() && stream.successor().is_none() {
                break;
            }
            self.retire(&stream);
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        Ok(self.progress().last)
    }

    /// Returns what became of the events sent so far.
    pub fn progress(&self) -> PublishProgress {
        let state = self.shared.state.lock();
        let mut progress = state.before;
        let mut stream = state.stream.clone();
        while let Some(now) = stream {
            progress = progress.and(now.progress());
            stream = now.successor();
        }
        progress
    }

    async fn push(
        &self,
        topic: &str,
        matching: bool,
        kind: &Kind,
        data: &[u8],
    ) -> Result<(), PublishError> {
        loop {
            let stream = self.stream().await?;
            stream.session.check_size(data.len())?;
            let event = Outgoing {
                name: topic,
                matching,
                kind,
                data,
                key: None,
            };
            match stream.push(event, None).await {
                Ok(()) => return Ok(()),
                // The next round returns the failure of an earlier event, or uses the next stream.
                Err(Failure::Unsent) => {}
                Err(Failure::Error(error)) => {
                    stream.drained().await;
                    self.retire(&stream);
                    return Err(stream.failure().unwrap_or(error));
                }
            }
        }
    }

    /// Returns the stream to use now, and opens it if necessary.
    async fn stream(&self) -> Result<Arc<PublishStream>, PublishError> {
        let core = &self.shared.handle.core;
        loop {
            let stream = self.shared.state.lock().stream.clone();
            let Some(stream) = stream else {
                let session = core.connected().await?;
                let mut state = self.shared.state.lock();
                let numbered = core.config.publish_retry
                    && self.shared.exactly_once.load(Ordering::Relaxed)
                    && session.knows_numbers();
                let State {
                    stream, numbers, ..
                } = &mut *state;
                let open = || {
                    let numbers = numbered.then_some(*numbers);
                    ordered_stream(core, &session, Unanswered::nothing(numbers))
                };
                return Ok(stream.get_or_insert_with(open).clone());
            };
            if stream.is_open() && !stream.session.is_over() {
                return Ok(stream);
            }
            // Its answers come first, so that the order is kept over two connections.
            stream.drained().await;
            self.retire(&stream);
            if let Some(failure) = stream.failure() {
                return Err(failure);
            }
        }
    }

    /// Replaces a stream by its successor, or by one that the next event opens.
    fn retire(&self, stream: &Arc<PublishStream>) {
        let mut state = self.shared.state.lock();
        if state
            .stream
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, stream))
        {
            state.before = state.before.and(stream.progress());
            if let Some(numbers) = stream.next_numbers() {
                state.numbers = numbers;
            }
            state.stream = stream.successor();
            if state.stream.is_none() {
                stream.finish();
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(stream) = self.state.get_mut().stream.take() {
            stream.finish();
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("progress", &self.progress())
            .finish()
    }
}
