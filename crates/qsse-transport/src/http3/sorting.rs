//! [`Sorter`]: finds out what a stream is that the peer has opened.

use bytes::Bytes;
use std::sync::Arc;

use tokio::time::timeout;

use super::codes;
use super::frames::Frames;
use super::guard::Guard;
use super::sessions::Sessions;
use super::settings::Settings;
use super::streams::{Bi, Receiving, Uni};
use super::varint;
use crate::connection::{Connection, SessionStream};
use crate::recv::RecvStream;
use crate::send::SendStream;

/// The kinds of streams that belong to a WebTransport session: of bidirectional ones the first
/// frame, of unidirectional ones the type.
const SESSION_BI: u64 = 0x41;
const SESSION_UNI: u64 = 0x54;

/// The type of the control stream, the first one that each side opens.
const CONTROL: u64 = 0;

/// Reads what a stream is.
pub(super) struct Sorter {
    pub(super) connection: Connection,
    pub(super) settings: Arc<Settings>,
    pub(super) sessions: Sessions,
}

impl Sorter {
    /// Returns a stream with a request. One of a session goes there.
    pub(super) async fn bi(self, mut send: SendStream, mut recv: RecvStream) -> Option<Bi> {
        let begins = self.begins(&mut recv, SESSION_BI);
        match timeout(self.settings.head_timeout, begins).await {
            Ok(Some(Begins::Session(id))) => {
                let stream = SessionStream::Bi(send, recv);
                self.sessions.deliver(&self.connection, id, stream);
                None
            }
            Ok(Some(Begins::Other(kind, _))) => {
                let frames = Frames::new(&self.connection, recv, codes::NO_ERROR);
                Some(Bi::new(send, frames.after_kind(kind).ok()?))
            }
            Ok(None) | Err(_) => {
                send.reset(codes::REQUEST_INCOMPLETE);
                recv.stop(codes::REQUEST_REJECTED);
                None
            }
        }
    }

    /// Returns a stream that is HTTP/3's own. One of a session goes there.
    pub(super) async fn uni(self, mut recv: RecvStream) -> Option<Receiving> {
        match self.begins(&mut recv, SESSION_UNI).await? {
            Begins::Session(id) => {
                let stream = SessionStream::Uni(recv);
                self.sessions.deliver(&self.connection, id, stream);
                None
            }
            Begins::Other(kind, first) => {
                // After its type, a control stream consists of frames. Of others `h3` reads none.
                let guard = (kind == CONTROL).then(|| Guard::new(self.settings.max_head));
                Some(Receiving::Uni(Uni::new(recv, first, guard)))
            }
        }
    }

    /// Returns `None` if the stream ended before that.
    async fn begins(&self, recv: &mut RecvStream, session: u64) -> Option<Begins> {
        let (kind, first) = varint::read(recv).await?;
        if kind != session || !self.settings.web_transport {
            return Some(Begins::Other(kind, first));
        }
        let (id, _) = varint::read(recv).await?;
        Some(Begins::Session(id))
    }
}

/// How a stream begins.
enum Begins {
    /// With the id of a session.
    Session(u64),
    /// With another kind, and these bytes.
    Other(u64, Bytes),
}
