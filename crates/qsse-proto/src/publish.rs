//! What a publisher sends on a stream of its own, and what it is answered.
//!
//! The client opens a bidirectional stream and begins with [`OpenPublisher`]; then it sends as many
//! [`Publish`] frames as it likes without waiting. They count from 0 on their stream, and the answers
//! name them by that number.

mod acknowledged;
mod acknowledged_epoch;
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
pub use key::{Key, KeyError, Retry};
pub use open_publisher::{KeyScope, OpenPublisher, PublisherId, Tried};
pub use publish_refused::PublishRefused;
pub use single::{Publish, write, write_keyed};

/// What a publisher sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublisherFrame {
    /// An [`OpenPublisher`].
    OpenPublisher(OpenPublisher),
    /// A [`Publish`].
    Publish(Publish),
}

impl PublisherFrame {
    /// Reads what a frame holds; the data of a publish is a share of the frame's bytes.
    ///
    /// # Errors
    /// A kind that does not belong here, and a body that is too short, too long or malformed. A topic
    /// that is none is no such error: that publish is refused, and the stream goes on.
    pub fn decode(frame: Frame) -> Result<Self, DecodeError> {
        match frame.kind {
            kind::OPEN_PUBLISHER => frame::decode(&frame).map(Self::OpenPublisher),
            kind::PUBLISH => Publish::decode(&frame.body).map(Self::Publish),
            kind => Err(DecodeError::misplaced(kind)),
        }
    }

    /// The whole frame, as it goes on the wire.
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
    /// What a publisher is answered.
    AckFrame {
        Acknowledged = ACKNOWLEDGED,
        PublishRefused = PUBLISH_REFUSED,
        AcknowledgedEpoch = ACKNOWLEDGED_EPOCH,
    }
}
