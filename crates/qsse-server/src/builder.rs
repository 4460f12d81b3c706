//! [`ServerBuilder`]: a server before it listens.

use std::future::{Future, IntoFuture};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use metrics::Recorder;
use parking_lot::{Mutex, RwLock};
use qsse_log::{Log, Storage};
use qsse_proto::Epoch;
use qsse_proto::limits::FOREVER;
use qsse_transport::ServerEndpoint;
use qsse_transport::tls::{ServerTls, TlsError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::AuditSink;
use crate::auth::{AcceptAll, Authenticator, Authorizer, ByGrantsOrSubscribe, NameFn, TokenFn};
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::Config;
use crate::fairness::quota::Quotas;
use crate::fairness::unfinished::UnfinishedBudget;
use crate::fairness::wrong_tokens::WrongTokens;
use crate::go_warnings::GoWarnings;
use crate::listen_address::ListenAddress;
use crate::metrics::{Metrics, SharedRecorder};
use crate::server::Server;
use crate::session::unread::Unread;
use crate::shards::Shards;
use crate::shared::Shared;
use crate::topics::Topics;
#[cfg(feature = "http3")]
use crate::web_transport::WebTransport;

mod error;
mod opening;
mod warnings;

pub use error::BindError;
#[cfg(feature = "store")]
use opening::open_store;
use opening::random_epoch;
use warnings::warn_of_defaults;

/// The settings of a server. Await it to bind the socket; made by
/// [`Server::bind`](crate::Server::bind).
///
/// Without TLS settings it makes a self-signed certificate in memory, whose fingerprint is in
/// [`Server::url`](crate::Server::url). Cancel-safe: a future dropped early leaves nothing behind.
#[must_use = "a server listens once its builder is awaited"]
pub struct ServerBuilder {
    address: ListenAddress,
    topics: Result<Topics, BindError>,
    tls: Option<Result<ServerTls, TlsError>>,
    config: Config,
    /// Set by methods of their own, whatever `config` says.
    go_dialect: Option<bool>,
    shards: Option<usize>,
    #[cfg(feature = "http3")]
    web_transport: Option<WebTransport>,
    authenticator: Option<Arc<dyn Authenticator>>,
    authorizer: Option<Arc<dyn Authorizer>>,
    audit: Option<Arc<dyn AuditSink>>,
    recorder: Option<SharedRecorder>,
    endpoint: Option<ServerEndpoint>,
    clock: Option<Clock>,
    epoch: Option<Epoch>,
    storage: Option<Arc<dyn Storage>>,
    #[cfg(feature = "store")]
    directory: Option<std::path::PathBuf>,
}

impl ServerBuilder {
    pub(crate) fn new(address: ListenAddress) -> Self {
        Self {
            address,
            topics: Ok(Topics::default()),
            tls: None,
            config: Config::default(),
            go_dialect: None,
            shards: None,
            #[cfg(feature = "http3")]
            web_transport: None,
            authenticator: None,
            authorizer: None,
            audit: None,
            recorder: None,
            endpoint: None,
            clock: None,
            epoch: None,
            storage: None,
            #[cfg(feature = "store")]
            directory: None,
        }
    }

    /// Declares the topics: names, and patterns that admit names. Publishing or subscribing to
    /// others is refused. Default: any topic may be used.
    pub fn topics<T: AsRef<str>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        let declared = Topics::declare(topics);
        self.topics = declared.map_err(|(topic, source)| BindError::Topic { topic, source });
        self
    }

    /// Sets the server's certificate and key.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(Ok(tls));
        self
    }

    /// Uses the development certificate of this user, and makes it if there is none. Clients of the
    /// same user on this machine trust it.
    pub fn dev_cert(mut self) -> Self {
        self.tls = Some(ServerTls::dev_cert());
        self
    }

    /// Sets all settings that are plain data. [`shards`](Self::shards) and
    /// [`go_dialect`](Self::go_dialect) take precedence over it, in any order.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets whether clients of the Go library are served too, as [`Config::go_dialect`] says.
    /// Default: they are not.
    pub fn go_dialect(mut self, serve: bool) -> Self {
        self.go_dialect = Some(serve);
        self
    }

    /// Lets clients open sessions of WebTransport, as browsers do. Default: it does not.
    ///
    /// An [`endpoint`](Self::endpoint) that is already bound must offer `h3`.
    #[cfg(feature = "http3")]
    pub fn web_transport(mut self, rules: WebTransport) -> Self {
        self.web_transport = Some(rules);
        self
    }

    /// Serves connections on this many threads, as [`Config::shards`] says. Default 1: on the
    /// caller's runtime.
    ///
    /// With several, authenticators and authorizers are called on those threads, whose runtimes
    /// have one thread each. What runs once (accepting connections, retention, the store) stays on
    /// the caller's runtime, which has to keep running.
    ///
    /// ```
    /// # use qsse_server::Server;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # #[cfg(target_os = "linux")] {
    /// let server = Server::bind("127.0.0.1:0").shards(4).await?;
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Sets who may connect. Default: every client.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Sets who may connect, as in the Go library: by a closure that accepts a token or not. It
    /// gets an empty token from a client without one.
    pub fn authenticator_fn(self, accept: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.authenticator(TokenFn(accept))
    }

    /// Sets who may do what. Default: the [`Grants`](crate::Grants) that the authenticator gave the
    /// principal; without grants, it may subscribe to everything and not publish.
    /// [`ByGrants`](crate::ByGrants) allows nothing without grants.
    pub fn authorizer(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Some(Arc::new(authorizer));
        self
    }

    /// Sets who may subscribe, as in the Go library: by a closure of token and topic. It is asked
    /// about topic names, also for a wildcard subscription, and never allows publishing.
    pub fn authorizer_fn(self, allow: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.authorizer(NameFn(allow))
    }

    /// Reports who did what to this sink. Default: nobody is told.
    pub fn audit(mut self, sink: impl AuditSink) -> Self {
        self.audit = Some(Arc::new(sink));
        self
    }

    /// Registers the metrics with this recorder instead of the process's own.
    pub fn recorder(mut self, recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Uses an endpoint that is already bound. The address and the TLS settings then have no
    /// effect.
    pub fn endpoint(mut self, endpoint: ServerEndpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Stores events in this directory, so that they outlast the process; it is created if missing.
    /// When a publish is acknowledged, and seen by subscribers, is set by
    /// [`acknowledge`](crate::LogConfig#structfield.acknowledge).
    ///
    /// [`Config::store`](crate::Config#structfield.store) limits how much is kept. One server at a
    /// time may use the directory.
    #[cfg(feature = "store")]
    pub fn store(mut self, directory: impl Into<std::path::PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Stores events in this storage, so that they outlast the process. When a publish is
    /// acknowledged is set by [`acknowledge`](qsse_log::Config#structfield.acknowledge). Default:
    /// events are in memory only.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Some(Arc::new(storage));
        self
    }

    /// Takes the time of events from this clock, for simulations.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the epoch of this start, for simulations: everywhere else it must be random. If the
    /// store had this epoch before, the next number is used.
    pub fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = Some(Epoch::new(epoch));
        self
    }

    async fn bind(mut self) -> Result<Server, BindError> {
        let topics = mem::replace(&mut self.topics, Ok(Topics::default()))?;
        self.settle_config()?;
        let bound = self.listen().await?;
        let metrics = Metrics::new(&self.config, &topics, self.recorder.take());
        let clock = self.clock.unwrap_or_else(Clock::system);
        let log = self.open_log(clock)?;
        for name in topics.declared().filter_map(|name| name.as_topic()) {
            log.declare(name);
        }
        warn_of_defaults(self.authenticator.is_none(), self.authorizer.is_none());
        let shared = Shared {
            endpoint: bound.endpoint,
            tls: Mutex::new(bound.tls),
            #[cfg(feature = "http3")]
            web_transport: self.web_transport,
            log,
            unread: Unread::new(self.config.max_unread_bytes),
            topics,
            clock,
            metrics,
            go_warnings: GoWarnings::default(),
            quotas: Quotas::default(),
            wrong_tokens: WrongTokens::default(),
            searches: Default::default(),
            unfinished: UnfinishedBudget::of_server(&self.config),
            authenticator: self.authenticator.unwrap_or_else(|| Arc::new(AcceptAll)),
            authorizer: self
                .authorizer
                .unwrap_or_else(|| Arc::new(ByGrantsOrSubscribe)),
            audit: self.audit,
            clients: Arc::new(Clients::new(self.config.max_revocations)),
            sessions: TaskTracker::new(),
            #[cfg(feature = "testing")]
            connections: Mutex::new(None),
            draining: CancellationToken::new(),
            leaving: AtomicBool::new(false),
            tick: AtomicU64::new(0),
            closing: CancellationToken::new(),
            stored: CancellationToken::new(),
            closed: watch::Sender::new(None),
            limits: RwLock::new(Arc::new(self.config.clone())),
            config: self.config,
        };
        Ok(Server::start(shared, bound.shards))
    }

    /// Brings the settings together and checks them.
    fn settle_config(&mut self) -> Result<(), BindError> {
        let config = &mut self.config;
        config.go_dialect = self.go_dialect.unwrap_or(config.go_dialect);
        config.shards = self.shards.unwrap_or(config.shards);
        config.check()?;
        // It is added to the time, which has a last moment.
        config.heartbeat = config.heartbeat.min(FOREVER);
        Ok(())
    }

    /// Binds the endpoint, unless there is one already.
    async fn listen(&mut self) -> Result<Bound, BindError> {
        if let Some(endpoint) = self.endpoint.take() {
            return Ok(Bound {
                endpoint,
                tls: None,
                shards: None,
            });
        }
        let own = || ServerTls::self_signed([] as [&str; 0]);
        let tls = self.tls.take().unwrap_or_else(own)?;
        #[cfg(feature = "http3")]
        let sessions = self.web_transport.is_some();
        #[cfg(not(feature = "http3"))]
        let sessions = false;
        let tls = tls.with_alpn(self.config.protocols_and(sessions));
        let address = self.address.resolve().await;
        let address = address.map_err(|source| BindError::Address {
            address: self.address.text(),
            source,
        })?;
        let transport = &self.config.transport;
        let shards = start_shards(self.config.shards)?;
        let endpoint = match &shards {
            None => ServerEndpoint::bind(address, &tls, transport)?,
            Some(shards) => {
                ServerEndpoint::bind_shards(address, shards.runtimes(), &tls, transport)?
            }
        };
        Ok(Bound {
            endpoint,
            tls: Some(tls),
            shards,
        })
    }

    fn open_log(&mut self, clock: Clock) -> Result<Log, BindError> {
        let config = self.config.log.clone();
        if let Some(storage) = self.open_storage(clock)? {
            return Ok(Log::stored(storage, config, clock.now()));
        }
        Ok(Log::new(self.epoch.unwrap_or_else(random_epoch), config))
    }

    #[cfg_attr(
        not(feature = "store"),
        expect(clippy::unnecessary_wraps, reason = "a store may not open")
    )]
    fn open_storage(&mut self, _clock: Clock) -> Result<Option<Arc<dyn Storage>>, BindError> {
        #[cfg(feature = "store")]
        if let Some(directory) = &self.directory {
            return open_store(directory, &self.config, self.epoch, _clock).map(Some);
        }
        Ok(self.storage.take())
    }
}

/// An endpoint that listens.
struct Bound {
    endpoint: ServerEndpoint,
    /// Its certificate, unless it was given.
    tls: Option<ServerTls>,
    /// Its threads, where it has its own.
    shards: Option<Shards>,
}

impl IntoFuture for ServerBuilder {
    type Output = Result<Server, BindError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.bind())
    }
}

/// Starts the threads of the shards. One shard has none: it is on the caller's runtime.
fn start_shards(count: usize) -> Result<Option<Shards>, BindError> {
    let limit = ServerEndpoint::MAX_SHARDS;
    match count {
        1 => Ok(None),
        count if (1..=limit).contains(&count) => Shards::start(count)
            .map(Some)
            .map_err(|source| BindError::Threads { source }),
        asked => Err(qsse_transport::BindError::Shards { asked, limit }.into()),
    }
}
