//! Publishing: one event and its acknowledgement, or many.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use qsse_proto::limits::CONTROL_FRAME_BYTES;
use qsse_proto::publish::{OpenPublisher, PublisherFrame};
use qsse_proto::{EventId, Kind, Published};
use qsse_topic::{Pattern, Topic};
use qsse_transport::FrameReader;
use tokio::time::Instant;

use crate::core::Handle;
use crate::error::PublishError;
use crate::session::Session;

mod first_attempt;
mod keys;
mod ledger;
mod progress;
mod publisher;
mod register;
mod request;
mod resend;
mod retry;
mod stream;
mod task;

pub(crate) use keys::Keys;
pub use progress::PublishProgress;
pub use publisher::Publisher;
pub(crate) use register::StreamRegister;
use request::Request;

/// A publish of one event. Await it to send the event and to wait for the server's acknowledgement.
/// Made by [`Client::publish`](crate::Client::publish).
#[must_use = "nothing is published until this is awaited"]
pub struct Publish {
    request: Request,
}

/// A publish of an event on every topic that a pattern matches. Await it. Made by
/// [`Client::publish_matching`](crate::Client::publish_matching).
#[must_use = "nothing is published until this is awaited"]
pub struct PublishMatching {
    request: Request,
}

impl Publish {
    pub(crate) fn new(handle: Arc<Handle>, topic: &str, data: &[u8]) -> Self {
        let name = Topic::new(topic)
            .map(|topic| topic.as_str().into())
            .map_err(Into::into);
        Self {
            request: Request::new(handle, name, false, Ok(Bytes::copy_from_slice(data))),
        }
    }

    #[cfg(feature = "json")]
    pub(crate) fn json(handle: Arc<Handle>, topic: &str, value: &impl serde::Serialize) -> Self {
        let name = Topic::new(topic)
            .map(|topic| topic.as_str().into())
            .map_err(Into::into);
        let data = serde_json::to_vec(value)
            .map(Bytes::from)
            .map_err(|error| PublishError::Json(Arc::new(error)));
        Self {
            request: Request::new(handle, name, false, data),
        }
    }

    /// Sets the event's kind, which is `message` by default: 1 to 64 bytes without control
    /// characters. Any other kind is an error when the publish is awaited.
    pub fn kind(mut self, kind: impl AsRef<str>) -> Self {
        self.request.kind = Kind::new(kind).map_err(Into::into);
        self
    }

    /// Publishes under a key of 1 to 64 bytes; another length is an error when awaited.
    ///
    /// Of several publishes with the same key only the first one makes an event. The others return
    /// its id, whatever their topic, kind and data are. So the call can be repeated, also by
    /// another process, without publishing twice.
    ///
    /// Keys are compared for the same principal and the same
    /// [`Config::publisher_name`](crate::Config#structfield.publisher_name), for as long as the
    /// server remembers them. The default is 2 minutes, and the last 100,000 keys of all
    /// publishers.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.request.set_key(key.as_ref());
        self
    }
}

impl IntoFuture for Publish {
    /// The id of the event.
    type Output = Result<EventId, PublishError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let published = self.request.run().await?;
            published.last().ok_or(PublishError::NoId)
        })
    }
}

impl PublishMatching {
    pub(crate) fn new(handle: Arc<Handle>, pattern: &str, data: &[u8]) -> Self {
        let name = Pattern::new(pattern)
            .map(|name| name.as_str().into())
            .map_err(Into::into);
        Self {
            request: Request::new(handle, name, true, Ok(Bytes::copy_from_slice(data))),
        }
    }

    /// Sets the kind of the events, as [`Publish::kind`] does.
    pub fn kind(mut self, kind: impl AsRef<str>) -> Self {
        self.request.kind = Kind::new(kind).map_err(Into::into);
        self
    }

    /// Publishes under a key, as [`Publish::key`] does. A repetition reaches no further topics.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.request.set_key(key.as_ref());
        self
    }
}

impl IntoFuture for PublishMatching {
    /// The events published, one for each topic that matches; perhaps none.
    type Output = Result<Published, PublishError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.request.run())
    }
}

/// Measures a round trip through the server's publishing code, with a publishing stream without
/// events.
pub(crate) async fn round_trip(session: &Session) -> Result<Duration, PublishError> {
    let lost = |_| PublishError::AckLost {
        unacknowledged: 0,
        reason: session.lost(),
    };
    let begun = Instant::now();
    let (mut send, recv) = session.connection.open_bi().await.map_err(lost)?;
    let open = PublisherFrame::from(OpenPublisher::default());
    // A server that refuses the stream has answered too.
    let _ = send.write_all(&mut [open.encode()]).await;
    send.finish();
    let mut answers = FrameReader::new(recv, CONTROL_FRAME_BYTES);
    while let Ok(Some(_)) = answers.next().await {}
    match session.connection.close_reason() {
        Some(_) => Err(PublishError::AckLost {
            unacknowledged: 0,
            reason: session.lost(),
        }),
        None => Ok(begun.elapsed()),
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt_as("Publish", f)
    }
}

impl fmt::Debug for PublishMatching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt_as("PublishMatching", f)
    }
}
