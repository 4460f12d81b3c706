//! What the qsse crates are tested with: a simulated network, and fixtures that never change.
//!
//! A [`Network`] carries datagrams in memory. Everything that happens to them, loss, delay,
//! duplication, is drawn from one seed, and time is tokio's. On a paused clock a minute of traffic
//! takes milliseconds, and the same seed gives the same run, datagram by datagram:
//! [`Network::trace_hash`] tells whether it did.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use qsse_testing::{Conditions, Network, endpoints};
//!
//! let network = Network::new(7);
//! network.set_conditions(Conditions::lossy(0.05));
//! let server = endpoints::server(&network)?;
//! let client = endpoints::client(&network, 1)?;
//!
//! let (accepted, connected) = tokio::join!(
//!     async { server.accept().await.expect("the endpoint is open").complete().await },
//!     endpoints::connect(&client),
//! );
//! assert_eq!(connected?.remote_address(), network.server_address());
//! assert_eq!(accepted?.remote_address(), network.client_address(1));
//! # Ok(())
//! # }
//! ```
//!
//! For a run to repeat itself it has to be on one thread with `start_paused = true`, `select!` has
//! to be `biased`, and nothing may iterate over a hash map where the order shows. The contents of
//! packets still differ from run to run, since key exchange is random; lengths and times do not.
//!
//! - [`net`]: the network, its conditions and its trace.
//! - [`endpoints`]: qsse endpoints on that network.
//! - [`figures`]: a metrics recorder that a test can read.
//! - [`fixtures`]: a certificate with its key, TLS settings made of them, seeds.
//! - [`process`]: the program `qsse serve` as a process of its own.
//! - [`rng`]: the generator behind it all, for tests that need random choices of their own.
//! - [`transcript`]: conversations of the Go library's client and server, recorded, to be replayed.

pub mod endpoints;
pub mod figures;
pub mod fixtures;
pub mod net;
pub mod process;
pub mod rng;
pub mod transcript;

pub use net::{Conditions, Network};
