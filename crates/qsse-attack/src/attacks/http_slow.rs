//! [`HttpSlow`]: HTTP connections that cost their client nothing.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use crate::attack::{Attack, Tally, again, before};
use crate::http;
use crate::setup::{ATTACKER, Scale, Setup, UNREAD_BYTES};
use crate::target::Target;

/// Sends heads and bodies byte by byte, reads nothing, or does nothing.
pub(crate) struct HttpSlow;

/// The places of the server. The attacker dials more.
const PLACES: usize = 400;

/// The hostile networks have one address each.
const HOSTS: u8 = 4;

/// The time between two bytes.
const DRIP: Duration = Duration::from_millis(200);

/// An event of the history that is not read.
const EVENT_BYTES: usize = 256 << 10;

/// What a connection may cost, with its TLS-less buffers of 64 KiB in each direction.
const CONNECTION_BYTES: u64 = 192 << 10;

fn connections(scale: Scale) -> usize {
    scale.of(500, 800)
}

#[async_trait(?Send)]
impl Attack for HttpSlow {
    fn name(&self) -> &'static str {
        "http-slow"
    }

    fn about(&self) -> &'static str {
        "HTTP connections with slow heads, slow bodies, without requests, or that read nothing"
    }

    fn unit(&self) -> &'static str {
        "connections"
    }

    fn setup(&self, _: Scale) -> Setup {
        Setup {
            http: true,
            settings: vec![
                ("limits_http_connections", PLACES.to_string()),
                ("limits_http_head_timeout", "1s".into()),
                ("limits_http_stall_timeout", "1s".into()),
            ],
            publish: &["attacker.*"],
            bound: UNREAD_BYTES + PLACES as u64 * CONNECTION_BYTES,
            shown_by: &["http_connections_ended{"],
            ..Setup::default()
        }
    }

    async fn prepare(&self, target: &Target) -> Result<()> {
        let publisher = target.operator().await?.publisher();
        for _ in 0..32 {
            publisher
                .send("attacker.large", vec![0; EVENT_BYTES])
                .await?;
        }
        publisher.flush().await?;
        Ok(())
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let count = connections(target.scale);
        let slow = (0..count).map(|number| {
            again(until, tally, move || async move {
                let host = (number % usize::from(HOSTS)) as u8 + 1;
                let stream = http::connect(target, host).await?;
                tally.done(1);
                slow(stream, number, until).await
            })
        });
        join_all(slow).await;
        Ok(())
    }
}

/// Is slow until the server closes the connection, which is an error.
async fn slow(mut stream: TcpStream, number: usize, until: Instant) -> Result<()> {
    let upload = "/publish/attacker.up";
    match number % 5 {
        0 => {}
        1 => drip(&mut stream, b"GET /events?topic=attacker.x HTTP/1.1\r\nx: ").await?,
        2 => {
            let mut begin = http::request("POST", upload, ATTACKER, "", &[b'x'; 500_000]);
            let rest = begin.split_off(begin.len() - 400_000);
            stream.write_all(&begin).await?;
            drip(&mut stream, &rest).await?;
        }
        3 => {
            let path = "/events?topic=attacker.large&start=earliest";
            stream
                .write_all(&http::request("GET", path, ATTACKER, "", b""))
                .await?;
            sleep_until(until).await;
        }
        _ => stream.write_all(http::PREFACE).await?,
    }
    let mut answer = [0; 1_024];
    while before(until, stream.read(&mut answer))
        .await
        .transpose()?
        .unwrap_or(1)
        > 0
    {
        if Instant::now() >= until {
            return Ok(());
        }
    }
    anyhow::bail!("the server closed it")
}

async fn drip(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        sleep(DRIP).await;
    }
    Ok(())
}
