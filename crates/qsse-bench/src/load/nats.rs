//! Clients of a NATS server: the text protocol over TLS, a connection each.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tally::Tally;
use crate::payload;
use crate::tls;
use crate::work::Load;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes of events published in one go, each followed by a `PING`.
const BURST_BYTES: usize = 16 << 10;

/// Bursts that the server may be behind.
const BURSTS_AHEAD: usize = 8;

/// Connects to one server.
pub(super) struct Dialer {
    load: Load,
    config: Arc<ClientConfig>,
}

/// A connection that is greeted.
pub(super) struct Subscriber {
    stream: TlsStream<TcpStream>,
    read: BytesMut,
}

impl Dialer {
    pub(super) fn new(load: &Load) -> Result<Self> {
        Ok(Self {
            load: load.clone(),
            config: Arc::new(tls::client(&load.work.certificates, load.work.resumed)?),
        })
    }

    /// A connection that is greeted and has said this.
    async fn say(&self, text: &str) -> Result<Subscriber> {
        let mut socket = TcpStream::connect(self.load.address).await?;
        socket.set_nodelay(true)?;
        // The server speaks first, in the clear.
        while socket.read_u8().await.context("no greeting")? != b'\n' {}
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let mut stream = connector.connect(tls::NAME.try_into()?, socket).await?;
        let connect = "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true}\r\n";
        let hello = format!("{connect}{text}PING\r\n");
        stream.write_all(hello.as_bytes()).await?;
        stream.flush().await?;
        let mut subscriber = Subscriber {
            stream,
            read: BytesMut::new(),
        };
        subscriber.pong().await?;
        Ok(subscriber)
    }

    pub(super) async fn subscribe(&self, topic: &str) -> Result<Subscriber> {
        self.say(&format!("SUB {topic} 1\r\n")).await
    }

    pub(super) async fn connect(&self) -> Result<Subscriber> {
        self.say("").await
    }
}

impl Subscriber {
    pub(super) async fn receive(mut self, tally: Tally) -> Result<()> {
        loop {
            while let Some((said, used)) = parse(&self.read)? {
                match said {
                    Said::Message(data) => tally.event(data),
                    Said::Ping => self.stream.write_all(b"PONG\r\n").await?,
                    Said::Pong | Said::Other => {}
                }
                self.read.advance(used);
            }
            self.more().await?;
        }
    }

    /// Publishes for ever, counting what the server has taken.
    pub(super) async fn publish(mut self, tally: Tally) -> Result<()> {
        let data = payload::blank(tally.event_bytes());
        let events = (BURST_BYTES / data.len()).max(1);
        let mut message = format!("PUB bench {}\r\n", data.len()).into_bytes();
        message.extend_from_slice(&data);
        message.extend_from_slice(b"\r\n");
        let mut burst = message.repeat(events);
        burst.extend_from_slice(b"PING\r\n");
        for _ in 0..BURSTS_AHEAD {
            self.stream.write_all(&burst).await?;
        }
        loop {
            self.stream.write_all(&burst).await?;
            self.stream.flush().await?;
            self.pong().await?;
            tally.add(events as u64);
        }
    }

    /// Waits for the answer to a `PING`.
    async fn pong(&mut self) -> Result<()> {
        loop {
            while let Some((said, used)) = parse(&self.read)? {
                let (pong, ping) = (matches!(said, Said::Pong), matches!(said, Said::Ping));
                self.read.advance(used);
                if pong {
                    return Ok(());
                }
                if ping {
                    self.stream.write_all(b"PONG\r\n").await?;
                }
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<()> {
        self.read.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.read).await?;
        ensure!(read > 0, "the server hung up");
        Ok(())
    }
}

/// One thing that the server says.
#[derive(Debug, PartialEq, Eq)]
enum Said<'a> {
    Message(&'a [u8]),
    Ping,
    Pong,
    Other,
}

/// What the bytes begin with and how long it is; `None` if it is not all there yet.
fn parse(bytes: &[u8]) -> Result<Option<(Said<'_>, usize)>> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return Ok(None);
    };
    let line = bytes[..end].trim_ascii_end();
    let used = end + 1;
    if let Some(arguments) = line.strip_prefix(b"MSG ") {
        let length = arguments
            .rsplit(|byte| *byte == b' ')
            .next()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse::<usize>().ok())
            .context("a message without a length")?;
        let all = used + length + 2;
        let data = bytes.get(..all).map(|all| &all[used..used + length]);
        return Ok(data.map(|data| (Said::Message(data), all)));
    }
    Ok(Some(match line {
        b"PING" => (Said::Ping, used),
        b"PONG" => (Said::Pong, used),
        refused if refused.starts_with(b"-ERR") => bail!("{}", String::from_utf8_lossy(refused)),
        _ => (Said::Other, used),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_length_and_wait_for_it() {
        let text = b"MSG bench 1 5\r\na\nb\r\n\r\nPING\r\n";
        assert_eq!(parse(text).unwrap(), Some((Said::Message(b"a\nb\r\n"), 22)));
        assert_eq!(parse(&text[22..]).unwrap(), Some((Said::Ping, 6)));
        for end in 0..22 {
            assert_eq!(parse(&text[..end]).unwrap(), None, "{end}");
        }
        let reply = parse(b"MSG bench 1 inbox 2\r\nhi\r\n").unwrap();
        assert_eq!(reply, Some((Said::Message(b"hi"), 25)));
    }

    #[test]
    fn refusals_are_errors_and_the_rest_is_passed_over() {
        assert_eq!(parse(b"INFO {}\r\n").unwrap(), Some((Said::Other, 9)));
        assert_eq!(parse(b"+OK\r\n").unwrap(), Some((Said::Other, 5)));
        assert!(parse(b"-ERR 'Slow Consumer'\r\n").is_err());
        assert!(parse(b"MSG bench 1 x\r\n").is_err());
    }
}
