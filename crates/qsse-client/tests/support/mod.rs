//! A scripted server, which can also misbehave.
#![allow(dead_code, reason = "each test uses its own part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "this is a test too, though the lint does not see it"
)]

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use qsse_client::{
    Client, Code, Config, Connect, Epoch, Event, EventId, Item, Notice, ReconnectPolicy, ServerUrl,
};
use qsse_client::{Subscription, Timestamp};
use qsse_proto::batch::Builder;
use qsse_proto::control::{
    ClientFrame, Goodbye, Hello, Refused, ServerFrame, Subscribe, Subscribed, Welcome,
};
use qsse_proto::limits::CONTROL_FRAME_BYTES;
use qsse_proto::publish::{
    AckFrame, Acknowledged, AcknowledgedEpoch, OpenPublisher, Publish, PublishRefused,
    PublisherFrame,
};
use qsse_proto::stream::{EpochChange, Gap, GapReason, Heartbeat, Outcome, StreamHeader};
use qsse_transport::tls::ServerTls;
use qsse_transport::{
    Connection, ConnectionError, FrameReader, FrameWriter, SendStream, ServerEndpoint,
    TransportConfig,
};

pub(crate) mod go;

/// The epoch of the server's log, unless a test sets another.
pub(crate) const EPOCH: Epoch = Epoch::new(7);
/// The size of the largest event.
pub(crate) const MAX_EVENT: usize = 4096;

/// Longer than anything takes here: a test that waits this long has failed.
const FAR: Duration = Duration::from_secs(20);

/// Awaits something that has to happen.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(FAR, future)
        .await
        .expect("this takes too long")
}

/// Returns an id of the usual epoch.
pub(crate) fn id(seq: u64) -> EventId {
    EventId::new(EPOCH, seq)
}

/// Returns settings with which clients reconnect at once.
pub(crate) fn config() -> Config {
    Config::default().reconnect(ReconnectPolicy::backoff(
        Duration::from_millis(1),
        Duration::from_millis(20),
    ))
}

pub(crate) struct FakeServer {
    endpoint: ServerEndpoint,
    url: ServerUrl,
}

impl FakeServer {
    pub(crate) fn start() -> Self {
        Self::start_with(TransportConfig::server())
    }

    pub(crate) fn start_with(config: TransportConfig) -> Self {
        let tls = ServerTls::self_signed([] as [&str; 0]).unwrap();
        let fingerprint = tls.fingerprint().unwrap();
        let endpoint = ServerEndpoint::bind("127.0.0.1:0".parse().unwrap(), &tls, &config).unwrap();
        let url = ServerUrl::from(endpoint.local_addr()).with_fingerprint(fingerprint);
        Self::on(endpoint, url)
    }

    pub(crate) fn on(endpoint: ServerEndpoint, url: ServerUrl) -> Self {
        Self { endpoint, url }
    }

    pub(crate) fn url(&self) -> ServerUrl {
        self.url.clone()
    }

    /// Returns a client to connect to it.
    pub(crate) fn connect(&self) -> Connect {
        Client::connect(self.url()).config(config())
    }

    /// Accepts clients whose handshakes fail, without end.
    pub(crate) async fn handshakes_failing(&self) {
        loop {
            let handshake = self.endpoint.accept().await.unwrap();
            assert!(soon(handshake.complete()).await.is_err());
        }
    }

    /// Waits for the next connection, and sends nothing.
    pub(crate) async fn handshake(&self) -> Connection {
        let handshake = soon(self.endpoint.accept()).await.unwrap();
        soon(handshake.complete()).await.unwrap()
    }

    /// Closes, and returns the address once clients are notified.
    pub(crate) async fn stop(self) -> SocketAddr {
        let address = self.endpoint.local_addr();
        self.endpoint.close(Code::UNKNOWN, "down");
        soon(self.endpoint.wait_idle()).await;
        address
    }

    /// Waits for the next client, and does not welcome it yet.
    pub(crate) async fn accept(&self) -> Peer {
        let connection = self.handshake().await;
        let (send, recv) = soon(connection.accept_bi()).await.unwrap();
        let mut reader = FrameReader::new(recv, CONTROL_FRAME_BYTES);
        let frame = soon(reader.next()).await.unwrap().unwrap();
        let ClientFrame::Hello(hello) = ClientFrame::decode(frame).unwrap() else {
            panic!("the first frame is a hello")
        };
        Peer {
            connection,
            reader,
            writer: FrameWriter::new(send),
            hello,
            epoch: EPOCH,
            dedup_window_ms: 120_000,
            identity: 1,
            publisher_window_ms: 600_000,
        }
    }

    /// Waits for the next client, and welcomes it.
    pub(crate) async fn welcome(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.welcome().await;
        peer
    }

    /// Connects a client, and returns its server's side too.
    pub(crate) async fn pair(&self) -> (Client, Peer) {
        let (client, peer) = tokio::join!(self.connect(), self.welcome());
        (client.unwrap(), peer)
    }
}

/// The server's side of a connection.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    reader: FrameReader,
    writer: FrameWriter,
    pub(crate) hello: Hello,
    pub(crate) epoch: Epoch,
    /// For how long it says that it remembers keys.
    pub(crate) dedup_window_ms: u32,
    pub(crate) identity: u64,
    pub(crate) publisher_window_ms: u32,
}

impl Peer {
    pub(crate) async fn welcome(&mut self) {
        self.send(Welcome {
            features: 0,
            agent: "fake/1".into(),
            epoch: self.epoch,
            max_event_bytes: MAX_EVENT as u32,
            max_subscriptions: 128,
            heartbeat_ms: 1000,
            idle_timeout_ms: 30_000,
            dedup_window_ms: self.dedup_window_ms,
            dedup_keys: 100_000,
            identity: self.identity,
            publisher_window_ms: self.publisher_window_ms,
            publishers: 10_000,
        })
        .await;
    }

    pub(crate) async fn send(&mut self, frame: impl Into<ServerFrame>) {
        self.send_raw(frame.into().encode()).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: Bytes) {
        self.writer.send(bytes).await.unwrap();
    }

    /// Waits for the next frame of the control stream.
    pub(crate) async fn frame(&mut self) -> ClientFrame {
        let frame = soon(self.reader.next())
            .await
            .unwrap()
            .expect("the stream goes on");
        ClientFrame::decode(frame).unwrap()
    }

    pub(crate) async fn subscribe(&mut self) -> Subscribe {
        match self.frame().await {
            ClientFrame::Subscribe(subscribe) => subscribe,
            other => panic!("{other:?} is no subscribe"),
        }
    }

    /// Accepts the next subscription, confirms it at `position` and opens its stream.
    pub(crate) async fn serve(&mut self, position: u64, outcome: Outcome) -> (Subscribe, Feed) {
        let subscribe = self.subscribe().await;
        self.confirm(subscribe.id, position).await;
        let feed = self.feed(subscribe.id, position, outcome).await;
        (subscribe, feed)
    }

    pub(crate) async fn confirm(&mut self, id: u32, position: u64) {
        let position = EventId::new(self.epoch, position);
        self.send(Subscribed { id, position }).await;
    }

    pub(crate) async fn refuse(&mut self, id: u32, code: Code, message: &str) {
        self.send(Refused {
            id,
            code,
            message: message.into(),
            subject: None,
        })
        .await;
    }

    pub(crate) async fn goodbye(&mut self, retry_after_ms: Option<u32>) {
        let (code, message) = (Code::SHUTTING_DOWN, "moving house".into());
        self.send(Goodbye {
            code,
            message,
            retry_after_ms,
            address: None,
        })
        .await;
    }

    /// Opens a stream and writes its header.
    pub(crate) async fn feed(&self, id: u32, position: u64, outcome: Outcome) -> Feed {
        let mut feed = self.bare_feed().await;
        let header = StreamHeader {
            id,
            epoch: self.epoch,
            position,
            outcome,
        };
        feed.raw(header.encode()).await;
        feed
    }

    /// Opens a stream without a header.
    pub(crate) async fn bare_feed(&self) -> Feed {
        Feed {
            stream: soon(self.connection.open_uni()).await.unwrap(),
        }
    }

    /// Waits for the next publishing stream.
    pub(crate) async fn publisher(&self) -> Publishing {
        let (send, recv) = soon(self.connection.accept_bi()).await.unwrap();
        let mut reader = FrameReader::new(recv, 2 * 1024 * 1024);
        let frame = soon(reader.next()).await.unwrap().unwrap();
        let PublisherFrame::OpenPublisher(open) = PublisherFrame::decode(frame).unwrap() else {
            panic!("the first frame opens the publisher")
        };
        Publishing {
            reader,
            writer: FrameWriter::new(send),
            open,
        }
    }

    /// Breaks the connection, as a crashing server does.
    pub(crate) fn kill(&self) {
        self.connection.close(Code::UNKNOWN, "killed");
    }

    pub(crate) async fn closed(&self) -> ConnectionError {
        soon(self.connection.closed()).await
    }
}

/// The server's side of a subscription's stream.
pub(crate) struct Feed {
    pub(crate) stream: SendStream,
}

impl Feed {
    pub(crate) async fn raw(&mut self, bytes: Bytes) {
        soon(self.stream.write_all(&mut [bytes])).await.unwrap();
    }

    /// Writes one event for each seq, all in one batch. The data is the seq.
    pub(crate) async fn events(&mut self, seqs: impl IntoIterator<Item = u64>) {
        self.raw(batch(seqs)).await;
    }

    pub(crate) async fn gap(&mut self, after: u64, to: u64) {
        let gap = Gap {
            after,
            to,
            at_most: to - after,
            reason: GapReason::Retention,
        };
        self.raw(gap.encode()).await;
    }

    /// Sets the epoch of what follows.
    pub(crate) async fn epoch(&mut self, epoch: Epoch) {
        self.raw(EpochChange { epoch }.encode()).await;
    }

    pub(crate) async fn heartbeat(&mut self, position: u64) {
        self.raw(Heartbeat { position }.encode()).await;
    }
}

/// Returns a batch with one event for each seq. The data is the seq.
pub(crate) fn batch(seqs: impl IntoIterator<Item = u64>) -> Bytes {
    let mut builder = Builder::new();
    for seq in seqs {
        let (time, data) = (Timestamp::from_micros(seq), seq.to_string());
        builder.push(seq, time, "ride.7.start", "message", data.as_bytes());
    }
    builder.finish().bytes().clone()
}

/// Returns an unknown frame of the extension range.
pub(crate) fn extension() -> Bytes {
    Bytes::from_static(&[4, 0, 0, 0, 0x90, 1, 2, 3])
}

/// The server's side of a publishing stream.
pub(crate) struct Publishing {
    pub(crate) reader: FrameReader,
    pub(crate) writer: FrameWriter,
    pub(crate) open: OpenPublisher,
}

impl Publishing {
    /// Waits for the next publish; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Publish> {
        let frame = soon(self.reader.next()).await.unwrap()?;
        match PublisherFrame::decode(frame).unwrap() {
            PublisherFrame::Publish(publish) => Some(publish),
            other => panic!("{other:?} is no publish"),
        }
    }

    pub(crate) async fn ack(&mut self, through: u64, first: u64, last: u64) {
        let ack = AckFrame::from(Acknowledged {
            through,
            first,
            last,
        });
        self.writer.send(ack.encode()).await.unwrap();
    }

    /// Sets the epoch of the acknowledgements that follow.
    pub(crate) async fn epoch(&mut self, epoch: Epoch) {
        let frame = AckFrame::from(AcknowledgedEpoch { epoch });
        self.writer.send(frame.encode()).await.unwrap();
    }

    pub(crate) async fn refuse(&mut self, number: u64, code: Code, message: &str) {
        let refused = PublishRefused {
            number,
            code,
            message: message.into(),
        };
        self.writer
            .send(AckFrame::from(refused).encode())
            .await
            .unwrap();
    }
}

/// Waits for the next item, which has to be an event.
pub(crate) async fn event(subscription: &mut Subscription) -> Event {
    match soon(subscription.next_item()).await.expect("no end") {
        Ok(Item::Event(event)) => event,
        other => panic!("{other:?} is no event"),
    }
}

/// Waits for the next item, which has to be a notice.
pub(crate) async fn notice(subscription: &mut Subscription) -> Notice {
    match soon(subscription.next_item()).await.expect("no end") {
        Ok(Item::Notice(notice)) => notice,
        other => panic!("{other:?} is no notice"),
    }
}

/// Returns the seqs of the next events.
pub(crate) async fn seqs(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for _ in 0..count {
        seqs.push(event(subscription).await.id().seq());
    }
    seqs
}

/// Waits for the next item, which has to be an error.
pub(crate) async fn error(subscription: &mut Subscription) -> qsse_client::SubscriptionError {
    match soon(subscription.next_item()).await.expect("no end") {
        Err(error) => error,
        Ok(item) => panic!("{item:?} is no error"),
    }
}

/// Polls until a condition holds.
pub(crate) async fn until<T: Debug>(mut condition: impl FnMut() -> Result<(), T>) {
    let mut last = None;
    for _ in 0..2000 {
        match condition() {
            Ok(()) => return,
            Err(state) => last = Some(state),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never so: {last:?}");
}
