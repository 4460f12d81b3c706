//! [`Replies`]: they wait here, so that the control loop never waits for a client.

use qsse_proto::control::ServerFrame;
use qsse_transport::FrameWriter;

/// Most replies that a client may leave unread. With more its connection is closed.
const UNREAD: usize = 1_024;

/// The replies that are to be written to the control stream.
pub(crate) struct Replies {
    writer: FrameWriter,
    /// Whether nothing can be written any more. The control loop notices that elsewhere.
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

    /// Returns whether replies wait to be [written](Self::write).
    pub(crate) fn are_waiting(&self) -> bool {
        !self.closed && self.writer.queued() > 0
    }

    /// Writes the waiting replies. Cancel-safe.
    pub(crate) async fn write(&mut self) {
        self.closed |= self.writer.flush().await.is_err();
    }
}
