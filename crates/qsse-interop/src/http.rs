//! Pages served over plain HTTP: metrics.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The metrics that are served there.
pub(crate) async fn metrics(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
        .await
        .context("asking for metrics")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
