//! [`Publisher`]: many events, in order, without waiting for each.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use qsse_proto::{EventId, Kind};
use qsse_topic::{PatternRef, TopicRef};

use super::again::{Left, Numbers};
use super::keys::random_id;
use super::ledger::Failure;
use super::pipe::{Event, Pipe};
use super::{Progress, check_size};
use crate::core::Handle;
use crate::error::PublishError;

/// Publishes many events in order over a stream of its own, without waiting for each. Made by
/// [`Client::publisher`](crate::Client::publisher); clones share the stream.
///
/// [`send`](Self::send) hands an event over and waits only while too much is in flight
/// ([`Config::publish_in_flight_bytes`](crate::Config#structfield.publish_in_flight_bytes)); [`flush`](Self::flush) waits until the
/// server has acknowledged all. Small events sent together travel together.
///
/// Order is kept: when the server refuses an event it takes none behind it. Such a failure is told by the next `send` or `flush`, once;
/// calls after that begin anew. The same goes for a connection lost before the acknowledgement:
/// [`PublishError::AckLost`] says how many events may have been published or not, unless this publisher sends
/// [`exactly_once`](Self::exactly_once). What a server that goes away has not taken is sent over the next connection. While nothing is in flight, a lost connection goes unnoticed but for the wait for the next one.
///
/// A publisher keeps its connection alive, and the last clone dropped ends its stream. What was sent and not flushed is still written then
/// if the client lives on, but nobody will know whether it arrived: flush first.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    handle: Arc<Handle>,
    /// Events have numbers, and are sent again after a lost connection.
    exactly_once: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Opened by the first event, and again after a failure or on another connection.
    pipe: Option<Arc<Pipe>>,
    /// Of the pipes before.
    before: Progress,
    /// Where the next stream begins to count.
    numbers: Numbers,
}

impl Publisher {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self {
            shared: Arc::new(Shared {
                handle,
                exactly_once: AtomicBool::new(false),
                state: Mutex::new(State {
                    pipe: None,
                    before: Progress::default(),
                    numbers: Numbers {
                        id: random_id(),
                        next: 1,
                    },
                }),
            }),
        }
    }

    /// Sends again what was in flight when a connection is lost, over the next one, in its order and before anything new. From the next
    /// stream on, so say it before the first `send`.
    ///
    /// The publisher numbers its events, and the server remembers the last number that it took, so that it takes none twice. `flush` then
    /// succeeds with every event published once. An event costs nothing more, neither in bytes nor on the server, however fast they come.
    ///
    /// When that cannot be had, it is [`PublishError::OutcomeUnknown`], never a second publish: there was no connection within
    /// [`Config::publish_wait`](crate::Config#structfield.publish_wait), the server has another log, or it may have forgotten the publisher. It
    /// remembers each for 10 minutes after it was last active, and the last 10,000 that were, unless it is set otherwise; events are
    /// tried again for half that time.
    ///
    /// It is not the default, since a publisher without it fails as soon as a connection is lost, instead of waiting for the next one.
    /// Without [`Config::publish_retry`](crate::Config#structfield.publish_retry) it changes nothing.
    #[must_use]
    pub fn exactly_once(self) -> Self {
        self.shared.exactly_once.store(true, Ordering::Relaxed);
        self
    }

    /// Hands over an event of the kind `message`.
    ///
    /// Waits for room, and for a lost connection to come back ([`Config::publish_wait`](crate::Config#structfield.publish_wait)).
    /// Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// A failure of this event, which was not sent then, or of an earlier one.
    pub async fn send(
        &self,
        topic: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<(), PublishError> {
        self.send_kind(topic, &Kind::MESSAGE, data).await
    }

    /// [`send`](Self::send) for an event of any kind.
    ///
    /// # Errors
    /// As `send`.
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

    /// [`send`](Self::send) to every topic that a pattern matches, see [`Client::publish_matching`](crate::Client::publish_matching).
    ///
    /// # Errors
    /// As `send`.
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

    /// Waits until everything sent so far is acknowledged, and returns the id of the last event published; `None` if there was none yet.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The first failure of anything sent that was not told before.
    pub async fn flush(&self) -> Result<Option<EventId>, PublishError> {
        loop {
            let pipe = self.shared.state.lock().pipe.clone();
            let Some(pipe) = pipe else {
                break;
            };
            pipe.drained().await;
            let failure = pipe.failure();
            if failure.is_none() && pipe.successor().is_none() {
                break;
            }
            self.put_away(&pipe);
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        Ok(self.progress().last)
    }

    /// What became of the events sent so far.
    pub fn progress(&self) -> Progress {
        let state = self.shared.state.lock();
        let mut progress = state.before;
        let mut pipe = state.pipe.clone();
        while let Some(now) = pipe {
            progress = progress.and(now.progress());
            pipe = now.successor();
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
            let pipe = self.pipe().await?;
            check_size(data.len(), &pipe.session)?;
            let event = Event {
                name: topic,
                matching,
                kind,
                data,
                key: None,
            };
            match pipe.push(event, None).await {
                Ok(()) => return Ok(()),
                // If something else was in flight then, that is to be told; if not, the next stream will do.
                Err(Failure::Unsent) => {}
                Err(Failure::Error(error)) => {
                    pipe.drained().await;
                    self.put_away(&pipe);
                    return Err(pipe.failure().unwrap_or(error));
                }
            }
        }
    }

    /// The stream to use now.
    async fn pipe(&self) -> Result<Arc<Pipe>, PublishError> {
        let core = &self.shared.handle.core;
        loop {
            let pipe = self.shared.state.lock().pipe.clone();
            let Some(pipe) = pipe else {
                let session = core.connected().await?;
                let mut state = self.shared.state.lock();
                let numbered = core.config.publish_retry
                    && self.shared.exactly_once.load(Ordering::Relaxed)
                    && session.knows_numbers();
                let State { pipe, numbers, .. } = &mut *state;
                let open = || {
                    let numbers = numbered.then_some(*numbers);
                    session.ordered_pipe(core, Left::nothing(numbers))
                };
                return Ok(pipe.get_or_insert_with(open).clone());
            };
            if pipe.is_open() && !pipe.session.is_over() {
                return Ok(pipe);
            }
            // Its answers come first, so that order is kept over two connections.
            pipe.drained().await;
            self.put_away(&pipe);
            if let Some(failure) = pipe.failure() {
                return Err(failure);
            }
        }
    }

    /// Lets go of a stream; its successor goes on, or another will be opened.
    fn put_away(&self, pipe: &Arc<Pipe>) {
        let mut state = self.shared.state.lock();
        if state
            .pipe
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, pipe))
        {
            state.before = state.before.and(pipe.progress());
            if let Some(behind) = pipe.numbers_behind() {
                state.numbers = behind;
            }
            state.pipe = pipe.successor();
            if state.pipe.is_none() {
                pipe.finish();
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(pipe) = self.state.get_mut().pipe.take() {
            pipe.finish();
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
