//! [`TestServer`]: a server for the tests of programs that embed a client or a server.

use std::ops::Deref;

use async_trait::async_trait;
use qsse_topic::PatternRef;

use crate::auth::{Action, Authorizer, Principal, Scope};
use crate::builder::BindError;
use crate::server::Server;

/// A server on a free port of loopback, with open topics, on which every client may publish and subscribe.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = qsse_server::TestServer::start().await?;
/// let mut events = server.subscribe("*").await?;
/// server.publish("greeting", "hello").await?;
/// assert_eq!(events.try_next().await?.expect("open").text()?, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TestServer(Server);

impl TestServer {
    /// Starts a server.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn start() -> Result<Self, BindError> {
        let server = Server::bind("127.0.0.1:0")
            .authenticator_fn(|_| true)
            .authorizer(AllowAll);
        Ok(Self(server.await?))
    }
}

impl Deref for TestServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        true
    }
}
