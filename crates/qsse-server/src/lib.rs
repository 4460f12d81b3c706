//! An embeddable server of events over QUIC.
//!
//! Publish events on topics. Any number of clients subscribe to topics or patterns and get every
//! event, in order, over one encrypted connection. An event is written once, and a subscription is
//! a position in the log, so a slow subscriber costs the others nothing.
//!
//! ```
//! use qsse_server::Server;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::bind("127.0.0.1:0").topics(["people", "ride.*"]).await?;
//! let mut rides = server.subscribe("ride.*.start").await?;
//! server.publish("ride.7.start", r#"{"driver":"Ada"}"#).await?;
//!
//! let event = rides.try_next().await?.expect("the server is open");
//! assert_eq!(event.topic().as_str(), "ride.7.start");
//! # Ok(())
//! # }
//! ```
//!
//! - [`Server::bind`] makes a server: its topics, TLS, [`Authenticator`] and [`Authorizer`].
//! - [`Server::publish`] and [`Server::subscribe`] work in process; [`Server::shutdown`] drains.
//! - [`Server::connections`], [`Server::revoke`] and others administer it; [`Config`] limits it.
//!
//! # Who may do what
//! Without an authenticator every client may connect. Without an authorizer the [`Grants`] of a
//! [`Principal`] decide; without them it may subscribe to everything and not publish. A wildcard
//! subscription never yields a topic that its owner could not have subscribed to by name.
//!
//! # Features
//! | feature | default | gives |
//! |---|---|---|
//! | `aws-lc-rs`, `ring` | the first | the crypto provider |
//! | `json`, `prometheus` | no | `publish_json` and `Event::json`; `Server::metrics_text` |
//! | `store`, `testing`, `http3` | no | events in a directory; `TestServer`; WebTransport |
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

mod access;
pub mod audit;
mod auth;
mod background;
mod builder;
mod clients;
mod clock;
mod closed;
mod config;
mod dedup_scope;
mod delivery;
mod fairness;
mod go_warnings;
mod info;
mod listen_address;
mod metrics;
mod namespace;
mod origins;
mod publish;
mod revocation;
mod server;
mod session;
mod shards;
mod shared;
pub mod storage;
mod subscription;
#[cfg(feature = "testing")]
mod testing;
mod topics;
pub mod visitor;
mod wake_gated;
#[cfg(feature = "http3")]
mod web_transport;

pub use async_trait::async_trait;
pub use auth::{
    Action, Authenticator, Authorizer, ByGrants, Credentials, Denied, Grants, Principal,
    PrincipalLimits, Scope,
};
pub use builder::{BindError, ServerBuilder};
pub use clock::Clock;
pub use closed::Closed;
pub use config::Config;
pub use info::{ConnectionInfo, ServerState, ServerStatus, SubscriptionInfo, TopicInfo};
pub use listen_address::{IntoListenAddress, ListenAddress};
pub use origins::{Origins, is_local_host};
pub use publish::{Publish, PublishError, PublishMatching};
#[cfg(feature = "store")]
pub use qsse_log::disk::{DiskRetention, OpenError};
pub use qsse_log::{
    Acknowledge, Config as LogConfig, StartError, Stats as LogStats, Storage, StorageError,
    TopicRetention,
};
pub use qsse_proto::{
    Code, Cursor, Epoch, Event, EventId, Gap, Kind, KindError, ParseEventIdError, Published, Reset,
    Timestamp, control::OnLag, control::Start, limits::SettingError, publish::KeyError,
    stream::GapReason,
};
pub use qsse_topic::{
    Filter, FilterError, IntoFilter, Pattern, PatternError, PatternRef, Topic, TopicError, TopicRef,
};
pub use qsse_transport as transport;
pub use qsse_transport::rustls::pki_types::CertificateDer;
pub use qsse_transport::tls::{Fingerprint, ServerTls, TlsError};
pub use qsse_transport::{BindError as EndpointError, ServerUrl, TransportConfig, UdpBuffers};
pub use revocation::{Revocation, RevokeError};
pub use server::Server;
pub use subscription::{
    Item, Items, Notice, Subscribe, SubscribeError, Subscription, SubscriptionError,
};
#[cfg(feature = "testing")]
pub use testing::{TestClient, TestReader, TestServer};
#[cfg(feature = "http3")]
pub use {session::web::Http3Answers, web_transport::WebTransport};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
