//! [`Sessions`]: brings the streams of a WebTransport session to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qsse_proto::Code;
use tokio::sync::mpsc;

use super::codes;
use crate::connection::{Connection, SessionStream};

/// How many streams may wait for the request that opens their session. Packets overtake each other.
const EARLY: usize = 8;

/// Brings the streams of a connection's WebTransport session to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    early: Vec<(u64, SessionStream)>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    id: u64,
    /// Unlimited, as each stream counts as one of those that the peer may have open.
    streams: mpsc::UnboundedSender<SessionStream>,
}

impl Sessions {
    /// Opens a session. Returns its streams; `None` if another one is open.
    pub(super) fn open(&self, id: u64) -> Option<mpsc::UnboundedReceiver<SessionStream>> {
        let (streams, received) = mpsc::unbounded_channel();
        let mut state = self.state();
        let open = state.open.as_ref();
        if open.is_some_and(|open| !open.streams.is_closed()) {
            return None;
        }
        let early = std::mem::take(&mut state.early);
        state.open = Some(Open { id, streams });
        drop(state);
        for (of, stream) in early {
            self.bring(of, stream);
        }
        Some(received)
    }

    /// Brings a stream to the session with this id, or refuses it.
    pub(super) fn deliver(&self, connection: &Connection, id: u64, stream: SessionStream) {
        // A session has the id of its request: a bidirectional stream that the client opened.
        if !id.is_multiple_of(4) {
            let reason = "the id of a WebTransport session is not that of a request";
            return connection.close(codes::ID_ERROR, reason);
        }
        self.bring(id, stream);
    }

    fn bring(&self, id: u64, stream: SessionStream) {
        let mut state = self.state();
        let (refused, code) = match &state.open {
            Some(open) if open.id == id => match open.streams.send(stream) {
                Ok(()) => return,
                Err(mpsc::error::SendError(stream)) => (stream, codes::SESSION_GONE),
            },
            Some(open) if id < open.id || !open.streams.is_closed() => {
                (stream, codes::SESSION_GONE)
            }
            _ if state.early.len() == EARLY => (stream, codes::STREAM_REJECTED),
            _ => return state.early.push((id, stream)),
        };
        drop(state);
        refuse(refused, code);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(stream: SessionStream, code: Code) {
    let mut recv = match stream {
        SessionStream::Bi(mut send, recv) => {
            send.reset(code);
            recv
        }
        SessionStream::Uni(recv) => recv,
    };
    recv.stop(code);
}
