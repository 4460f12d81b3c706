//! The qsse client: subscribes to events and publishes them over QUIC.
//!
//! # Overview
//!
//! A [`Client`] is one encrypted connection to a server, which a task of its own maintains. A
//! [`Subscription`] is a stream of the events that match its patterns, in order, each once. It
//! remembers the last event that it handed out, and resumes after it when the connection is lost.
//! Events that the server no longer has are reported, not skipped silently.
//!
//! Each subscription has its own QUIC stream, which is read in the task that asks for the next
//! event. A subscription that nobody reads does not delay others.
//!
//! # Example
//!
//! ```
//! use qsse_client::Client;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = qsse_server::TestServer::start().await?;
//! let client = Client::connect(server.url()).await?; // or "events.example.org"
//! let mut rides = client.subscribe("ride.*.start").await?; // every later publish is delivered
//! let id = client.publish("ride.7.start", r#"{"driver":"Ada"}"#).await?;
//! while let Some(event) = rides.try_next().await? {
//!     println!("{} {} {:?}", event.id(), event.topic(), event.data());
//!     if event.id() == id {
//!         break;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Contents
//!
//! - [`Client::connect`] connects; [`Connect`] sets which certificates to trust and the token
//!   ([`TokenSource`]); [`Config`] has all other settings.
//! - [`Client::subscribe`] makes a [`Subscription`] from a [`Start`]: live, after a [`Cursor`],
//!   from the oldest event or a time, or with the last events of each topic.
//!   [`Subscription::outcome`] returns how the server met the start.
//! - A [`Notice`] reports missing events. It is logged, passed to the function given to
//!   [`Subscribe::on_notice`], or yielded by [`Subscription::next_item`].
//! - [`Handlers`] call functions instead of a loop.
//! - [`Client::publish`] waits for the acknowledgement of one event; a [`Publisher`] sends many.
//! - [`Client::state`] returns the state of the connection.
//! - [`Dialect`] is for servers of the Go library, to whose protocol a client falls back.
//! - Each operation has its error, which knows whether to retry: [`ConnectError`],
//!   [`SubscribeError`], [`SubscriptionError`], [`PublishError`], [`RefreshError`].
//!
//! # Features
//!
//! | feature | default | enables |
//! |---|---|---|
//! | `aws-lc-rs` | yes | the aws-lc-rs crypto provider; it is used if both are enabled |
//! | `ring` | no | the ring crypto provider |
//! | `platform-verifier` | yes | trust in the root certificates of the operating system |
//! | `json` | no | `Client::publish_json` and `Event::json` |
//! | `web-transport` | no | `Dialect::WebTransport`: `qsse/1` as browsers use it |
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing to a closed pipe panics"
)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod backoff;
mod client;
mod config;
mod connect;
mod core;
mod dialect;
mod driver;
mod error;
mod handlers;
mod notice;
mod publish;
mod session;
mod slot;
mod state;
mod subscription;
mod text;
mod token;
mod url;

pub use client::Client;
pub use config::{Config, ReconnectPolicy, RetryPolicy};
pub use connect::Connect;
pub use dialect::{Dialect, ParseDialectError};
pub use error::{
    CloseReason, ConnectError, DisconnectReason, HandlersError, PublishError, RefreshError,
    SubscribeError, SubscriptionError, UnknownOutcome,
};
pub use handlers::{Handlers, HandlersHandle};
pub use notice::{Item, Loss, Notice};
pub use publish::{Publish, PublishMatching, PublishProgress, Publisher};
pub use state::{ConnectionState, StateStream};
pub use subscription::{Items, Subscribe, Subscription};
pub use token::TokenSource;
pub use url::IntoServerUrl;

pub use qsse_proto::control::{OnLag, Start};
/// The problem with a line of the Go library's protocol; part of [`SubscriptionError`].
pub use qsse_proto::go::LineError;
pub use qsse_proto::limits::SettingError;
pub use qsse_proto::publish::{Key, KeyError};
pub use qsse_proto::stream::{GapReason, Outcome};
pub use qsse_proto::{
    Code, Cursor, DecodeError, Epoch, Event, EventId, Gap, Kind, KindError, LentEvent,
    ParseEventIdError, Published, Reset, Timestamp,
};
pub use qsse_topic::{Filter, FilterError, IntoFilter, Pattern, PatternError, Topic, TopicError};
/// TLS settings: which certificates to trust.
pub use qsse_transport::tls;
/// Why the transport could not connect; part of [`ConnectError`].
pub use qsse_transport::{CertificateProblem, ConnectError as TransportError};
pub use qsse_transport::{ConnectionError, ServerUrl, TransportConfig, UrlError};
