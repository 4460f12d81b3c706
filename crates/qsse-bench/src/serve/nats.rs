//! The publisher of a NATS server, which is a process of its own: text `PUB` lines over TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::{ClientConnection, StreamOwned};

use super::start::{Start, at_rate, listening};
use crate::work::{Task, Work};
use crate::{payload, tls};

/// Bytes of events published in one go, each followed by a `PING`.
const BURST_BYTES: usize = 32 << 10;

/// Bursts that the server may be behind.
const BURSTS_AHEAD: usize = 16;

/// Publishes until the process ends. It never outruns the server: that would cost slow subscribers
/// their connection.
pub(super) fn publish(work: &Work, start: &Start) -> Result<()> {
    let address = work.server.context("the server's address is missing")?;
    let mut stream = connect(address, work)?;
    listening(address);
    start.wait();
    match work.task {
        Task::Flood => flood(&mut stream, work.event_bytes),
        Task::Steady { events_per_s } => {
            at_rate(events_per_s, work.event_bytes, move |data| {
                stream.write_all(&message(&data))?;
                Ok(stream.flush()?)
            });
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        }
        Task::Welcome | Task::Take => bail!("there is nothing to publish"),
    }
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: SocketAddr, work: &Work) -> Result<Tls> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    // The server speaks first, in the clear.
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"\r\n") {
        let mut byte = [0];
        ensure!(socket.read(&mut byte)? == 1, "the server hung up");
        greeting.push(byte[0]);
    }
    let config = Arc::new(tls::client(&work.certificates, false)?);
    let connection = ClientConnection::new(config, tls::NAME.try_into()?)?;
    let mut stream = StreamOwned::new(connection, socket);
    stream
        .write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true}\r\n")?;
    stream.write_all(b"PING\r\n")?;
    Pongs::default().wait(&mut stream)?;
    Ok(stream)
}

fn message(data: &[u8]) -> Vec<u8> {
    let mut message = format!("PUB bench {}\r\n", data.len()).into_bytes();
    message.extend_from_slice(data);
    message.extend_from_slice(b"\r\n");
    message
}

/// Publishes as fast as the server takes it.
fn flood(stream: &mut Tls, event_bytes: usize) -> Result<()> {
    let message = message(&payload::blank(event_bytes));
    let mut burst = message.repeat((BURST_BYTES / event_bytes).max(1));
    burst.extend_from_slice(b"PING\r\n");
    let mut pongs = Pongs::default();
    let mut ahead = 0;
    loop {
        stream.write_all(&burst)?;
        ahead += 1;
        if ahead > BURSTS_AHEAD {
            pongs.wait(stream)?;
            ahead -= 1;
        }
    }
}

/// What the server answers, counted.
#[derive(Default)]
struct Pongs {
    /// The beginning of a line.
    rest: Vec<u8>,
    /// Answers that nobody has waited for yet.
    ready: usize,
}

impl Pongs {
    /// Takes one answer.
    fn wait(&mut self, stream: &mut impl Read) -> Result<()> {
        while self.ready == 0 {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer)?;
            ensure!(read > 0, "the server hung up");
            self.take(&buffer[..read])?;
        }
        self.ready -= 1;
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.windows(2).position(|two| two == b"\r\n") {
            let line: Vec<u8> = self.rest.drain(..end + 2).collect();
            match &line[..] {
                b"PONG\r\n" => self.ready += 1,
                refused if refused.starts_with(b"-ERR") => {
                    bail!("{}", String::from_utf8_lossy(refused).trim())
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_also_in_pieces() {
        let mut pongs = Pongs::default();
        pongs.take(b"INFO {}\r\nPO").unwrap();
        assert_eq!(pongs.ready, 0);
        pongs.take(b"NG\r\nPONG\r\n").unwrap();
        assert_eq!(pongs.ready, 2);
        assert!(pongs.take(b"-ERR 'Slow Consumer'\r\n").is_err());
    }

    #[test]
    fn a_message_has_its_length() {
        assert_eq!(message(b"abc"), b"PUB bench 3\r\nabc\r\n");
    }
}
