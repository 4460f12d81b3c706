//! HTTP by hand: requests of HTTP/1.1, and frames of HTTP/2 that no client would send.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::target::{Target, hostile_address};

/// Connects to the server's port for HTTP, from the hostile address of that number.
pub(crate) async fn connect(target: &Target, host: u8) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(hostile_address(host), 0))?;
    let server = target.http.context("the server answers no HTTP")?;
    Ok(socket.connect(server).await?)
}

/// Returns a request of HTTP/1.1 with a token; without one if that is empty. `headers` is lines
/// that end in `\r\n`.
pub(crate) fn request(
    method: &str,
    path: &str,
    token: &str,
    headers: &str,
    body: &[u8],
) -> Vec<u8> {
    let authorization = match token {
        "" => String::new(),
        token => format!("authorization: Bearer {token}\r\n"),
    };
    let length = body.len();
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}{headers}\
         content-length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Reads on until `end` was read.
pub(crate) async fn read_until(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
    end: &[u8],
) -> Result<()> {
    while !read.windows(end.len()).any(|window| window == end) {
        if stream.read_buf(read).await? == 0 {
            bail!("the connection ended after {} bytes", read.len());
        }
    }
    Ok(())
}

/// What an HTTP/2 connection begins with: the preface, and empty settings.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Returns a frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    let mut frame = Vec::with_capacity(9 + payload.len());
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Returns the fields of a `GET` (RFC 7541), none of which is to be indexed.
pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    const GET: u8 = 0x82;
    const SCHEME_HTTP: u8 = 0x86;
    const AUTHORITY: &[u8] = &[0x01];
    const PATH: &[u8] = &[0x04];
    const AUTHORIZATION: &[u8] = &[0x0f, 0x08];
    let mut fields = vec![GET, SCHEME_HTTP];
    field(&mut fields, AUTHORITY, "localhost");
    field(&mut fields, PATH, path);
    field(&mut fields, AUTHORIZATION, &format!("Bearer {token}"));
    fields
}

/// Appends a field whose name has an index. The value has less than 127 bytes.
fn field(fields: &mut Vec<u8>, name: &[u8], value: &str) {
    fields.extend_from_slice(name);
    fields.push(value.len() as u8);
    fields.extend_from_slice(value.as_bytes());
}

/// Returns a `GET` on a stream.
pub(crate) fn get_on(stream: u32, fields: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, fields)
}

/// Returns what gives up a stream.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    const CANCEL: u32 = 8;
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_length_and_stream() {
        let expected = b"\0\0\x04\x03\0\0\0\0\x07\0\0\0\x08";
        assert_eq!(reset(7), expected);
        let fields = get("/a", "t");
        assert!(fields.starts_with(b"\x82\x86\x01\x09localhost\x04\x02/a\x0f\x08\x08Bearer t"));
    }
}
