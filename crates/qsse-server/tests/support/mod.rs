//! A client that speaks frames by hand, so that it can also misbehave.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
#![allow(dead_code, reason = "each test program uses its own part")]

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use qsse_proto::control::{
    ClientFrame, Hello, OnLag, ServerFrame, Start, Subscribe, Token, Welcome,
};
use qsse_proto::publish::{
    AckFrame, Key, KeyScope, OpenPublisher, Publish, PublisherFrame, PublisherId, Retry,
};
use qsse_proto::stream::{Decoder, Item, StreamHeader};
use qsse_proto::{Code, Epoch, Event, Kind};
use qsse_server::{Server, ServerBuilder};
use qsse_transport::tls::ClientTls;
use qsse_transport::{
    ClientEndpoint, Connection, ConnectionError, FrameReader, FrameWriter, ReadError, RecvStream,
    TransportConfig,
};

/// A server on a free port of loopback.
pub(crate) fn server() -> ServerBuilder {
    Server::bind("127.0.0.1:0")
}

pub(crate) struct RawClient {
    pub(crate) connection: Connection,
    pub(crate) writer: FrameWriter,
    pub(crate) reader: FrameReader,
    /// As what it publishes.
    pub(crate) id: PublisherId,
    _endpoint: ClientEndpoint,
}

impl RawClient {
    /// A connection on which nothing was said.
    pub(crate) async fn open(server: &Server) -> (Connection, ClientEndpoint) {
        Self::open_with(server, TransportConfig::client()).await
    }

    async fn open_with(server: &Server, config: TransportConfig) -> (Connection, ClientEndpoint) {
        let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let trust = ClientTls::pinned([server.fingerprint().unwrap()]);
        let connection = endpoint.connect(server.local_addr(), "localhost", &trust, &config);
        (connection.await.unwrap(), endpoint)
    }

    /// A connection that has sent a `Hello`.
    pub(crate) async fn hello(server: &Server, token: Option<&str>) -> Self {
        Self::hello_with(server, token, TransportConfig::client()).await
    }

    pub(crate) async fn hello_with(
        server: &Server,
        token: Option<&str>,
        config: TransportConfig,
    ) -> Self {
        let (connection, endpoint) = Self::open_with(server, config).await;
        let (send, recv) = connection.open_bi().await.unwrap();
        let (writer, reader) = (FrameWriter::new(send), FrameReader::new(recv, 1 << 20));
        let mut client = Self {
            connection,
            writer,
            reader,
            id: random_id(),
            _endpoint: endpoint,
        };
        let token = token.map(|token| Token::new(token).unwrap());
        client
            .send(Hello {
                features: 0,
                agent: "test".into(),
                token,
            })
            .await;
        client
    }

    /// A connection that was let in.
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::connect_with(server, None).await.0
    }

    pub(crate) async fn connect_with(server: &Server, token: Option<&str>) -> (Self, Welcome) {
        let mut client = Self::hello(server, token).await;
        match client.next().await {
            ServerFrame::Welcome(welcome) => (client, welcome),
            other => panic!("a welcome, not {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, frame: impl Into<ClientFrame>) {
        self.writer.send(frame.into().encode()).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> ServerFrame {
        let frame = self
            .reader
            .next()
            .await
            .expect("a frame")
            .expect("the stream is open");
        ServerFrame::decode(frame).unwrap()
    }

    pub(crate) async fn ask(&mut self, id: u32, patterns: &[&str], start: Start) {
        let patterns = patterns.iter().map(|text| (*text).to_owned()).collect();
        self.send(Subscribe {
            id,
            patterns,
            start,
            on_lag: OnLag::CatchUp,
        })
        .await;
    }

    /// Asks, and takes the stream that comes.
    pub(crate) async fn subscribe(&mut self, id: u32, patterns: &[&str], start: Start) -> Events {
        self.ask(id, patterns, start).await;
        match self.next().await {
            ServerFrame::Subscribed(subscribed) => assert_eq!(subscribed.id, id),
            other => panic!("a confirmation, not {other:?}"),
        }
        let events = Events::accept(&self.connection).await;
        assert_eq!(events.header.id, id);
        events
    }

    /// Asks, and expects a refusal.
    pub(crate) async fn refused(
        &mut self,
        id: u32,
        patterns: &[&str],
        start: Start,
    ) -> (Code, String) {
        self.ask(id, patterns, start).await;
        self.refusal(id).await
    }

    pub(crate) async fn refusal(&mut self, id: u32) -> (Code, String) {
        match self.next().await {
            ServerFrame::Refused(refused) if refused.id == id => (refused.code, refused.message),
            other => panic!("a refusal, not {other:?}"),
        }
    }

    /// Waits for the close.
    pub(crate) async fn closed(&self) -> (Code, String) {
        closed(&self.connection).await
    }

    pub(crate) async fn publisher(&self, ordered: bool) -> RawPublisher {
        self.publisher_named("", ordered).await
    }

    pub(crate) async fn publisher_named(&self, name: &str, ordered: bool) -> RawPublisher {
        let (id, name) = (self.id, name.to_owned());
        self.publisher_as(KeyScope::Named { id, name }, ordered)
            .await
    }

    pub(crate) async fn publisher_as(&self, scope: KeyScope, ordered: bool) -> RawPublisher {
        let (send, recv) = self.connection.open_bi().await.unwrap();
        let (mut writer, reader) = (FrameWriter::new(send), FrameReader::new(recv, 1 << 20));
        writer.queue(PublisherFrame::from(OpenPublisher { ordered, scope }).encode());
        RawPublisher { writer, reader }
    }
}

/// An id of no other client.
fn random_id() -> PublisherId {
    let random = RandomState::new().hash_one("a publisher");
    PublisherId::new((u128::from(random) << 64).to_le_bytes())
}

/// Waits for the close: its code.
pub(crate) async fn close_code(connection: &Connection) -> Code {
    closed(connection).await.0
}

async fn closed(connection: &Connection) -> (Code, String) {
    match connection.closed().await {
        ConnectionError::Closed { code, reason } => (code, reason),
        other => panic!("a close, not {other:?}"),
    }
}

pub(crate) struct RawPublisher {
    pub(crate) writer: FrameWriter,
    pub(crate) reader: FrameReader,
}

impl RawPublisher {
    pub(crate) fn queue(&mut self, topic: &str, matching: bool, data: &[u8]) {
        let data = Bytes::copy_from_slice(data);
        self.writer
            .queue(Publish::new(matching, topic, &Kind::MESSAGE, data).encode());
    }

    /// Queues a publish with a key; `retry` is the epoch and the age in milliseconds.
    pub(crate) fn queue_keyed(&mut self, key: &str, retry: Option<(u64, u64)>, data: &str) {
        let key = Key::new(key.to_owned()).unwrap();
        let retry = retry.map(|(epoch, ago_ms)| Retry {
            epoch: Epoch::new(epoch),
            ago_ms,
        });
        let data = Bytes::copy_from_slice(data.as_bytes());
        let publish = Publish::new(false, "a", &Kind::MESSAGE, data);
        self.writer.queue(publish.keyed(key, retry).encode());
    }

    pub(crate) async fn next(&mut self) -> AckFrame {
        self.writer.flush().await.unwrap();
        let frame = self
            .reader
            .next()
            .await
            .expect("a frame")
            .expect("the stream is open");
        AckFrame::decode(frame).unwrap()
    }
}

pub(crate) struct Events {
    pub(crate) header: StreamHeader,
    stream: RecvStream,
    decoder: Decoder,
}

impl Events {
    pub(crate) async fn accept(connection: &Connection) -> Self {
        let stream = connection.accept_uni().await.unwrap();
        let mut decoder = Decoder::new(2 << 20);
        let mut stream = stream;
        loop {
            match decoder.next().unwrap() {
                Some(Item::Header(header)) => {
                    return Self {
                        header,
                        stream,
                        decoder,
                    };
                }
                Some(other) => panic!("a header, not {other:?}"),
                None => decoder.push(stream.read_chunk().await.unwrap().expect("an open stream")),
            }
        }
    }

    /// The next item; `None` at the stream's end.
    pub(crate) async fn item(&mut self) -> Result<Option<Item>, ReadError> {
        loop {
            if let Some(item) = self.decoder.next().unwrap() {
                return Ok(Some(item));
            }
            match self.stream.read_chunk().await? {
                Some(chunk) => self.decoder.push(chunk),
                None => return Ok(None),
            }
        }
    }

    /// The next event, past heartbeats.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            match self.item().await.unwrap().expect("the stream is open") {
                Item::Event(event) => return event,
                Item::Heartbeat(_) | Item::Epoch(_) => {}
                other => panic!("an event, not {other:?}"),
            }
        }
    }

    /// The topics of the next events.
    pub(crate) async fn topics(&mut self, count: usize) -> Vec<String> {
        let mut topics = Vec::new();
        for _ in 0..count {
            topics.push(self.event().await.topic().to_string());
        }
        topics
    }

    pub(crate) fn stop(&mut self) {
        self.stream.stop(Code::UNSUBSCRIBED);
    }
}
