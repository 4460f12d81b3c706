//! Server-sent events over QUIC: publish on topics, subscribe with wildcards.
//!
//! One side publishes events on topics. Any number of clients subscribe to topics or wildcard
//! patterns and get every event, in order, each over one encrypted QUIC connection. A client that
//! loses its connection reconnects and resumes after its last event. Events that the server no
//! longer has are reported, never skipped silently.
//!
#![cfg_attr(all(feature = "client", feature = "server"), doc = "```")]
#![cfg_attr(not(all(feature = "client", feature = "server")), doc = "```ignore")]
//! use qsse::{Client, Server};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::bind("127.0.0.1:4242").topics(["people", "ride.*"]).await?;   // listening once this returns
//! let client = Client::connect(server.url()).await?;                                 // qsse://127.0.0.1:4242?fingerprint=…
//! let mut rides = client.subscribe("ride.*.start").await?;                           // every later publish is delivered
//! server.publish("ride.7.start", r#"{"driver":"Ada"}"#).await?;
//! while let Some(event) = rides.try_next().await? { println!("{} {:?}", event.topic(), event.data());
//! #   break;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! This crate has no code of its own. It gives the crates that are used together one name and one
//! version.
//!
//! | here | crate | what |
//! |---|---|---|
//! | [`client`] | `qsse-client` | connects, subscribes, publishes (feature `client`) |
//! | `server` | `qsse-server` | an embeddable server (feature `server`) |
//! | `auth` | `qsse-auth` | ready-made authenticators (feature `auth`) |
//! | [`topic`] | `qsse-topic` | topics, patterns and the matcher; also without the rest |
//! | [`proto`] | `qsse-proto` | events, ids and the frames of `qsse/1` |
//!
//! The most common types are at the top. An [`Event`], [`EventId`], [`Cursor`], [`Topic`] or
//! [`Pattern`] is the same type on both sides. What server and client each have, such as
//! `Subscription`, `Config` or `PublishError`, is in their modules.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `client` | yes | [`Client`] and the module [`client`] |
//! | `server` | no | `Server` and the module `server` |
//! | `auth` | no | the module `auth`: tokens files and more; includes `server` |
//! | `jwt` | no | `auth::Jwt`; includes `auth` |
//! | `auth-http` | no | `auth::Callback`, `auth::Jwt::jwks_url`; includes `auth` |
//! | `json` | no | `publish_json`, `Event::json` |
//! | `prometheus` | no | `Server::metrics_text` |
//! | `store` | no | `Server::bind(..).store(dir)`: the log in a directory; needs `server` |
//! | `testing` | no | `TestServer`, for your own tests; includes `server` |
//! | `aws-lc-rs` | yes | the aws-lc-rs crypto provider; used when both are on |
//! | `ring` | no | the ring crypto provider |
//! | `platform-verifier` | yes | clients trust the operating system's root certificates |
//!
//! Guides: `docs/embedding.md` and `examples/` of the repository.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

#[cfg(feature = "auth")]
pub use qsse_auth as auth;
#[cfg(feature = "client")]
pub use qsse_client as client;
pub use qsse_proto as proto;
#[cfg(feature = "server")]
pub use qsse_server as server;
pub use qsse_topic as topic;

#[cfg(feature = "client")]
pub use qsse_client::{Client, ConnectionState, Handlers, Publisher};
pub use qsse_proto::control::{OnLag, Start};
pub use qsse_proto::{Code, Cursor, Event, EventId, Gap, Kind, Published, Reset, Timestamp};
#[cfg(feature = "server")]
pub use qsse_server::Server;
#[cfg(feature = "testing")]
pub use qsse_server::TestServer;
pub use qsse_topic::{Filter, IntoFilter, Pattern, Topic};
