//! HTTP/3 (RFC 9114) on a [`Connection`]: its requests, and the WebTransport session that a browser
//! opens among them.
//!
//! A server gives each connection whose [`alpn`](crate::Connection::alpn) is [`H3_ALPN`] to
//! [`Requests`], which yields one [`Incoming`] after the other. [`Client`] is the other side, for
//! tests and tools.
//!
//! The crate `h3` encodes and decodes: heads (QPACK without its dynamic table), settings, frames.
//! What it is given and what it may not decide is here: streams are sorted before it sees them,
//! frames have a length limit, and the bodies of answers go into the connection as shared `Bytes`.
//!
//! [`Connection`]: crate::Connection
//! [`H3_ALPN`]: qsse_proto::H3_ALPN

mod adapter;
mod body;
mod client;
mod codes;
mod error;
mod frames;
mod guard;
mod head;
mod requests;
mod sending;
mod sessions;
mod settings;
mod sorting;
mod streams;
mod varint;
mod web_transport;

pub use body::RecvBody;
pub use client::{Client, Exchange};
pub use error::RequestError;
/// The types of heads.
pub use http;
pub use requests::{Incoming, Request, Requests, Session};
pub use sending::{Responder, SendBody};
pub use settings::Settings;
pub use web_transport::Carrier;
