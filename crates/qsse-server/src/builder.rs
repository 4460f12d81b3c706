//! [`Builder`]: a server before it listens.

use std::future::{Future, IntoFuture};
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use metrics::Recorder;
use qsse_log::{Log, Storage};
use qsse_proto::Epoch;
use qsse_proto::limits::{FOREVER, SettingError};
use qsse_topic::PatternError;
use qsse_transport::ServerEndpoint;
use qsse_transport::tls::{ServerTls, TlsError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{AcceptAll, Authenticator, Authorizer, NameFn, SubscribeOnly, TokenFn};
use crate::clock::Clock;
use crate::config::Config;
use crate::go_warnings::GoWarnings;
use crate::metrics::{Metrics, SharedRecorder};
use crate::server::Server;
use crate::shards::Shards;
use crate::shared::Shared;
use crate::topics::Topics;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is not one.
    #[error("{address:?} is not an address to listen on: write it like 127.0.0.1:4242")]
    Address {
        /// What was given.
        address: String,
        /// What the resolver says.
        source: std::io::Error,
    },
    /// A declared topic does not parse.
    #[error("the topic {topic:?} cannot be declared")]
    Topic {
        /// What was given.
        topic: String,
        /// What is wrong with it.
        source: PatternError,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The socket or its TLS.
    #[error(transparent)]
    Endpoint(#[from] qsse_transport::BindError),
    /// The certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The threads of [`shards`](Builder::shards).
    #[error("cannot start a thread for each shard")]
    Threads {
        /// What the system says.
        source: std::io::Error,
    },
    /// The store.
    #[cfg(feature = "store")]
    #[error("the store in {} cannot be used", .directory.display())]
    Store {
        /// Where it is.
        directory: std::path::PathBuf,
        /// What is wrong with it.
        source: qsse_log::disk::OpenError,
    },
}

/// Settings of a server to be; awaiting it binds the socket.
///
/// Without TLS settings it makes a self-signed certificate in memory, whose fingerprint is in
/// [`Server::url`](crate::Server::url). Cancel-safe: a future dropped early leaves nothing behind.
#[must_use = "a server listens once its builder is awaited"]
pub struct Builder {
    address: Result<SocketAddr, BindError>,
    topics: Result<Topics, BindError>,
    tls: Option<Result<ServerTls, TlsError>>,
    config: Config,
    authenticator: Option<Arc<dyn Authenticator>>,
    authorizer: Option<Arc<dyn Authorizer>>,
    recorder: Option<SharedRecorder>,
    endpoint: Option<ServerEndpoint>,
    clock: Option<Clock>,
    epoch: Option<Epoch>,
    storage: Option<Arc<dyn Storage>>,
    #[cfg(feature = "store")]
    directory: Option<std::path::PathBuf>,
}

impl Builder {
    pub(crate) fn new(address: impl ToSocketAddrs + std::fmt::Debug) -> Self {
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "no address");
        let resolved = address.to_socket_addrs();
        let first = resolved.and_then(|mut all| all.next().ok_or_else(missing));
        let address = first.map_err(|source| {
            let address = format!("{address:?}").trim_matches('"').to_owned();
            BindError::Address { address, source }
        });
        Self {
            address,
            topics: Ok(Topics::default()),
            tls: None,
            config: Config::default(),
            authenticator: None,
            authorizer: None,
            recorder: None,
            endpoint: None,
            clock: None,
            epoch: None,
            storage: None,
            #[cfg(feature = "store")]
            directory: None,
        }
    }

    /// Declares the topics: names, and patterns that admit names. Publishing or subscribing elsewhere is refused. Without this, any
    /// topic may be used.
    pub fn topics<T: AsRef<str>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        let declared = Topics::declare(topics);
        self.topics = declared.map_err(|(topic, source)| BindError::Topic { topic, source });
        self
    }

    /// The server's certificate and key.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(Ok(tls));
        self
    }

    /// The development certificate of this user, made if there is none: clients on this machine trust it by reading it.
    pub fn dev_cert(mut self) -> Self {
        self.tls = Some(ServerTls::dev_cert());
        self
    }

    /// All settings that are plain data. It replaces what was set before, so call it first.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Also serves clients of the Go library, as [`Config::go_dialect`] says. Default: not.
    pub fn go_dialect(mut self, serve: bool) -> Self {
        self.config.go_dialect = serve;
        self
    }

    /// Serves connections on this many threads, as [`Config::shards`] says. Default 1: on the caller's runtime.
    ///
    /// With several, authenticators and authorizers are called on those threads, whose runtimes have one thread each. What runs once
    /// (taking connections, retention, the store) stays on the caller's runtime, which has to go on running.
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
        self.config.shards = shards;
        self
    }

    /// Who may connect. Without one, every client.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Who may connect, as in the Go library: a closure that accepts a token or not. No token is the empty one.
    pub fn authenticator_fn(self, accept: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.authenticator(TokenFn(accept))
    }

    /// Who may do what. Without one, every client may subscribe and none may publish.
    pub fn authorizer(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Some(Arc::new(authorizer));
        self
    }

    /// Who may subscribe, as in the Go library: a closure of token and topic. It is asked for concrete names, also under a
    /// wildcard subscription, and never allows publishing.
    pub fn authorizer_fn(self, allow: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.authorizer(NameFn(allow))
    }

    /// Registers the metrics here instead of with the process's recorder.
    pub fn recorder(mut self, recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Uses an endpoint that is bound already; the address and TLS settings then have no effect.
    pub fn endpoint(mut self, endpoint: ServerEndpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Keeps events in this directory, which is made if there is none, so that they outlast the process: a publish is
    /// acknowledged, and seen by subscribers, as [`acknowledge`](crate::LogConfig#structfield.acknowledge) says.
    ///
    /// What is kept is bounded by [`Config::store`](crate::Config#structfield.store). The directory is open to one server at a time.
    #[cfg(feature = "store")]
    pub fn store(mut self, directory: impl Into<std::path::PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Keeps events here, so that they outlast the process; a publish is then acknowledged as
    /// [`acknowledge`](qsse_log::Config#structfield.acknowledge) says. Without one they are in memory only.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Some(Arc::new(storage));
        self
    }

    /// Takes the time of events from here, for simulations.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The epoch of this start, for simulations: anywhere else it must be random. One that a store had before is counted up.
    pub fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = Some(Epoch::new(epoch));
        self
    }

    async fn bind(mut self) -> Result<Server, BindError> {
        let topics = self.topics?;
        self.config.check()?;
        // Moments are told by adding to the time.
        self.config.heartbeat = self.config.heartbeat.min(FOREVER);
        let (endpoint, fingerprint, shards) = match self.endpoint {
            Some(endpoint) => (endpoint, None, None),
            None => {
                let own = || ServerTls::self_signed([] as [&str; 0]);
                let tls = self.tls.unwrap_or_else(own)?;
                let tls = tls.with_alpn(self.config.protocols());
                let (address, transport) = (self.address?, &self.config.transport);
                let shards = start_shards(self.config.shards)?;
                let endpoint = match &shards {
                    None => ServerEndpoint::bind(address, &tls, transport)?,
                    Some(shards) => {
                        ServerEndpoint::bind_shards(address, shards.runtimes(), &tls, transport)?
                    }
                };
                (endpoint, tls.fingerprint(), shards)
            }
        };
        let metrics = Metrics::new(&self.config, &topics, self.recorder);
        let clock = self.clock.unwrap_or_else(Clock::system);
        #[cfg(feature = "store")]
        let storage = match &self.directory {
            Some(directory) => Some(open_store(directory, &self.config, self.epoch, clock)?),
            None => self.storage,
        };
        #[cfg(not(feature = "store"))]
        let storage = self.storage;
        let log = match storage {
            Some(storage) => Log::stored(storage, self.config.log.clone(), clock.now()),
            None => {
                let epoch = self.epoch.unwrap_or_else(random_epoch);
                Log::new(epoch, self.config.log.clone())
            }
        };
        topics
            .declared()
            .filter_map(|name| name.as_topic())
            .for_each(|name| log.declare(name));
        warn_of_defaults(self.authenticator.is_none(), self.authorizer.is_none());
        let shared = Shared {
            endpoint,
            fingerprint,
            log,
            topics,
            clock,
            metrics,
            go_warnings: GoWarnings::default(),
            authenticator: self.authenticator.unwrap_or_else(|| Arc::new(AcceptAll)),
            authorizer: self.authorizer.unwrap_or_else(|| Arc::new(SubscribeOnly)),
            sessions: TaskTracker::new(),
            #[cfg(feature = "testing")]
            connections: parking_lot::Mutex::new(None),
            draining: CancellationToken::new(),
            leaving: AtomicBool::new(false),
            tick: AtomicU64::new(0),
            closing: CancellationToken::new(),
            stored: CancellationToken::new(),
            closed: watch::Sender::new(None),
            config: self.config,
        };
        Ok(Server::start(shared, shards))
    }
}

impl IntoFuture for Builder {
    type Output = Result<Server, BindError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.bind())
    }
}

/// Threads for the shards; none for one shard, which is on the caller's runtime.
fn start_shards(count: usize) -> Result<Option<Shards>, BindError> {
    let limit = ServerEndpoint::MAX_SHARDS;
    match count {
        1 => Ok(None),
        count if (1..=limit).contains(&count) => {
            let started = Shards::start(count);
            Ok(Some(
                started.map_err(|source| BindError::Threads { source })?,
            ))
        }
        asked => Err(qsse_transport::BindError::Shards { asked, limit }.into()),
    }
}

/// Opens the store in a directory.
#[cfg(feature = "store")]
fn open_store(
    directory: &std::path::Path,
    config: &Config,
    epoch: Option<Epoch>,
    clock: Clock,
) -> Result<Arc<dyn Storage>, BindError> {
    use qsse_log::disk::{self, Disk};
    let epoch = epoch.unwrap_or_else(random_epoch);
    let purpose = format!("a qsse server, process {}", std::process::id());
    let options = disk::options(epoch, config.log.acknowledge)
        .now(clock.now().wall)
        .purpose(purpose)
        .keys(config.log.dedup_keys, config.log.dedup_window)
        .publishers(
            config.log.dedup_publishers,
            config.log.dedup_publisher_window,
        );
    let disk = Disk::open(directory, options, config.store.clone());
    let disk = disk.map_err(|source| BindError::Store {
        directory: directory.to_owned(),
        source,
    })?;
    Ok(Arc::new(disk))
}

/// A number that no other log has, from the seeds of the standard library's hash maps.
fn random_epoch() -> Epoch {
    use std::hash::{BuildHasher, RandomState};
    // 0 is no log's: clients number with it where a server gives no ids.
    Epoch::new(
        RandomState::new()
            .hash_one(std::time::SystemTime::now())
            .max(1),
    )
}

fn warn_of_defaults(no_authenticator: bool, no_authorizer: bool) {
    if no_authenticator && no_authorizer {
        tracing::warn!(
            "no authenticator and no authorizer: anyone who can reach this server may subscribe to everything"
        );
    } else if no_authenticator {
        tracing::warn!("no authenticator: anyone who can reach this server may connect");
    } else if no_authorizer {
        tracing::warn!("no authorizer: every client that is let in may subscribe to everything");
    }
}
