//! qsse client: subscribe to and publish events over QUIC.
//!
//! # The idea
//!
//! A [`Client`] is one encrypted connection to a server, kept up by a task of its own. A [`Subscription`] is a stream of the events
//! that match its patterns, in order, each once: it remembers the last event it handed out, and when the connection is lost
//! it goes on after that one. What the server no longer has is said, never skipped in silence.
//!
//! Each subscription has a QUIC stream of its own, read and decoded in the task that asks for the next event. One that nobody reads holds back no
//! other.
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
//! # What there is
//!
//! - [`Client::connect`] says where, whom to trust ([`Connect`]) and who one is ([`TokenSource`]); [`Config`] holds the rest.
//! - [`Client::subscribe`] gives a [`Subscription`], from a [`Start`] on: live, after a [`Cursor`], from the oldest event kept or from a time on, or
//!   with the last events of each topic. [`Subscription::outcome`] tells how that was met.
//! - A [`Notice`] says that events are missing. It is logged, or handed to the function given to [`Subscribe::on_notice`], or yielded by
//!   [`Subscription::next_item`].
//! - [`Handlers`] are for those who would rather give functions than write a loop.
//! - [`Client::publish`] publishes one event and waits for the acknowledgement; a [`Publisher`] sends many without waiting for each.
//! - [`Client::state`] tells how the connection is doing.
//! - [`Dialect`] is for servers of the Go library: with the default, a client falls back to their protocol.
//! - Errors are one type per operation, and each knows whether trying again may help: [`ConnectError`], [`SubscribeError`],
//!   [`SubscriptionError`], [`PublishError`], [`RefreshError`].
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `aws-lc-rs` | yes | the aws-lc-rs crypto provider; used when both are on |
//! | `ring` | no | the ring crypto provider |
//! | `platform-verifier` | yes | servers are recognised by the root certificates of the operating system |
//! | `json` | no | `Client::publish_json` and `Event::json` |
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod backoff;
mod client;
mod config;
mod connect;
mod core;
mod cursor;
mod dialect;
mod driver;
mod error;
mod handlers;
mod notice;
mod publish;
mod session;
mod state;
mod subscription;
mod text;
mod token;
mod url;

pub use client::Client;
pub use config::{Config, ReconnectPolicy, RetryPolicy};
pub use connect::Connect;
pub use cursor::Cursor;
pub use dialect::{Dialect, ParseDialectError};
pub use error::{
    ConnectError, PublishError, RefreshError, SubscribeError, SubscriptionError, UnknownOutcome,
};
pub use handlers::{Handlers, HandlersError, HandlersHandle};
pub use notice::{Item, Loss, Notice};
pub use publish::{Progress, Publish, PublishMatching, Published, Publisher};
pub use state::{CloseReason, ConnectionState, DisconnectReason, States};
pub use subscription::{Items, Subscribe, Subscription};
pub use token::TokenSource;
pub use url::IntoServerUrl;

pub use qsse_proto::control::{OnLag, Start};
/// What is wrong with a line of the Go library's protocol; inside [`SubscriptionError`].
pub use qsse_proto::go::LineError;
pub use qsse_proto::limits::SettingError;
pub use qsse_proto::publish::{Key, KeyError};
pub use qsse_proto::stream::{GapReason, Outcome};
pub use qsse_proto::{
    Code, DecodeError, Epoch, Event, EventId, Gap, Kind, KindError, LentEvent, ParseEventIdError,
    Reset, Timestamp,
};
pub use qsse_topic::{Filter, FilterError, IntoFilter, Pattern, PatternError, Topic, TopicError};
/// Whom to trust: TLS set-up.
pub use qsse_transport::tls;
/// Why the transport could not connect; inside [`ConnectError`].
pub use qsse_transport::{CertificateProblem, ConnectError as TransportError};
pub use qsse_transport::{ConnectionError, ServerUrl, TransportConfig, UrlError};
