//! Readers of raw streams: they count bytes, or look at records of equal size when ages are asked
//! for.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use qsse_proto::Code;
use qsse_transport::tls::ClientTls;
use qsse_transport::{ClientEndpoint, Connection, RecvStream, SendStream, TransportConfig};

use super::tally::Tally;
use crate::work::Load;
use crate::{settings, tls};

/// Connects to one server.
pub(super) struct Dialer {
    load: Load,
    tls: ClientTls,
    config: TransportConfig,
    endpoint: ClientEndpoint,
}

/// A connection with a stream each way.
pub(super) struct Subscriber {
    connection: Connection,
    asking: SendStream,
    stream: RecvStream,
}

impl Dialer {
    pub(super) fn new(load: &Load, endpoint: ClientEndpoint) -> Result<Self> {
        Ok(Self {
            load: load.clone(),
            tls: tls::quic_client(&load.work.certificates, load.work.resumed)?,
            config: settings::client(load.work.peer),
            endpoint,
        })
    }

    pub(super) async fn subscribe(&self) -> Result<Subscriber> {
        let (address, config) = (self.load.address, &self.config);
        // By address, as a qsse client does it.
        let name = address.ip().to_string();
        let connecting = self.endpoint.connect(address, &name, &self.tls, config);
        let connection = connecting.await?;
        let mut asking = connection.open_uni().await?;
        asking.write_all(&mut [Bytes::from_static(b"!")]).await?;
        let mut stream = connection.accept_uni().await?;
        let answer = stream.read_chunk().await?.context("no answer")?;
        // The first event may be close behind.
        ensure!(answer.starts_with(b"+"), "another answer");
        Ok(Subscriber {
            connection,
            asking,
            stream,
        })
    }
}

impl Subscriber {
    pub(super) async fn receive(mut self, tally: Tally) -> Result<()> {
        let mut records = Records::new(tally);
        let mut chunks = [const { Bytes::new() }; 32];
        while let Some(read) = self.stream.read_chunks(&mut chunks).await? {
            for chunk in &chunks[..read] {
                records.take(chunk);
            }
            records.count();
        }
        Ok(())
    }

    /// Writes chunks for ever, counting the events that they could be.
    pub(super) async fn publish(mut self, tally: Tally) -> Result<()> {
        let bytes = tally.event_bytes();
        let events = ((64 << 10) / bytes).max(1);
        let chunk = Bytes::from(crate::payload::blank(bytes).repeat(events));
        loop {
            self.asking.write_all(&mut [chunk.clone()]).await?;
            tally.add(events as u64);
        }
    }

    pub(super) fn leave(self) {
        self.connection.close(Code::NO_ERROR, "done");
    }
}

/// Events of equal size in a row, cut anywhere.
struct Records {
    tally: Tally,
    /// Bytes that are not counted yet, of a reader that looks at none.
    bytes: usize,
    /// The beginning of an event, of a reader that looks.
    rest: Vec<u8>,
}

impl Records {
    fn new(tally: Tally) -> Self {
        Self {
            tally,
            bytes: 0,
            rest: Vec::new(),
        }
    }

    fn take(&mut self, mut chunk: &[u8]) {
        if !self.tally.looks() {
            self.bytes += chunk.len();
            return;
        }
        let size = self.tally.event_bytes();
        if !self.rest.is_empty() {
            let (end, others) = chunk.split_at(chunk.len().min(size - self.rest.len()));
            self.rest.extend_from_slice(end);
            chunk = others;
            if self.rest.len() == size {
                self.tally.event(&self.rest);
                self.rest.clear();
            }
        }
        let whole = chunk.chunks_exact(size);
        self.rest.extend_from_slice(whole.remainder());
        whole.for_each(|record| self.tally.event(record));
    }

    fn count(&mut self) {
        let size = self.tally.event_bytes();
        self.tally.add((self.bytes / size) as u64);
        self.bytes %= size;
    }
}
