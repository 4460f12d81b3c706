//! Frames and codec of the `qsse/1` event protocol, without I/O.
//!
//! Bytes go in, frames and events come out, and vice versa. The crate knows no socket, clock or
//! runtime, so the same code serves a server, a client, a store, a fuzzer and a test. The
//! specification is `docs/protocol.md` in the repository; comments such as `QP-3.2` name its
//! clauses.
//!
//! A [`batch::Builder`] encodes events one after another. [`finish`] seals a [`Batch`], whose bytes
//! are exactly what is sent. A [`stream::Decoder`] returns each event as soon as its own bytes have
//! arrived, without copying its data.
//!
//! [`finish`]: batch::Builder::finish
//!
//! ```
//! use bytes::Bytes;
//! use qsse_proto::batch::Builder;
//! use qsse_proto::stream::{Decoder, Item, Outcome, StreamHeader};
//! use qsse_proto::{Epoch, Timestamp, limits};
//!
//! // The sending side: a header, then batches.
//! let header = StreamHeader { id: 1, epoch: Epoch::new(7), position: 0, outcome: Outcome::Live };
//! let mut builder = Builder::new();
//! builder.push(1, Timestamp::from_micros(5), "ride.7.start", "message", b"Ada");
//! builder.push(2, Timestamp::from_micros(9), "ride.7.start", "message", b"Bob");
//! let batch = builder.finish();
//!
//! // The receiving side: chunks in, items out.
//! let mut decoder = Decoder::new(limits::EVENT_BYTES);
//! decoder.push(header.encode());
//! decoder.push(Bytes::clone(batch.bytes()));
//! let mut seen = Vec::new();
//! while let Some(item) = decoder.next()? {
//!     if let Item::Event(event) = item {
//!         seen.push(format!("{} {} {}", event.id(), event.topic(), event.text().unwrap()));
//!     }
//! }
//! assert_eq!(seen, ["7-1 ride.7.start Ada", "7-2 ride.7.start Bob"]);
//! # Ok::<(), qsse_proto::DecodeError>(())
//! ```
//!
//! # Modules
//! - [`frame`]: the envelope of everything, and the decoder of control and publishing streams.
//! - [`control`]: the frames of the control stream.
//! - [`batch`]: events as they are stored and sent.
//! - [`stream`]: the frames of a subscription's stream, and its incremental decoder.
//! - [`publish`]: the frames of a publishing stream.
//! - [`limits`]: the limits on all of these.
//! - `go`, with the feature: the JSON lines of the Go library's dialect.
//! - `text`, with the feature: events as server-sent events and JSON lines.
//!
//! # Features
//! - `json`: [`Event`] data as a JSON value.
//! - `go`: the types of the Go library's dialect; implies `json`.
//! - `text`: events as server-sent events and JSON lines; implies `json`.
//!
//! # Guarantees of every decoder
//! A decoder never panics, whatever the bytes are. It checks a length against its limit before it
//! allocates memory for it. Leftover bytes in a frame are an error. The bytes may arrive in pieces
//! of any size. A [`DecodeError`] is final; its [`code`](DecodeError::code) is the code to close
//! with.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics if nobody reads"
)]

mod address;
pub mod batch;
mod code;
pub mod control;
mod counted;
mod cursor;
mod error;
mod event;
mod event_id;
pub mod frame;
#[cfg(feature = "go")]
pub mod go;
#[doc(hidden)]
pub mod human_duration;
mod intern;
mod kind;
pub mod limits;
mod notice;
pub mod publish;
mod published;
mod since;
pub mod stream;
#[cfg(feature = "text")]
pub mod text;
mod timestamp;
mod varint;

pub use address::{ALPN, DEFAULT_PORT, GO_ALPN, H3_ALPN, WEB_TRANSPORT_PATH};
pub use batch::Batch;
pub use code::Code;
#[doc(hidden)]
pub use counted::Counted;
pub use cursor::Cursor;
pub use error::DecodeError;
pub use event::{Event, LentEvent};
pub use event_id::{Epoch, EventId, ParseEventIdError};
pub use frame::Frame;
pub use kind::{Kind, KindError};
pub use notice::{Gap, Reset};
pub use published::Published;
pub use since::Since;
pub use timestamp::{ParseTimestampError, Timestamp};

/// Compiles the README's example with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
