//! [`Session`]: a WebTransport session inside an HTTP/3 connection, as its connection and its
//! streams see it.
//!
//! Streams of a session are streams of QUIC that begin with a header (QP-15.4). Its close is a
//! message on the stream that opened it (QP-15.7). Codes of streams have a range of their own
//! (QP-15.6).

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use qsse_proto::Code;
use tokio::sync::watch;

use crate::error::{ConnectionError, cut};

mod capsule;
mod codes;
mod streams;
#[cfg(test)]
#[cfg(all(feature = "http3", feature = "self-signed"))]
mod tests;

pub(crate) use capsule::{Capsules, close_capsule};
pub(crate) use codes::{from_http3, to_http3};
pub(crate) use streams::{RecvSide, SendSide};

/// HTTP/3's code for a connection that ends without an error.
pub(crate) const H3_NO_ERROR: u64 = 0x100;

/// The types with which the streams of sessions begin.
const BIDI: u64 = 0x41;
const UNI: u64 = 0x54;

/// What the handles of a session share. When the last one is dropped, the session is closed.
///
/// Why it ended is known to whoever reads the stream that opened it, also if the connection was
/// lost: a close may have arrived before. So streams wait for that, and do not tell by themselves.
#[derive(Debug)]
pub(crate) struct Session {
    /// The id of the stream that opened it.
    id: u64,
    ending: Arc<Ending>,
}

/// Completes once a session has ended.
pub(crate) type Ended = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Whether a session has ended, and why.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    end: OnceLock<End>,
    ended: watch::Sender<bool>,
}

#[derive(Debug)]
struct End {
    reason: ConnectionError,
    /// What the peer is told, unless it ended the session itself.
    farewell: Option<(Code, String)>,
}

impl Session {
    /// Creates the session that the stream with this id has opened.
    pub(crate) fn new(id: u64) -> Self {
        let ending = Arc::default();
        Self { id, ending }
    }

    pub(crate) fn ending(&self) -> &Arc<Ending> {
        &self.ending
    }

    /// Returns what a bidirectional stream of this session begins with.
    pub(crate) fn bidi_header(&self) -> Bytes {
        self.header(BIDI)
    }

    /// Returns what a unidirectional stream of this session begins with.
    pub(crate) fn uni_header(&self) -> Bytes {
        self.header(UNI)
    }

    fn header(&self, kind: u64) -> Bytes {
        let mut header = Vec::with_capacity(10);
        put_varint(&mut header, kind);
        put_varint(&mut header, self.id);
        header.into()
    }

    /// Ends the session on this side, unless it has ended.
    pub(crate) fn close(&self, code: Code, reason: &str) {
        self.ending.close(code, reason);
    }

    /// Returns why the session ended; `None` while it is open.
    pub(crate) fn reason(&self) -> Option<&ConnectionError> {
        self.ending.reason()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close(Code::NO_ERROR, "");
    }
}

impl Ending {
    /// Returns why the session ended; `None` while it is open.
    pub(crate) fn reason(&self) -> Option<&ConnectionError> {
        self.end.get().map(|end| &end.reason)
    }

    /// Ends the session on this side, unless it has ended.
    pub(crate) fn close(&self, code: Code, reason: &str) {
        self.end(End {
            reason: ConnectionError::LocallyClosed,
            farewell: Some((code, cut(reason).into())),
        });
    }

    /// Notes that the peer or the network has ended the session, unless it has ended.
    pub(crate) fn note(&self, reason: ConnectionError) {
        let farewell = None;
        self.end(End { reason, farewell });
    }

    fn end(&self, end: End) {
        // The first end counts.
        if self.end.set(end).is_ok() {
            self.ended.send_replace(true);
        }
    }

    /// Returns what to tell the peer; `None` if it ended the session.
    pub(crate) fn farewell(&self) -> Option<(Code, &str)> {
        let farewell = self.end.get()?.farewell.as_ref();
        farewell.map(|(code, reason)| (*code, reason.as_str()))
    }

    /// Returns a future that completes once the session has ended.
    pub(crate) fn ended(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        Box::pin(async move {
            // An error means that nobody can end it any more: its handles are gone.
            let _ = ended.wait_for(|ended| *ended).await;
        })
    }
}

/// Returns why a session ended whose connection has ended.
pub(crate) fn with_connection(error: ConnectionError) -> ConnectionError {
    match error {
        ConnectionError::Closed { code, reason } if code.get() == H3_NO_ERROR => {
            let code = Code::NO_ERROR;
            ConnectionError::Closed { code, reason }
        }
        other => other,
    }
}

/// Appends a number as QUIC writes it (RFC 9000, section 16).
fn put_varint(out: &mut Vec<u8>, number: u64) {
    match number {
        0..0x40 => out.push(number as u8),
        0x40..0x4000 => out.extend((number as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend((number as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend((number | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}
