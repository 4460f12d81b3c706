//! [`TestServer`]: a server for the tests of programs that embed a client or a server.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qsse_proto::Code;
use qsse_topic::PatternRef;
use qsse_transport::tls::ServerTls;

use crate::auth::{Action, Authorizer, Principal, Scope};
use crate::builder::{BindError, ServerBuilder};
use crate::server::Server;

mod reader;

pub use reader::{TestClient, TestReader};

/// How long a server that restarts waits for its clients to read to the end.
const DRAIN: Duration = Duration::from_secs(5);

/// A server on a free port of loopback, with open topics, on which every client may publish and
/// subscribe.
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
#[derive(Clone)]
pub struct TestServer {
    server: Server,
    tls: ServerTls,
    settings: Arc<Settings>,
}

/// Settings added to the defaults.
type Settings = dyn Fn(ServerBuilder) -> ServerBuilder + Send + Sync;

impl TestServer {
    /// Starts a server.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn start() -> Result<Self, BindError> {
        Self::start_with(|builder| builder).await
    }

    /// Starts a server with settings, such as limits, an authorizer or a store. The function is
    /// called again by each [`restart`](Self::restart).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = qsse_server::TestServer::start_with(|server| server.topics(["people"])).await?;
    /// assert!(server.publish("nobody", "hello").await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn start_with(
        settings: impl Fn(ServerBuilder) -> ServerBuilder + Send + Sync + 'static,
    ) -> Result<Self, BindError> {
        let tls = ServerTls::self_signed([] as [&str; 0])?;
        let settings: Arc<Settings> = Arc::new(settings);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = listen(address, &tls, &settings).await?;
        Ok(Self {
            server,
            tls,
            settings,
        })
    }

    /// Drains the server and starts it again with the same address, certificate and settings, so
    /// that clients can reconnect. Its log is empty, unless the settings name a store.
    ///
    /// Clones of this handle, and in-process subscriptions, stay with the server that has ended.
    ///
    /// # Errors
    /// As [`Server::bind`]; the server has then ended.
    pub async fn restart(&mut self) -> Result<(), BindError> {
        let address = self.server.local_addr();
        self.server.shutdown(DRAIN).await;
        self.server = listen(address, &self.tls, &self.settings).await?;
        Ok(())
    }

    /// Closes every open connection without a goodbye, as if each had been lost. The server keeps
    /// running, and clients may reconnect at once.
    pub fn cut_connections(&self) {
        let mut connections = self.server.shared().connections.lock();
        for connection in connections.iter_mut().flat_map(|open| open.drain(..)) {
            connection.close(Code::UNKNOWN, "the test cut the connection");
        }
    }
}

async fn listen(
    address: SocketAddr,
    tls: &ServerTls,
    settings: &Arc<Settings>,
) -> Result<Server, BindError> {
    let builder = Server::bind(address)
        .tls(tls.clone())
        .authenticator_fn(|_| true)
        .authorizer(AllowAll);
    #[cfg(feature = "http3")]
    let builder = builder.web_transport(crate::web_transport::WebTransport::default());
    let server = settings(builder).await?;
    *server.shared().connections.lock() = Some(Vec::new());
    Ok(server)
}

impl std::fmt::Debug for TestServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TestServer").field(&self.server).finish()
    }
}

impl Deref for TestServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
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
