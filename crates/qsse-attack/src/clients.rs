//! [`Attacker`]: a client that speaks frames by hand, and so may send what ours never would.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use qsse_proto::control::{
    ClientFrame, Hello, OnLag, ServerFrame, Start, Subscribe, Token, Unsubscribe,
};
use qsse_proto::publish::{AckFrame, KeyScope, OpenPublisher, PublisherFrame};
use qsse_transport::tls::ClientTls;
use qsse_transport::{ClientEndpoint, Connection, FrameReader, FrameWriter, TransportConfig};

/// The server name in its handshakes.
pub(crate) const SERVER_NAME: &str = "localhost";

/// The longest answer that it reads.
const ANSWER_BYTES: usize = 1 << 20;

/// A socket from which hostile connections are made.
pub(crate) struct Attacker {
    pub(crate) endpoint: ClientEndpoint,
    pub(crate) server: SocketAddr,
    pub(crate) trust: ClientTls,
    pub(crate) token: String,
    pub(crate) config: TransportConfig,
}

impl Attacker {
    /// Opens a connection and says nothing on it.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let (trust, config) = (&self.trust, &self.config);
        let connected = self
            .endpoint
            .connect(self.server, SERVER_NAME, trust, config);
        Ok(connected.await?)
    }

    /// Opens a connection, says `Hello` and waits for the answer. Fails if that is no `Welcome`.
    pub(crate) async fn session(&self) -> Result<Session> {
        let connection = self.connect().await?;
        let (send, recv) = connection.open_bi().await?;
        let mut session = Session {
            connection,
            writer: FrameWriter::new(send),
            reader: FrameReader::new(recv, ANSWER_BYTES),
        };
        let hello = Hello {
            features: 0,
            agent: "attacker".into(),
            token: Some(Token::new(self.token.clone())?),
        };
        session.queue(hello);
        session.flush().await?;
        match session.next().await? {
            ServerFrame::Welcome(_) => Ok(session),
            other => bail!("no welcome, but {other:?}"),
        }
    }
}

/// A hostile connection that was let in. Dropping it closes the connection.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    writer: FrameWriter,
    reader: FrameReader,
}

impl Session {
    /// Queues a frame.
    pub(crate) fn queue(&mut self, frame: impl Into<ClientFrame>) {
        self.writer.queue(frame.into().encode());
    }

    /// Queues a `Subscribe`.
    pub(crate) fn subscribe(&mut self, id: u32, patterns: Vec<String>, start: Start) {
        self.queue(Subscribe {
            id,
            patterns,
            start,
            on_lag: OnLag::CatchUp,
        });
    }

    /// Queues an `Unsubscribe`.
    pub(crate) fn unsubscribe(&mut self, id: u32) {
        self.queue(Unsubscribe { id });
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        Ok(self.writer.flush().await?)
    }

    /// Waits for the next frame of the server.
    pub(crate) async fn next(&mut self) -> Result<ServerFrame> {
        let frame = self.reader.next().await?.context("the stream ended")?;
        Ok(ServerFrame::decode(frame)?)
    }

    /// Opens a publishing stream.
    pub(crate) async fn publisher(&self) -> Result<RawPublisher> {
        let (send, recv) = self.connection.open_bi().await?;
        let mut publisher = RawPublisher {
            writer: FrameWriter::new(send),
            reader: FrameReader::new(recv, ANSWER_BYTES),
        };
        let open = OpenPublisher {
            ordered: false,
            scope: KeyScope::default(),
        };
        publisher.queue(PublisherFrame::from(open).encode());
        Ok(publisher)
    }
}

/// A publishing stream of an attacker.
pub(crate) struct RawPublisher {
    writer: FrameWriter,
    reader: FrameReader,
}

impl RawPublisher {
    /// Queues bytes, which may be a part of a frame.
    pub(crate) fn queue(&mut self, bytes: Bytes) {
        self.writer.queue(bytes);
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        Ok(self.writer.flush().await?)
    }

    /// Waits for the next answer, and returns how many publishes it answers and whether it accepts
    /// them.
    pub(crate) async fn answer(&mut self) -> Result<Answer> {
        let frame = self.reader.next().await?.context("the stream ended")?;
        Ok(match AckFrame::decode(frame)? {
            AckFrame::Acknowledged(acknowledged) => Answer::Through(acknowledged.through),
            AckFrame::PublishRefused(refused) => Answer::Refused(refused.number),
            _ => Answer::Other,
        })
    }
}

/// An answer to publishes, which are numbered from 0 on their stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All up to this one were accepted.
    Through(u64),
    /// This one was refused.
    Refused(u64),
    /// It says nothing about publishes.
    Other,
}
