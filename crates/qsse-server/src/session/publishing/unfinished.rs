//! [`Unfinished`]: a publish that has begun to arrive.

use qsse_proto::frame::{HEADER_BYTES, kind};
use qsse_proto::publish::PublishHead;
use qsse_proto::{DecodeError, limits};
use qsse_transport::{Connection, FrameReader};
use tokio::time::Instant;

use super::failed::{Failed, misplaced};
use crate::session::Session;
use crate::session::unfinished::Claim;

/// The most bytes of a frame of a publishing stream that is no publish: several times the longest.
const OTHER_FRAME_BYTES: usize = 1024;

/// The frame of a stream that has begun to arrive.
#[derive(Default)]
pub(super) struct Unfinished<'s> {
    /// When it has to be complete.
    deadline: Option<Instant>,
    /// Whether it may be published, as far as its beginning tells.
    allowed: bool,
    /// Its bytes in the budgets, if it is long.
    claim: Option<Claim<'s>>,
}

/// What is to be done before more of the frame is stored.
pub(super) enum Next<'f> {
    /// Ask whether it may be published; if not, skip it.
    Ask(PublishHead<'f>),
    /// Wait for this many bytes of the budgets.
    Claim(usize),
    /// Nothing: read on.
    Read,
}

impl<'s> Unfinished<'s> {
    /// Returns what is to be done before the stream is read on. Everything that is complete has
    /// been taken.
    pub(super) fn next<'f>(
        &mut self,
        session: &Session,
        frames: &'f FrameReader,
        opened: bool,
    ) -> Result<Next<'f>, Failed> {
        if frames.stored() == 0 {
            *self = Self::default();
            return Ok(Next::Read);
        }
        if self.deadline.is_none() {
            self.set_deadline(session);
        }
        let Some(frame) = frames.unfinished() else {
            return Ok(Next::Read);
        };
        let bytes = frame.body_bytes;
        match frame.kind {
            kind::PUBLISH if !opened => return Err(misplaced(kind::PUBLISH)),
            kind::PUBLISH => {}
            _ if bytes > OTHER_FRAME_BYTES => {
                let limit = OTHER_FRAME_BYTES;
                return Err(DecodeError::FrameTooLarge { bytes, limit }.into());
            }
            _ => return Ok(Next::Read),
        }
        if !self.allowed {
            return Ok(PublishHead::read(frame.body)?.map_or(Next::Read, Next::Ask));
        }
        let unclaimed = self.claim.is_none() && bytes as u64 > session.unfinished.unclaimed;
        Ok(match unclaimed {
            true => Next::Claim(HEADER_BYTES + bytes),
            false => Next::Read,
        })
    }

    /// Notes that it may be published.
    pub(super) fn allow(&mut self) {
        self.allowed = true;
    }

    /// Waits for its bytes of the budgets.
    pub(super) async fn claim(
        &mut self,
        session: &'s Session,
        connection: &Connection,
        bytes: usize,
    ) {
        let claim = session.unfinished.claim(&session.shared, connection, bytes);
        self.claim = Some(claim.await);
        // It could not arrive while it waited.
        self.set_deadline(session);
    }

    /// Waits until more of the stream has arrived; `false` at its end.
    pub(super) async fn read(&self, frames: &mut FrameReader) -> Result<bool, Failed> {
        let Some(deadline) = self.deadline else {
            return frames.read_more().await.map_err(Failed::Frame);
        };
        match tokio::time::timeout_at(deadline, frames.read_more()).await {
            Ok(more) => more.map_err(Failed::Frame),
            Err(_) => Err(Failed::Late),
        }
    }

    fn set_deadline(&mut self, session: &Session) {
        let timeout = session.shared.limits().frame_timeout;
        self.deadline = Some(Instant::now() + timeout.min(limits::FOREVER));
    }
}
