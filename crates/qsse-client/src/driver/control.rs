//! [`Control`]: the two directions of the control stream.

use qsse_proto::control::{ClientFrame, ServerFrame};
use qsse_transport::{FrameError, FrameReader, FrameWriter};

/// The two directions of the control stream.
pub(super) struct Control {
    reader: FrameReader,
    writer: FrameWriter,
    /// The server reads no more. The reader then finds out how the stream ends.
    is_closed: bool,
}

impl Control {
    pub(super) fn new(reader: FrameReader, writer: FrameWriter) -> Self {
        Self {
            reader,
            writer,
            is_closed: false,
        }
    }

    /// Queues a frame. [`exchange`](Self::exchange) writes it, together with others.
    pub(super) fn send(&mut self, frame: impl Into<ClientFrame>) {
        if !self.is_closed {
            self.writer.queue(frame.into().encode());
        }
    }

    /// Writes what is queued, and waits for the next frame; `None` once the server has ended the
    /// stream. Cancel-safe.
    pub(super) async fn exchange(&mut self) -> Result<Option<ServerFrame>, FrameError> {
        loop {
            let Self {
                reader,
                writer,
                is_closed,
            } = self;
            tokio::select! {
                biased;
                frame = reader.next() => {
                    let Some(frame) = frame? else { return Ok(None) };
                    return Ok(Some(ServerFrame::decode(frame)?));
                }
                written = writer.flush(), if !*is_closed && writer.queued() > 0 => {
                    *is_closed = written.is_err();
                }
            }
        }
    }
}
