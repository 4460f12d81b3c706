//! Ready-made authenticators for a server of `qsse-server`.
//!
//! Each decides who a client is and, by the [`Grants`](qsse_server::Grants) of its principal, what
//! it may do. So a server needs nothing besides one of them and
//! [`ByGrants`](qsse_server::ByGrants):
//!
//! ```
//! use qsse_auth::Tokens;
//! use qsse_server::{ByGrants, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = Tokens::parse(
//!     r#"
//!     [[token]]
//!     name = "driver 7"
//!     token = "7Qw0cJ1vTqMZ5m2rYxN4kA"
//!     subscribe = ["ride.*"]
//!     publish = ["ride.7.*"]
//!     "#,
//! )?;
//! let server = Server::bind("127.0.0.1:0").authenticator(tokens).authorizer(ByGrants).await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Tokens`]: a file that lists tokens, as they are or as hashes, and client certificates.
//! - `Jwt`: signed tokens that carry the permissions of their owner (feature `jwt`).
//! - `Callback`: another program decides, over HTTP (feature `http`).
//! - [`AnyOf`]: several authenticators, of which one has to accept.
//! - [`Reloadable`]: an authenticator that can be replaced while the server runs.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `jwt` | no | `Jwt`, and what belongs to it |
//! | `http` | no | `Callback`, and `Jwt::jwks_url` |
//! | `aws-lc-rs` | yes | the aws-lc-rs crypto provider; used when both are on |
//! | `ring` | no | the ring crypto provider |
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics where nobody reads"
)]

mod any_of;
#[cfg(feature = "http")]
mod callback;
mod certificate;
mod der;
mod error;
pub mod files;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "jwt")]
mod jwt;
mod permissions;
mod reloadable;
mod tokens;

pub use any_of::AnyOf;
#[cfg(feature = "http")]
pub use callback::Callback;
pub use error::SetupError;
#[cfg(feature = "jwt")]
pub use jwt::{Algorithm, Jwt, JwtSigner, KeySet, UnknownAlgorithm};
pub use reloadable::Reloadable;
pub use tokens::{MIN_TOKEN_BYTES, Tokens, new_token, token_hash};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
