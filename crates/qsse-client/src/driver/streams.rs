//! Reads the header of a subscription's stream.

use std::time::Duration;

use qsse_proto::stream::{Decoder, Item};
use qsse_proto::{Code, DecodeError};
use qsse_transport::RecvStream;
use tokio::time::timeout;

use crate::slot::NewQsseStream;

/// The result of reading the header of a stream that the server opened.
pub(super) enum Arrival {
    Stream(Box<NewQsseStream>),
    /// The stream ended before its header, so its subscription is unknown.
    Ended,
    /// The header did not arrive in time.
    Late,
    Broken(DecodeError),
}

/// Reads the header of a stream, in its own future, so that a slow header does not delay other
/// streams.
pub(super) async fn arrive(
    mut stream: RecvStream,
    max_event_bytes: usize,
    stream_timeout: Duration,
) -> Arrival {
    let mut decoder = Decoder::new(max_event_bytes);
    let arrival = timeout(stream_timeout, async {
        loop {
            match decoder.next() {
                Ok(Some(Item::Header(header))) => return Ok(header),
                // The decoder returns the header before anything else.
                Ok(Some(_)) | Ok(None) => {}
                Err(error) => return Err(Arrival::Broken(error)),
            }
            match stream.read_chunk().await {
                Ok(Some(chunk)) => decoder.push(chunk),
                Ok(None) | Err(_) => return Err(Arrival::Ended),
            }
        }
    })
    .await
    .unwrap_or(Err(Arrival::Late));
    match arrival {
        Ok(header) => Arrival::Stream(Box::new(NewQsseStream {
            stream,
            decoder,
            server_epoch: header.epoch,
            header,
            resets: 0,
        })),
        Err(arrival) => {
            match &arrival {
                Arrival::Broken(error) => stream.stop(error.code()),
                Arrival::Late => stream.stop(Code::PROTOCOL_VIOLATION),
                _ => {}
            }
            arrival
        }
    }
}
