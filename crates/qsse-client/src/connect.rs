//! [`Connect`]: a client to be made.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use qsse_proto::limits::PUBLISHER_NAME_BYTES;
use qsse_topic::IntoFilter;
use qsse_transport::tls::{ClientTls, Fingerprint};
use qsse_transport::{ClientEndpoint, ServerUrl, UrlError};
use tokio::runtime;
use tokio::sync::oneshot;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::config::{Config, RetryPolicy};
use crate::core::{Core, Handle};
use crate::dialect::Dialect;
use crate::driver::{Choice, Driver, Endpoints, Finishing, Trust};
use crate::error::ConnectError;
use crate::subscription::Subscribe;
use crate::token::TokenSource;

/// A client to be made: await it to connect. Made by [`Client::connect`].
///
/// # How the server is recognised
///
/// By the fingerprints in its address or given by [`fingerprint`](Self::fingerprint), if there are any; else by the file given to
/// [`ca_file`](Self::ca_file); else, as usual, by the root certificates of the operating system (feature `platform-verifier`), and on this
/// machine also by the development certificate of a server of the same user, which is read anew for each connection. A configuration of
/// one's own given to [`tls`](Self::tls) goes before all of these. [`insecure`](Self::insecure) checks nothing.
#[derive(Clone)]
#[must_use = "nothing is connected until this is awaited"]
pub struct Connect {
    url: Result<ServerUrl, UrlError>,
    token: TokenSource,
    trust: Trust,
    config: Config,
    endpoint: Option<ClientEndpoint>,
    seed: Option<u64>,
}

impl Connect {
    pub(crate) fn new(url: Result<ServerUrl, UrlError>) -> Self {
        Self {
            url,
            token: TokenSource::none(),
            trust: Trust::default(),
            config: Config::default(),
            endpoint: None,
            seed: None,
        }
    }

    /// The token to show to the server: text, or `None` for none. Default: none.
    pub fn token(mut self, token: impl Into<TokenSource>) -> Self {
        self.token = token.into();
        self
    }

    /// An async function that gives the token, asked before each attempt to connect: for tokens that expire. It has no deadline but its own; a
    /// failure of it fails the attempt. When the server calls a token expired while a lost connection is made again, the
    /// next attempt asks for another. In the Go library's [`Dialect`] it is asked for each subscription too.
    ///
    /// ```no_run
    /// # async fn fetch() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = qsse_client::Client::connect("events.example.org").token_fn(|| fetch()).await?;
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

    /// Recognises the server by this configuration, for instance one with a client certificate; fingerprints do not count then.
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.trust.choice = Choice::Given(tls);
        self
    }

    /// Trusts the certificates in this PEM file and those signed by them, instead of the system's. The server's own certificate
    /// may be in it, also a self-signed one.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.trust.choice = Choice::RootsFile(path.into());
        self
    }

    /// Trusts the certificate with this fingerprint, and no other but those of further fingerprints.
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.trust.fingerprints.push(fingerprint);
        self
    }

    /// Trusts anybody who answers: for tests only. Together with a fingerprint, also one in the address, connecting fails with
    /// [`ConnectError::InsecureAndFingerprint`].
    pub fn insecure(mut self) -> Self {
        self.trust.choice = Choice::Anybody;
        self
    }

    /// Whether the first connection is tried again when it fails. Default: not.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.config.retry = policy;
        self
    }

    /// Whether a connection that is lost later is made again. Default: yes, for ever.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.config.reconnect.enabled = reconnect;
        self
    }

    /// Deadline of one attempt to connect. Default 5 s.
    pub fn connect_timeout(mut self, deadline: Duration) -> Self {
        self.config.connect_timeout = deadline;
        self
    }

    /// Which protocol to speak. Default: the server chooses, and prefers `qsse/1`; [`Dialect`] says what that of the Go library lacks.
    ///
    /// A configuration given to [`tls`](Self::tls) that offers another protocol than `qsse/1` keeps what it offers.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.config.dialect = dialect;
        self
    }

    /// All settings at once. It replaces what was set before, so call it first.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Connects from this endpoint: for simulated networks.
    #[doc(hidden)]
    pub fn endpoint(mut self, endpoint: ClientEndpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Draws the delays of reconnects from this seed: for simulated networks.
    #[doc(hidden)]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Connects and subscribes in one step. Await what it returns; [`start`](Subscribe::start) and [`on_lag`](Subscribe::on_lag) can be set
    /// before.
    ///
    /// The subscription is asked for in the same breath as the client says hello, so that its first event comes a round trip earlier than
    /// after [`Client::subscribe`]. The connection is the subscription's own, and ends with it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut rides = qsse_client::Client::connect("events.example").subscribe("ride.*.start").await?;
    /// while let Some(event) = rides.try_next().await? {
    ///     println!("{}", event.topic());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Awaited: [`SubscribeError::Connect`](crate::SubscribeError::Connect) when there is no connection, otherwise as with
    /// [`Client::subscribe`].
    pub fn subscribe(self, filter: impl IntoFilter) -> Subscribe {
        Subscribe::connecting(self, filter.into_filter())
    }

    async fn run(self) -> Result<Client, ConnectError> {
        let prepared = self.prepare()?;
        // Dropped with this future, it stops the driver.
        let handle = prepared.handle.clone();
        match prepared.start().await {
            Ok(result) => result.map(|()| Client::new(handle)),
            Err(_) => Err(ConnectError::Closed),
        }
    }

    /// Everything but the first packet.
    pub(crate) fn prepare(self) -> Result<Prepared, ConnectError> {
        let Self {
            url,
            token,
            mut trust,
            config,
            endpoint,
            seed,
        } = self;
        let url = url?;
        config.check()?;
        let bytes = config.publisher_name.len();
        if bytes > PUBLISHER_NAME_BYTES {
            return Err(ConnectError::PublisherName { bytes });
        }
        trust.fingerprints.extend_from_slice(url.fingerprints());
        trust.check()?;
        let runtime = runtime::Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let backoff = match seed {
            Some(seed) => Backoff::seeded(&config.reconnect, seed),
            None => Backoff::new(&config.reconnect),
        };
        let (core, commands) = Core::new(config, token, runtime.clone());
        let handle = Arc::new(Handle { core: core.clone() });
        let driver = Driver {
            _finishing: Finishing(core.clone()),
            core,
            commands,
            url,
            trust,
            endpoints: Endpoints::given(endpoint),
            backoff,
            moved: None,
            last_id: 0,
        };
        Ok(Prepared {
            handle,
            driver,
            runtime,
        })
    }
}

/// A client that has not begun to connect: what is registered with it now, it asks for at once.
pub(crate) struct Prepared {
    pub(crate) handle: Arc<Handle>,
    driver: Driver,
    runtime: runtime::Handle,
}

impl Prepared {
    /// Begins, and tells how the first connection went.
    pub(crate) fn start(self) -> oneshot::Receiver<Result<(), ConnectError>> {
        let (first, connected) = oneshot::channel();
        self.runtime.spawn(self.driver.run(first));
        connected
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
            .field("url", &self.url)
            .field("token", &self.token)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
