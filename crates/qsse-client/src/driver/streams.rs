//! The beginning of a subscription's stream: reading its header.

use std::time::Duration;

use qsse_proto::stream::{Decoder, Item};
use qsse_proto::{Code, DecodeError};
use qsse_transport::{ReadError, RecvStream};
use tokio::time::timeout;

use crate::subscription::coming::Incoming;

/// What came of a stream that the server opened.
pub(super) enum Arrival {
    Stream(Box<Incoming>),
    /// It ended before its header; the subscription that it was for is unknown.
    Ended,
    /// Its header did not come in time.
    Late,
    Broken(DecodeError),
}

/// Reads the header. The other streams are not held up by one whose header is slow: each is read in a future of its own.
pub(super) async fn arrive(
    mut stream: RecvStream,
    max_event_bytes: usize,
    deadline: Duration,
) -> Arrival {
    let mut decoder = Decoder::new(max_event_bytes);
    let arrival = timeout(deadline, async {
        loop {
            match decoder.next() {
                Ok(Some(Item::Header(header))) => return Ok(header),
                // The decoder gives the header before anything else.
                Ok(Some(_)) | Ok(None) => {}
                Err(error) => return Err(Arrival::Broken(error)),
            }
            match stream.read_chunk().await {
                Ok(Some(chunk)) => decoder.push(chunk),
                Ok(None) | Err(ReadError::Reset(_) | ReadError::Connection(_)) => {
                    return Err(Arrival::Ended);
                }
                Err(_) => return Err(Arrival::Ended),
            }
        }
    })
    .await
    .unwrap_or(Err(Arrival::Late));
    match arrival {
        Ok(header) => Arrival::Stream(Box::new(Incoming {
            stream,
            decoder,
            server: header.epoch,
            header,
            resets: 0,
        })),
        Err(arrival) => {
            if let Arrival::Broken(error) = &arrival {
                stream.stop(error.code());
            } else if let Arrival::Late = &arrival {
                stream.stop(Code::PROTOCOL_VIOLATION);
            }
            arrival
        }
    }
}
