//! HTTP for a [`Server`](qsse_server::Server): browsers and everything else that speaks HTTP.
//!
//! - [`Http`] makes the [`Router`](axum::Router): the table below. It nests into an axum service of
//!   your own.
//! - [`Listener`] serves it alone, over HTTP/1.1, HTTP/2 and HTTP/3, with TLS or without.
//!
//! | request | answer |
//! |---|---|
//! | `GET /events?topic=PATTERN` | server-sent events; with `Accept: application/x-ndjson` lines of JSON |
//! | `POST /publish/TOPIC` | `{"id":"…"}`; the body is the event's data |
//! | `POST /publish` | [`PublishedLines`]; the body has a JSON object in each line |
//! | `POST /publish-matching/PATTERN` | [`Reached`] |
//! | `GET /topics`, `?match=PATTERN`, `?limit=N` | [`Topics`] that the client may read |
//! | `GET /topics/TOPIC/last` | the newest event, as a JSON object |
//! | `GET /qsse.js` | the client in TypeScript, as a module for pages |
//! | `GET /.well-known/qsse/certificate-hashes` | [`CertificateHashes`], for WebTransport |
//!
//! An error is a [`Problem`] (RFC 9457) that says what to do. The guide is `docs/http.md` in the
//! repository; what streams consist of is section 14 of `docs/protocol.md`.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use qsse_http::Http;
//! use qsse_server::Server;
//!
//! let server = Server::bind("127.0.0.1:4242").await?;
//! let push = Http::new(server.clone()).router();
//! let app = axum::Router::new().nest("/push", push);
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

mod activity;
mod api;
mod bodies;
mod certificates;
mod client;
mod config;
mod connection;
mod credentials;
mod door;
mod events;
mod http;
mod http3;
mod limits;
mod listener;
mod problem;
mod publish;
mod query;
mod request;
mod tcp;
mod topics;
mod tracked;

pub use api::{CertificateHash, CertificateHashes, PublishedLines, Reached, RefusedLine, Topics};
pub use config::Config;
pub use http::Http;
pub use limits::ListenerLimits;
pub use listener::{ListenError, Listener, ListenerTls};
pub use problem::Problem;
pub use qsse_server::Origins;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
