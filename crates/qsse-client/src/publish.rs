//! Publishing: one event and its acknowledgement, or many.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use qsse_proto::limits::CONTROL_FRAME_BYTES;
use qsse_proto::publish::{OpenPublisher, PublisherFrame};
use qsse_proto::{EventId, Kind};
use qsse_topic::{Pattern, Topic};
use qsse_transport::FrameReader;
use tokio::time::Instant;

use crate::core::Handle;
use crate::error::PublishError;
use crate::session::Session;

mod again;
mod keys;
mod ledger;
mod pipe;
mod publisher;
mod request;
mod serving;
mod succession;

pub(crate) use again::Left;
pub(crate) use keys::Keys;
pub(crate) use pipe::Pipe;
pub use publisher::Publisher;
use request::Request;

/// An event to be published: await it to send it and to wait for the server's acknowledgement. Made by
/// [`Client::publish`](crate::Client::publish).
#[must_use = "nothing is published until this is awaited"]
pub struct Publish {
    request: Request,
}

/// An event to be published on every topic that a pattern matches: await it. Made by
/// [`Client::publish_matching`](crate::Client::publish_matching).
#[must_use = "nothing is published until this is awaited"]
pub struct PublishMatching {
    request: Request,
}

/// What a publish to a pattern did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    bounds: Option<(EventId, EventId)>,
    count: u64,
}

/// What became of the events that a [`Publisher`] sent.
///
/// Those neither acknowledged, refused nor lost are in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Events handed over by `send`.
    pub sent: u64,
    /// Events that the server has acknowledged. A publish to a pattern counts as one.
    pub acknowledged: u64,
    /// Events that the server has refused, those behind a refused one included.
    pub refused: u64,
    /// Events that were in flight when a connection was lost: published or not, nobody knows.
    pub lost: u64,
    /// The first event published.
    pub first: Option<EventId>,
    /// The last event published.
    pub last: Option<EventId>,
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

    /// The event's kind: `message` by default. 1 to 64 bytes without control characters; another is an error when awaited.
    pub fn kind(mut self, kind: impl AsRef<str>) -> Self {
        self.request.kind = Kind::new(kind).map_err(Into::into);
        self
    }

    /// Publishes under a key of 1 to 64 bytes; another length is an error when awaited. Of several publishes with the same key only the first
    /// makes an event, and the others get its id, whatever their topic, kind and data are: so the call can be repeated, also by another
    /// process, without publishing twice.
    ///
    /// The same key means the same publish for the same principal and [`Config::publisher_name`](crate::Config#structfield.publisher_name), for
    /// as long as the server knows it: 2 minutes and the last 100,000 keys of all publishers, unless it is set otherwise.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.request.set_key(key.as_ref());
        self
    }
}

impl IntoFuture for Publish {
    /// The event's id.
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

    /// The events' kind, as [`Publish::kind`].
    pub fn kind(mut self, kind: impl AsRef<str>) -> Self {
        self.request.kind = Kind::new(kind).map_err(Into::into);
        self
    }

    /// Publishes under a key, as [`Publish::key`]: the topics reached are those of the first publish.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.request.set_key(key.as_ref());
        self
    }
}

impl IntoFuture for PublishMatching {
    /// How many topics were reached, perhaps none.
    type Output = Result<Published, PublishError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.request.run())
    }
}

impl Published {
    /// How many events were published: one for each topic that the pattern matched, 0 if it matched none.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first of them.
    pub fn first(&self) -> Option<EventId> {
        self.bounds.map(|(first, _)| first)
    }

    /// The last of them.
    pub fn last(&self) -> Option<EventId> {
        self.bounds.map(|(_, last)| last)
    }
}

impl Progress {
    /// This and what came after.
    fn and(self, later: Self) -> Self {
        Self {
            sent: self.sent + later.sent,
            acknowledged: self.acknowledged + later.acknowledged,
            refused: self.refused + later.refused,
            lost: self.lost + later.lost,
            first: self.first.or(later.first),
            last: later.last.or(self.last),
        }
    }
}

/// The time of a round trip through the server's publishing code: a publishing stream without an event.
pub(crate) async fn round_trip(session: &Session) -> Result<Duration, PublishError> {
    let lost = |_| PublishError::AckLost {
        unacknowledged: 0,
        reason: session.lost(),
    };
    let begun = Instant::now();
    let (mut send, recv) = session.connection.open_bi().await.map_err(lost)?;
    let open = PublisherFrame::from(OpenPublisher::default());
    // A server that refuses the stream has answered all the same.
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

/// Refuses here what the server would refuse there.
fn check_size(len: usize, session: &Session) -> Result<(), PublishError> {
    let max = session.max_event_bytes;
    if len > max {
        Err(PublishError::TooLarge { len, max })
    } else {
        Ok(())
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
