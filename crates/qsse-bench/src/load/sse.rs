//! Clients of server-sent events over HTTP/2: hyper over TLS, a connection each.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use memchr::memmem::Finder;
use rustls::{ClientConfig, HandshakeKind};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tally::Tally;
use crate::tls;
use crate::work::Load;

/// What the server may send ahead, as much as a qsse client allows a stream. That of the connection
/// stays as it is, 5 MiB: with less, h2 takes a backlog of small frames for an attack.
const WINDOW_BYTES: u32 = 1 << 20;

/// Connects to one server.
pub(super) struct Dialer {
    load: Load,
    config: Arc<ClientConfig>,
    /// There is a session to take up.
    connected: AtomicBool,
}

/// A response that goes on.
pub(super) struct Subscriber {
    body: Incoming,
    /// The connection ends with the last of these.
    _requests: SendRequest<Empty<Bytes>>,
}

impl Dialer {
    pub(super) fn new(load: &Load) -> Result<Self> {
        let mut config = tls::client(&load.work.certificates, load.work.resumed)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            load: load.clone(),
            config: Arc::new(config),
            connected: AtomicBool::new(false),
        })
    }

    /// Connects, and drives the connection for as long as there are requests.
    pub(super) async fn connect<B>(&self) -> Result<SendRequest<B>>
    where
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let socket = TcpStream::connect(self.load.address).await?;
        socket.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(tls::NAME.try_into()?, socket).await?;
        let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        let can_resume = self.load.work.resumed && self.connected.swap(true, Ordering::Relaxed);
        ensure!(is_resumed == can_resume, "a handshake of the other kind");
        let (requests, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection);
        Ok(requests)
    }

    pub(super) async fn subscribe(&self) -> Result<Subscriber> {
        let mut requests = self.connect().await?;
        let uri = format!("https://{}/events?topic=bench", tls::NAME);
        let request = Request::get(uri).body(Empty::new())?;
        let response = requests.send_request(request).await?;
        ensure!(response.status() == StatusCode::OK, "{}", response.status());
        Ok(Subscriber {
            body: response.into_body(),
            _requests: requests,
        })
    }
}

impl Subscriber {
    pub(super) async fn receive(mut self, tally: Tally) -> Result<()> {
        let mut events = Events::new();
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.context("the response broke off")?.into_data() {
                let each = |data: &[u8]| tally.event(data);
                events.take(&data, each);
            }
        }
        Ok(())
    }
}

/// Cuts a text of server-sent events into the data of each.
struct Events {
    /// The blank line between two events.
    end: Finder<'static>,
    /// The beginning of an event.
    rest: Vec<u8>,
}

impl Events {
    fn new() -> Self {
        Self {
            end: Finder::new(b"\n\n"),
            rest: Vec::new(),
        }
    }

    fn take(&mut self, mut text: &[u8], mut each: impl FnMut(&[u8])) {
        while !self.rest.is_empty() && !text.is_empty() {
            // The end may lie across: one byte of the rest is looked at again.
            let from = self.rest.len() - 1;
            self.rest.extend_from_slice(text);
            match self.end.find(&self.rest[from..]) {
                Some(at) => {
                    let taken = from + at + 2 - (self.rest.len() - text.len());
                    self.rest.truncate(from + at);
                    text = &text[taken..];
                    data_of(&self.rest, &mut each);
                    self.rest.clear();
                }
                None => return,
            }
        }
        while let Some(at) = self.end.find(text) {
            data_of(&text[..at], &mut each);
            text = &text[at + 2..];
        }
        self.rest.extend_from_slice(text);
    }
}

/// The data of one event; several lines of it are joined.
fn data_of(event: &[u8], each: &mut impl FnMut(&[u8])) {
    let field = |line: &'_ [u8]| -> Option<usize> {
        let data = line.strip_prefix(b"data:")?;
        Some(line.len() - data.strip_prefix(b" ").unwrap_or(data).len())
    };
    if memchr::memchr(b'\n', event).is_none() {
        if let Some(from) = field(event) {
            each(&event[from..]);
        }
        return;
    }
    let lines = event.split(|byte| *byte == b'\n');
    let mut parts = lines.filter_map(|line| field(line).map(|from| &line[from..]));
    let Some(first) = parts.next() else { return };
    match parts.next() {
        None => each(first),
        Some(second) => {
            let all: Vec<_> = [first, second].into_iter().chain(parts).collect();
            each(&all.join(&b'\n'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&str]) -> Vec<String> {
        let (mut events, mut seen) = (Events::new(), Vec::new());
        for piece in pieces {
            events.take(piece.as_bytes(), |data| {
                seen.push(String::from_utf8_lossy(data).into_owned());
            });
        }
        seen
    }

    #[test]
    fn events_are_cut_at_blank_lines_wherever_the_pieces_end() {
        let text =
            "data: one\n\nevent: x\ndata: two\ndata: three\nid: 7\n\n: a comment\n\ndata:four\n\n";
        let expected = ["one", "two\nthree", "four"];
        assert_eq!(events(&[text]), expected);
        for at in 0..text.len() {
            let (first, second) = text.split_at(at);
            assert_eq!(events(&[first, second]), expected, "cut at {at}");
        }
        let bytes: Vec<_> = text.split_inclusive(|_| true).collect();
        assert_eq!(events(&bytes), expected);
    }
}
