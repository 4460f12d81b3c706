//! Sessions on a connection whose peer is none, and sees what goes over the wire.

use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::client::ClientEndpoint;
use crate::config::TransportConfig;
use crate::connection::{Connection, SessionStream};
use crate::error::{ReadError, WriteError};
use crate::recv::RecvStream;
use crate::send::SendStream;
use crate::server::ServerEndpoint;
use crate::tls::{ClientTls, ServerTls};

async fn soon<F: Future>(future: F) -> F::Output {
    let patience = Duration::from_secs(20);
    let soon = tokio::time::timeout(patience, future).await;
    soon.expect("it came in time")
}

/// The two ends of a connection, and a session on the first one.
struct Ends {
    session: Connection,
    streams: mpsc::UnboundedSender<SessionStream>,
    near: Connection,
    far: Connection,
    _endpoints: (ServerEndpoint, ClientEndpoint),
}

async fn ends() -> Ends {
    let tls = ServerTls::self_signed([] as [&str; 0]).unwrap();
    let trust = ClientTls::pinned(tls.fingerprint());
    let address = "127.0.0.1:0".parse().unwrap();
    let server = ServerEndpoint::bind(address, &tls, &TransportConfig::server()).unwrap();
    let client = ClientEndpoint::bind(address).unwrap();
    let config = TransportConfig::client();
    let connecting = client.connect(server.local_addr(), "localhost", &trust, &config);
    let (near, far) = soon(async {
        tokio::join!(
            async { server.accept().await.unwrap().complete().await.unwrap() },
            async { connecting.await.unwrap() },
        )
    })
    .await;
    let (streams, accepted) = mpsc::unbounded_channel();
    Ends {
        session: near.session(Session::new(4), accepted),
        streams,
        near,
        far,
        _endpoints: (server, client),
    }
}

impl Ends {
    /// A stream that the session has opened, and its other end, which has read the header.
    async fn uni(&self) -> (SendStream, RecvStream) {
        let mut send = self.session.open_uni().await.unwrap();
        send.write_all(&mut ["x".into()]).await.unwrap();
        let mut recv = soon(self.far.accept_uni()).await.unwrap();
        let first = soon(recv.read_chunk()).await.unwrap();
        assert_eq!(first.as_deref(), Some(&b"\x40\x54\x04x"[..]));
        (send, recv)
    }

    /// A stream that the peer has opened, whose header was read: the session's ends of it and the
    /// peer's.
    async fn bi(&self) -> ((SendStream, RecvStream), (SendStream, RecvStream)) {
        let (mut send, recv) = self.far.open_bi().await.unwrap();
        send.write_all(&mut ["h".into()]).await.unwrap();
        let (own_send, mut own_recv) = soon(self.near.accept_bi()).await.unwrap();
        let header = soon(own_recv.read_chunk()).await.unwrap();
        assert_eq!(header.as_deref(), Some(&b"h"[..]));
        let opened = SessionStream::Bi(own_send, own_recv);
        self.streams.send(opened).ok().unwrap();
        (soon(self.session.accept_bi()).await.unwrap(), (send, recv))
    }
}

#[test]
fn the_first_end_counts_and_wakes_who_waits() {
    let session = Session::new(0);
    assert_eq!(session.reason(), None);
    session.close(Code::TOKEN_EXPIRED, "expired");
    session.ending().note(ConnectionError::TimedOut);
    assert_eq!(session.reason(), Some(&ConnectionError::LocallyClosed));
    let told = session.ending().farewell();
    assert_eq!(told, Some((Code::TOKEN_EXPIRED, "expired")));

    let session = Session::new(0);
    session.ending().note(ConnectionError::TimedOut);
    session.close(Code::BUSY, "busy");
    assert_eq!(session.reason(), Some(&ConnectionError::TimedOut));
    assert_eq!(session.ending().farewell(), None);
}

#[tokio::test]
async fn the_last_handle_ends_it() {
    let session = Session::new(0);
    let ending = Arc::clone(session.ending());
    let ended = ending.ended();
    drop(session);
    ended.await;
    assert_eq!(ending.farewell(), Some((Code::NO_ERROR, "")));
}

// QP-15.4.
#[test]
fn streams_begin_with_their_type_and_the_session() {
    let header = |id| {
        (
            Session::new(id).bidi_header(),
            Session::new(id).uni_header(),
        )
    };
    let bytes = |bidi: &'static [u8], uni: &'static [u8]| (bidi.into(), uni.into());
    assert_eq!(header(0), bytes(&[0x40, 0x41, 0], &[0x40, 0x54, 0]));
    assert_eq!(
        header(64),
        bytes(&[0x40, 0x41, 0x40, 64], &[0x40, 0x54, 0x40, 64])
    );
    let long = [0x40, 0x41, 0x80, 0, 0x40, 0];
    assert_eq!(&header(0x4000).0[..], &long);
    assert_eq!(header(1 << 40).0.len(), 10);
}

#[tokio::test]
async fn the_header_and_the_first_data_are_written_together() {
    let ends = ends().await;
    drop(ends.uni().await);
    // Also a stream without data is one of the session.
    let mut send = ends.session.open_uni().await.unwrap();
    send.finish();
    let mut recv = soon(ends.far.accept_uni()).await.unwrap();
    let all = soon(recv.read_chunk()).await.unwrap();
    assert_eq!(all.as_deref(), Some(&b"\x40\x54\x04"[..]));
    assert_eq!(soon(recv.read_chunk()).await.unwrap(), None);
}

#[tokio::test]
async fn more_than_fits_is_written_in_order_behind_the_header() {
    let ends = ends().await;
    let data: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut chunks: Vec<Bytes> = data.chunks(70_001).map(Bytes::copy_from_slice).collect();
    let mut send = ends.session.open_uni().await.unwrap();
    let read = async {
        let mut recv = ends.far.accept_uni().await.unwrap();
        let mut all = Vec::new();
        while let Some(chunk) = recv.read_chunk().await.unwrap() {
            all.extend(&chunk[..]);
        }
        all
    };
    let write = async {
        send.write_all(&mut chunks).await.unwrap();
        send.finish();
    };
    let (all, ()) = soon(async { tokio::join!(read, write) }).await;
    assert_eq!(all.split_at(3), (&[0x40, 0x54, 4][..], &data[..]));
}

// QP-15.6.
#[tokio::test]
async fn codes_of_streams_are_in_the_range_of_sessions() {
    let ends = ends().await;
    let (mut send, mut recv) = ends.uni().await;
    send.reset(Code::LAGGED);
    let reset = soon(recv.read_chunk()).await;
    let on_wire = |code| Code::new(to_http3(code).into_inner());
    assert_eq!(reset, Err(ReadError::Reset(on_wire(Code::LAGGED))));

    let (mut send, mut recv) = ends.uni().await;
    recv.stop(on_wire(Code::UNSUBSCRIBED));
    let stopped = soon(send.stopped()).await;
    assert_eq!(stopped, Ok(Some(Code::UNSUBSCRIBED)));
    let write = soon(send.write_all(&mut ["y".into()])).await;
    assert_eq!(write, Err(WriteError::Stopped(Code::UNSUBSCRIBED)));

    let ((own_send, mut own_recv), (mut send, recv)) = ends.bi().await;
    send.reset(on_wire(Code::BUSY));
    let read = soon(own_recv.read_chunk()).await;
    assert_eq!(read, Err(ReadError::Reset(Code::BUSY)));
    drop((own_send, recv));

    let ((own_send, own_recv), (send, mut recv)) = ends.bi().await;
    drop((own_send, own_recv));
    let reset = soon(recv.read_chunk()).await;
    assert_eq!(reset, Err(ReadError::Reset(on_wire(Code::UNKNOWN))));
    let stopped = soon(send.stopped()).await;
    assert_eq!(stopped, Ok(Some(on_wire(Code::NO_ERROR))));
}

#[tokio::test]
async fn its_end_wakes_everything_that_waits_and_nothing_more_is_written() {
    let ends = ends().await;
    let (mut blocked, _unread) = ends.uni().await;
    let mut many = vec![Bytes::from(vec![0; 1 << 20]); 8];
    let ((_own_send, mut own_recv), _far) = ends.bi().await;
    let (mut idle, mut quiet) = ends.uni().await;
    let stopped = idle.stopped();
    let waiting = async {
        tokio::join!(
            blocked.write_all(&mut many),
            own_recv.read_chunk(),
            ends.session.accept_bi(),
            ends.session.accept_uni(),
            ends.session.closed(),
            stopped,
        )
    };
    let close = async {
        tokio::task::yield_now().await;
        ends.session.close(Code::TOKEN_EXPIRED, "expired");
    };
    let (waited, ()) = soon(async { tokio::join!(waiting, close) }).await;
    let gone = ConnectionError::LocallyClosed;
    assert_eq!(waited.0, Err(gone.clone().into()));
    assert_eq!(waited.1, Err(gone.clone().into()));
    assert_eq!(waited.2.err(), Some(gone.clone()));
    assert_eq!(waited.3.err(), Some(gone.clone()));
    assert_eq!((waited.4, waited.5), (gone.clone(), Err(gone.clone())));
    assert_eq!(ends.session.close_reason(), Some(gone.clone()));
    let late = soon(idle.write_all(&mut ["late".into()])).await;
    assert_eq!(late, Err(gone.clone().into()));
    assert_eq!(ends.session.open_uni().await.err(), Some(gone));
    drop(idle);
    // Nothing was written after the end.
    let reset = soon(quiet.read_chunk()).await;
    assert!(matches!(reset, Err(ReadError::Reset(_))), "{reset:?}");
}

#[test]
fn the_end_of_a_connection_without_an_error_is_that_of_its_session() {
    let closed = |code: u64| ConnectionError::Closed {
        code: Code::new(code),
        reason: "bye".into(),
    };
    assert_eq!(with_connection(closed(H3_NO_ERROR)), closed(0));
    assert_eq!(with_connection(closed(19)), closed(19));
}

/// Returns the bytes of a vector of docs/protocol.md, section 15.
fn vector(name: &str) -> Vec<u8> {
    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let fence = format!("```session-vector name={name}\n");
    let (_, block) = text.split_once(&fence).unwrap();
    let lines = block.lines().take_while(|line| *line != "```");
    let hex = lines.flat_map(|line| line.split('|').next().unwrap().split_whitespace());
    hex.map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_vectors_of_the_protocol_are_what_is_sent() {
    let session = Session::new(0);
    let header = session.bidi_header();
    assert_eq!(vector("control-stream")[..header.len()], header[..]);
    let header = session.uni_header();
    assert_eq!(vector("subscription-stream")[..header.len()], header[..]);
    let close = close_capsule(Code::TOKEN_EXPIRED, "expired");
    assert_eq!(vector("close"), close);
    let read = Capsules::default().push(&close);
    assert!(matches!(read, Ok(Some(close)) if close.code == Code::TOKEN_EXPIRED));
}
