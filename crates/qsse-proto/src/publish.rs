//! The frames of a publishing stream.
//!
//! The client opens a bidirectional stream and begins with [`OpenPublisher`]. Then it sends any
//! number of [`Publish`] frames without waiting. They are numbered from 0 on their stream, and the
//! answers refer to these numbers.

mod acknowledged;
mod acknowledged_epoch;
mod head;
mod key;
mod open_publisher;
mod publish_refused;
mod single;

use crate::control::frames;
use crate::error::DecodeError;
use crate::frame::{self, Frame, kind};
use bytes::Bytes;

pub use acknowledged::Acknowledged;
pub use acknowledged_epoch::AcknowledgedEpoch;
pub use head::PublishHead;
pub use key::{Key, KeyError, Retry};
pub use open_publisher::{KeyScope, OpenPublisher, PublisherId, Tried};
pub use publish_refused::PublishRefused;
pub use single::{Publish, write, write_keyed};

/// A frame from a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublisherFrame {
    /// An [`OpenPublisher`].
    OpenPublisher(OpenPublisher),
    /// A [`Publish`].
    Publish(Publish),
}

impl PublisherFrame {
    /// Decodes a frame. The data of a publish shares the frame's bytes.
    ///
    /// # Errors
    /// The kind does not belong here, or the body is too short, too long or malformed. An invalid
    /// topic is not an error: only that publish is refused, and the stream continues.
    pub fn decode(frame: Frame) -> Result<Self, DecodeError> {
        match frame.kind {
            kind::OPEN_PUBLISHER => frame::decode(&frame).map(Self::OpenPublisher),
            kind::PUBLISH => Publish::decode(&frame.body).map(Self::Publish),
            kind => Err(DecodeError::misplaced(kind)),
        }
    }

    /// Returns the whole frame, as it is sent.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::OpenPublisher(open) => frame::encode(kind::OPEN_PUBLISHER, open),
            Self::Publish(publish) => publish.encode(),
        }
    }
}

impl From<OpenPublisher> for PublisherFrame {
    fn from(open: OpenPublisher) -> Self {
        Self::OpenPublisher(open)
    }
}

impl From<Publish> for PublisherFrame {
    fn from(publish: Publish) -> Self {
        Self::Publish(publish)
    }
}

frames! {
    /// A frame from the server to a publisher.
    AckFrame {
        Acknowledged = ACKNOWLEDGED,
        PublishRefused = PUBLISH_REFUSED,
        AcknowledgedEpoch = ACKNOWLEDGED_EPOCH,
    }
}
