//! Frames and codec of the `qsse/1` event protocol, without I/O.
//!
//! Bytes go in, frames and events come out, and the other way round. Nothing here knows a socket, a
//! clock or a runtime, so the same code serves a server, a client, a store, a fuzzer and a test.
//! `docs/protocol.md` of the repository is the normative description; comments such as `QP-3.2`
//! name its clauses.
//!
//! The way of an event: a [`batch::Builder`] lays it behind its neighbours, [`finish`] seals a
//! [`Batch`] whose bytes are exactly what goes on the wire, and a [`stream::Decoder`] hands it out
//! again as soon as its own bytes have come, without a copy of its data.
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
//! - [`frame`]: the envelope of everything, and the decoder for control and publishing streams.
//! - [`control`]: what client and server say on the control stream.
//! - [`batch`]: events as they are kept and sent.
//! - [`stream`]: what a subscription's stream carries, and its incremental decoder.
//! - [`publish`]: what a publisher sends and is answered.
//! - [`limits`]: the numbers that bound all of it.
#![cfg_attr(
    feature = "go",
    doc = "- [`go`]: the JSON lines of the Go library's dialect."
)]
//!
//! # Features
//! - `json`: [`Event`] data as a JSON value.
//! - `go`: the types of the Go library's dialect; implies `json`.
//!
//! # What holds for every decoder
//! It never panics, whatever the bytes; a length is checked against its limit before anything is
//! allocated for it; bytes left over in a frame are an error; and the bytes may come in pieces of any
//! size. A [`DecodeError`] is final: its [`code`](DecodeError::code) is what to close with.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

pub mod batch;
mod code;
pub mod control;
mod counted;
mod error;
mod event;
mod event_id;
pub mod frame;
#[cfg(feature = "go")]
pub mod go;
mod intern;
mod kind;
pub mod limits;
mod notice;
pub mod publish;
mod since;
pub mod stream;
mod timestamp;
mod varint;

pub use batch::Batch;
pub use code::Code;
#[doc(hidden)]
pub use counted::Counted;
pub use error::DecodeError;
pub use event::{Event, LentEvent};
pub use event_id::{Epoch, EventId, ParseEventIdError};
pub use frame::Frame;
pub use kind::{Kind, KindError};
pub use notice::{Gap, Reset};
pub use since::Since;
pub use timestamp::{ParseTimestampError, Timestamp};

/// The README's example, compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The ALPN name of the protocol that this crate speaks (`QP-1.1`).
pub const ALPN: &[u8] = b"qsse/1";

/// The ALPN name of the Go library's own dialect, spoken on the same port (`QP-12.1`).
pub const GO_ALPN: &[u8] = b"PROTOCOL_QUIC";

/// The UDP port where none is named.
pub const DEFAULT_PORT: u16 = 4242;
