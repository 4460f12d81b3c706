//! Administration of a qsse server over HTTP, for people and tools on the same machine.
//!
//! - [`Admin`] answers the requests: the table below. [`Admin::router`] nests into a service of
//!   your own.
//! - [`Listener`] serves them on a Unix socket that only its owner may use, or on a port of
//!   loopback with a token.
//! - [`Client`] asks.
//! - [`AuditFile`] is an audit log in a file.
//! - [`probes`] answers only what a monitor needs.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`ServerStatus`](qsse_server::ServerStatus) |
//! | `GET /connections`, `?principal=NAME` | [`Connections`] |
//! | `POST /connections/ID/close` | [`Closed`], or 404 |
//! | `GET /topics`, `?match=PATTERN`, `?limit=N` | [`Topics`] |
//! | `POST /revoke` with a [`Revoke`] | [`Closed`] |
//! | `POST /unrevoke` with a [`Revoke`] | [`Unrevoked`], or 404 |
//! | `POST /drain` | 202 |
//! | `POST /reload` | [`Reloaded`]; 422 if nothing was changed, with the reason |
//! | `GET /metrics` | the metrics in Prometheus' text format |
//! | `GET /health` | 200 if publishing works, else 503 with the reason |
//! | `GET /ready` | 200 if the server accepts clients and publishing works, else 503 |
//!
//! An error is a [`Problem`] (RFC 9457) that says what to do.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

mod address;
mod admin;
mod api;
mod audit;
mod client;
mod listener;
mod probes;
mod problem;
mod serving;
mod token;

pub use address::{Address, AddressError};
pub use admin::Admin;
pub use api::{Closed, Connections, Reloaded, Revoke, Topics, Unrevoked};
pub use audit::AuditFile;
pub use client::{Client, ClientError};
pub use listener::{ListenError, Listener};
pub use probes::probes;
pub use problem::Problem;
pub use serving::serve;
pub use token::{AdminToken, TokenError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
