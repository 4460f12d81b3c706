//! [`Connect`]: connects a client.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::time::Duration;

use futures_core::future::BoxFuture;
use qsse_topic::IntoFilter;
use qsse_transport::tls::{ClientTls, Fingerprint};
use qsse_transport::{ClientEndpoint, ServerUrl, UrlError};

use crate::client::Client;
use crate::config::{Config, RetryPolicy};
use crate::dialect::Dialect;
use crate::driver::Choice;
use crate::error::ConnectError;
use crate::subscription::Subscribe;
use crate::token::TokenSource;

mod setup;

pub(crate) use setup::{Prepared, Setup};

/// Connects a client. Await it. Made by [`Client::connect`].
///
/// # How the server is verified
///
/// The first of these that applies is used:
///
/// 1. the configuration given to [`tls`](Self::tls);
/// 2. the fingerprints in the address or given to [`fingerprint`](Self::fingerprint);
/// 3. the file given to [`ca_file`](Self::ca_file);
/// 4. the root certificates of the operating system (feature `platform-verifier`), and for a server
///    on this machine also the development certificate of the same user, which is read for each
///    connection.
///
/// [`insecure`](Self::insecure) verifies nothing.
#[derive(Clone)]
#[must_use = "nothing is connected until this is awaited"]
pub struct Connect {
    setup: Setup,
}

impl Connect {
    pub(crate) fn new(url: Result<ServerUrl, UrlError>) -> Self {
        let setup = Setup::new(url);
        Self { setup }
    }

    /// Sets the token for the server: text, or `None`. The default is none.
    pub fn token(mut self, token: impl Into<TokenSource>) -> Self {
        self.setup.token = token.into();
        self
    }

    /// Sets an async function that returns the token, for tokens that expire. It is called before
    /// each attempt to connect, and in the Go library's [`Dialect`] also for each subscription.
    ///
    /// The connect timeout does not include it. If it fails, the attempt fails. If the server
    /// reports an expired token while the client reconnects, the next attempt calls it again.
    ///
    /// ```no_run
    /// # async fn fetch() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let connect = qsse_client::Client::connect("events.example.org");
    /// let client = connect.token_fn(|| fetch()).await?;
    /// # Ok(()) }
    /// ```
    pub fn token_fn<F, Fut, T, E>(self, function: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<String>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.token(TokenSource::function(function))
    }

    /// Verifies the server with this configuration, for instance one with a client certificate.
    /// Fingerprints are then ignored.
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.setup.trust.choice = Choice::Given(tls);
        self
    }

    /// Trusts the certificates in this PEM file and those signed by them, instead of the system's.
    /// The file may contain the server's own certificate, also a self-signed one.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.setup.trust.choice = Choice::RootsFile(path.into());
        self
    }

    /// Presents the certificate in these PEM files to a server that asks for one: the client's own
    /// first, then its issuers, and the key. One file may contain both. They are read before each
    /// connect.
    pub fn identity_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.setup.trust.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Trusts only the certificate with this fingerprint. Further calls add further fingerprints.
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.setup.trust.fingerprints.push(fingerprint);
        self
    }

    /// Trusts every certificate; for tests only. Together with a fingerprint, also one in the
    /// address, connecting fails with [`ConnectError::InsecureAndFingerprint`].
    pub fn insecure(mut self) -> Self {
        self.setup.trust.choice = Choice::Anybody;
        self
    }

    /// Sets whether a failed first connection is retried. The default is not to.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.setup.config.retry = policy;
        self
    }

    /// Sets whether a lost connection is restored. The default is to retry without limit.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.setup.config.reconnect.enabled = reconnect;
        self
    }

    /// Sets the timeout of one attempt to connect. The default is 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.setup.config.connect_timeout = timeout;
        self
    }

    /// Sets which protocol to speak. By default the server chooses, and prefers `qsse/1`.
    /// [`Dialect`] describes what the Go library's protocol lacks.
    ///
    /// A configuration given to [`tls`](Self::tls) that offers another protocol than `qsse/1` is
    /// not changed.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.setup.config.dialect = dialect;
        self
    }

    /// Sets all settings at once. It replaces those that were set before, so call it first.
    pub fn config(mut self, config: Config) -> Self {
        self.setup.config = config;
        self
    }

    /// Connects from this endpoint, for simulated networks.
    #[doc(hidden)]
    pub fn endpoint(mut self, endpoint: ClientEndpoint) -> Self {
        self.setup.endpoint = Some(endpoint);
        self
    }

    /// Derives the delays of reconnects from this seed, for simulated networks.
    #[doc(hidden)]
    pub fn seed(mut self, seed: u64) -> Self {
        self.setup.seed = Some(seed);
        self
    }

    /// Connects and subscribes in one step. Await the returned value; [`start`](Subscribe::start)
    /// and [`on_lag`](Subscribe::on_lag) can be set before.
    ///
    /// The subscription is requested together with the hello, so that its first event arrives a
    /// round trip earlier than after [`Client::subscribe`]. The connection belongs to the
    /// subscription, and ends with it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let connect = qsse_client::Client::connect("events.example");
    /// let mut rides = connect.subscribe("ride.*.start").await?;
    /// while let Some(event) = rides.try_next().await? {
    ///     println!("{}", event.topic());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`SubscribeError::Connect`](crate::SubscribeError::Connect) if connecting fails, and
    /// otherwise fails as [`Client::subscribe`] does.
    pub fn subscribe(self, filter: impl IntoFilter) -> Subscribe {
        Subscribe::connecting(self.setup, filter.into_filter())
    }

    async fn run(self) -> Result<Client, ConnectError> {
        let prepared = self.setup.prepare()?;
        // Dropping this future drops the handle, which stops the driver.
        let handle = prepared.handle.clone();
        match prepared.start().await {
            Ok(result) => result.map(|()| Client::new(handle)),
            Err(_) => Err(ConnectError::Closed),
        }
    }
}

impl IntoFuture for Connect {
    type Output = Result<Client, ConnectError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("url", &self.setup.url)
            .field("token", &self.setup.token)
            .field("config", &self.setup.config)
            .finish_non_exhaustive()
    }
}
