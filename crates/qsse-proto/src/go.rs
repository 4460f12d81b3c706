//! The JSON lines of the Go library's dialect, spoken under [`GO_ALPN`](crate::GO_ALPN).
//!
//! The client opens a unidirectional stream, writes its [`Offer`] and closes the stream. The server
//! opens one and writes an [`EventLine`] for each event. An error is an event on the topic `error`,
//! whose data is an [`ErrorData`].
//!
//! Go omits empty fields, so absent fields and `null` count as empty here. Unknown fields are
//! ignored.
//!
//! ```
//! use bytes::Bytes;
//! use qsse_proto::go::{EventLine, LineDecoder, OFFER_BYTES, Offer};
//!
//! let mut lines = LineDecoder::new(OFFER_BYTES);
//! lines.push(Bytes::from_static(b"{\"topics\":[\"ride.*\"]}\n"));
//! let offer = Offer::parse(&lines.next()?.expect("a whole line"))?;
//! assert_eq!((offer.token(), offer.topics()), ("", &["ride.*".to_owned()][..]));
//!
//! let line = EventLine::new("ride.7", "hi").to_line();
//! assert_eq!(line, b"{\"topic\":\"ride.7\",\"data\":\"aGk=\"}\n");
//! # Ok::<(), qsse_proto::go::LineError>(())
//! ```

mod error_data;
mod event_line;
mod json;
mod lines;
mod offer;

pub use error_data::ErrorData;
pub use event_line::{EventLine, write_event};
pub use json::LineError;
pub use lines::LineDecoder;
pub use offer::Offer;

use crate::limits::EVENT_BYTES;

/// The longest offer: 32 KiB, because one line contains the token and all topics of a connection.
pub const OFFER_BYTES: usize = 32 * 1024;

/// The longest line of an event: the largest data in base64, and 4 KiB for the topic and the rest.
pub const EVENT_LINE_BYTES: usize = EVENT_BYTES.div_ceil(3) * 4 + 4 * 1024;

/// How deep a line's JSON may nest (`QP-12.4`).
pub const DEPTH: usize = 32;

/// The topic of events that report errors (`QP-12.11`, `QP-12.16`).
pub const ERROR_TOPIC: &str = "error";

#[cfg(test)]
mod tests;
