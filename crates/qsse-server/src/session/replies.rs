//! Replies on the control stream, written by a task of their own so that the control loop never waits for a peer.

use bytes::Bytes;
use qsse_proto::control::ServerFrame;
use qsse_transport::FrameWriter;
use tokio::sync::mpsc;

/// Replies that a client may leave unread; one that leaves more is closed.
const UNREAD: usize = 1_024;

/// Where replies are put.
#[derive(Clone)]
pub(crate) struct Replies(mpsc::Sender<Bytes>);

/// The client does not read its replies.
pub(crate) struct Unread;

impl Replies {
    /// Starts writing replies to the control stream, until the last handle is dropped.
    pub(crate) fn start(mut writer: FrameWriter) -> Self {
        let (sender, mut replies) = mpsc::channel(UNREAD);
        tokio::spawn(async move {
            while let Some(reply) = replies.recv().await {
                writer.queue(reply);
                while let Ok(reply) = replies.try_recv() {
                    writer.queue(reply);
                }
                if writer.flush().await.is_err() {
                    return;
                }
            }
            writer.finish();
        });
        Self(sender)
    }

    pub(crate) fn send(&self, reply: impl Into<ServerFrame>) -> Result<(), Unread> {
        match self.0.try_send(reply.into().encode()) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(Unread),
            // A closed stream shows elsewhere.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}
