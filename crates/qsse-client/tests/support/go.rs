//! A scripted server of the Go dialect, which can also misbehave.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use qsse_client::{Client, Code, Connect, Dialect, Epoch, Event, ServerUrl, Subscription};
use qsse_proto::go::{ErrorData, EventLine};
use qsse_proto::{ALPN, GO_ALPN};
use qsse_transport::tls::{Fingerprint, ServerTls};
use qsse_transport::{Connection, ConnectionError, SendStream, ServerEndpoint, TransportConfig};

use super::{config, soon, until};

/// A certificate as a Go server makes it by default: RSA, self-signed, without a name, and never
/// valid.
pub(crate) const DEFAULT_CERTIFICATE: &[u8] = include_bytes!("../fixtures/go-default.pem");

pub(crate) struct GoServer {
    endpoint: ServerEndpoint,
    url: ServerUrl,
}

impl GoServer {
    /// Binds with the certificate of a Go server.
    pub(crate) fn start() -> Self {
        Self::start_with(TransportConfig::server())
    }

    pub(crate) fn start_with(config: TransportConfig) -> Self {
        Self::speaking(&[GO_ALPN], config)
    }

    /// Binds a server of these protocols, the preferred one first.
    pub(crate) fn speaking(protocols: &[&[u8]], config: TransportConfig) -> Self {
        Self::on("127.0.0.1:0".parse().unwrap(), protocols, config)
    }

    pub(crate) fn on(address: SocketAddr, protocols: &[&[u8]], config: TransportConfig) -> Self {
        let (tls, fingerprint) = default_tls(protocols);
        let endpoint = ServerEndpoint::bind(address, &tls, &config).unwrap();
        Self::with(endpoint, fingerprint)
    }

    /// Binds an address that was in use a moment ago.
    pub(crate) async fn again(address: SocketAddr, protocols: &[&[u8]]) -> Self {
        let (endpoint, fingerprint) = bind_again(address, protocols).await;
        Self::with(endpoint, fingerprint)
    }

    fn with(endpoint: ServerEndpoint, fingerprint: Fingerprint) -> Self {
        let url = ServerUrl::from(endpoint.local_addr()).with_fingerprint(fingerprint);
        Self { endpoint, url }
    }

    /// Binds a server of both dialects, like one of this library.
    pub(crate) fn both() -> Self {
        Self::speaking(&[ALPN, GO_ALPN], TransportConfig::server())
    }

    pub(crate) fn url(&self) -> ServerUrl {
        self.url.clone()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    /// Returns a client to connect to it.
    pub(crate) fn connect(&self) -> Connect {
        Client::connect(self.url()).config(config())
    }

    /// Waits for the next connection.
    pub(crate) async fn accept(&self) -> Connection {
        let handshake = soon(self.endpoint.accept()).await.unwrap();
        soon(handshake.complete()).await.unwrap()
    }

    /// Waits for the next connection, whose handshake fails.
    pub(crate) async fn refused(&self) {
        let handshake = soon(self.endpoint.accept()).await.unwrap();
        assert!(soon(handshake.complete()).await.is_err());
    }

    /// Waits for the next connection and its offer.
    pub(crate) async fn welcome(&self) -> GoPeer {
        GoPeer::of(self.accept().await).await
    }

    /// Connects a client, and returns its first connection too.
    pub(crate) async fn client(&self) -> (Client, Connection) {
        let (client, connection) = tokio::join!(self.connect(), self.accept());
        (client.unwrap(), connection)
    }

    /// Makes a client and a subscription, and returns the server's side of it too.
    pub(crate) async fn subscribed<const N: usize>(
        &self,
        patterns: [&str; N],
    ) -> (Client, Subscription, GoPeer) {
        let (client, connection) = self.client().await;
        assert_eq!(client.dialect(), Dialect::Go);
        let (subscription, peer) = tokio::join!(client.subscribe(patterns), GoPeer::of(connection));
        (client, subscription.unwrap(), peer)
    }

    /// Closes with this code, and returns the address once clients are notified.
    pub(crate) async fn stop(self, code: Code, reason: &str) -> SocketAddr {
        let address = self.address();
        self.endpoint.close(code, reason);
        soon(self.endpoint.wait_idle()).await;
        address
    }
}

/// Returns the seq, topic and data of an event, whose epoch is of no log.
pub(crate) fn text(event: &Event) -> (u64, &str, &[u8]) {
    assert_eq!(event.id().epoch(), Epoch::new(0));
    (event.id().seq(), event.topic().as_str(), event.data())
}

/// Binds an address that was in use a moment ago, with the certificate of a Go server.
pub(crate) async fn bind_again(
    address: SocketAddr,
    protocols: &[&[u8]],
) -> (ServerEndpoint, Fingerprint) {
    let (tls, fingerprint) = default_tls(protocols);
    let mut bound = None;
    until(|| {
        let endpoint = ServerEndpoint::bind(address, &tls, &TransportConfig::server());
        endpoint.map(|endpoint| bound = Some(endpoint))
    })
    .await;
    (bound.unwrap(), fingerprint)
}

fn default_tls(protocols: &[&[u8]]) -> (ServerTls, Fingerprint) {
    let tls = ServerTls::pem(DEFAULT_CERTIFICATE, DEFAULT_CERTIFICATE).unwrap();
    let fingerprint = tls.fingerprint().unwrap();
    (tls.with_alpn(protocols.iter().copied()), fingerprint)
}

/// The server's side of a connection.
pub(crate) struct GoPeer {
    pub(crate) connection: Connection,
    /// Reads all bytes of the client's stream.
    pub(crate) offer: String,
    feed: Option<GoFeed>,
}

impl GoPeer {
    pub(crate) async fn of(connection: Connection) -> Self {
        let mut stream = soon(connection.accept_uni()).await.unwrap();
        let mut offer = Vec::new();
        while let Some(chunk) = soon(stream.read_chunk()).await.unwrap() {
            offer.extend_from_slice(&chunk);
        }
        Self {
            connection,
            offer: String::from_utf8(offer).unwrap(),
            feed: None,
        }
    }

    /// Opens the stream of events. The client sees it once bytes are written.
    pub(crate) async fn open(&self) -> GoFeed {
        GoFeed {
            stream: soon(self.connection.open_uni()).await.unwrap(),
        }
    }

    /// Returns the only stream of events, and opens it at the first call.
    pub(crate) async fn feed(&mut self) -> &mut GoFeed {
        if self.feed.is_none() {
            self.feed = Some(self.open().await);
        }
        self.feed.as_mut().expect("just opened")
    }

    /// Breaks the connection, as a crashing server does.
    pub(crate) fn kill(&self) {
        self.connection.close(Code::UNKNOWN, "killed");
    }

    pub(crate) fn refuse_token(&self) {
        self.connection
            .close(Code::NOT_AUTHORISED, "not authorized");
    }

    pub(crate) async fn closed(&self) -> ConnectionError {
        soon(self.connection.closed()).await
    }
}

pub(crate) struct GoFeed {
    pub(crate) stream: SendStream,
}

impl GoFeed {
    pub(crate) async fn raw(&mut self, bytes: impl Into<Bytes>) {
        soon(self.stream.write_all(&mut [bytes.into()]))
            .await
            .unwrap();
    }

    pub(crate) async fn event(&mut self, topic: &str, data: impl Into<Bytes>) {
        self.raw(EventLine::new(topic, data).to_line()).await;
    }

    pub(crate) async fn error(&mut self, error: ErrorData) {
        self.raw(EventLine::error(&error).to_line()).await;
    }

    /// Refuses a topic.
    pub(crate) async fn refuse(&mut self, code: Code, topic: &str) {
        self.error(ErrorData::new(code).with_topic(topic)).await;
    }

    /// Ends the stream and waits until all of it has arrived.
    pub(crate) async fn delivered(&mut self) {
        self.stream.finish();
        let _ = soon(self.stream.stopped()).await;
    }

    /// Writes for as long as the client reads.
    pub(crate) async fn pour(&mut self, bytes: Bytes, times: usize) -> usize {
        let mut queue = VecDeque::new();
        let mut written = 0;
        for _ in 0..times {
            queue.push_back(bytes.clone());
            while !queue.is_empty() {
                match soon(self.stream.write_queue(&mut queue)).await {
                    Ok(count) => written += count,
                    Err(_) => return written,
                }
            }
        }
        written
    }
}
