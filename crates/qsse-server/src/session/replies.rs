//! Replies on the control stream: they wait here, so that the control loop never waits for a peer.

use qsse_proto::control::ServerFrame;
use qsse_transport::FrameWriter;

/// Replies that a client may leave unread; one that leaves more is closed.
const UNREAD: usize = 1_024;

/// What is to be written to the control stream.
pub(crate) struct Replies {
    writer: FrameWriter,
    /// Nothing can be written any more, which shows elsewhere.
    closed: bool,
}

/// The client does not read its replies.
pub(crate) struct Unread;

impl Replies {
    pub(crate) fn new(writer: FrameWriter) -> Self {
        Self {
            writer,
            closed: false,
        }
    }

    pub(crate) fn send(&mut self, reply: impl Into<ServerFrame>) -> Result<(), Unread> {
        if self.closed {
            return Ok(());
        }
        if self.writer.queued() >= UNREAD {
            return Err(Unread);
        }
        self.writer.queue(reply.into().encode());
        Ok(())
    }

    /// Whether replies wait to be [written](Self::write).
    pub(crate) fn are_waiting(&self) -> bool {
        !self.closed && self.writer.queued() > 0
    }

    /// Writes what waits. Cancel-safe.
    pub(crate) async fn write(&mut self) {
        self.closed |= self.writer.flush().await.is_err();
    }
}
