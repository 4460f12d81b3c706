//! [`Setup`]: what a client is made from.

use std::sync::Arc;

use qsse_proto::limits::PUBLISHER_NAME_BYTES;
use qsse_transport::{ClientEndpoint, ServerUrl, UrlError};
use tokio::runtime;
use tokio::sync::oneshot;

use crate::backoff::Backoff;
use crate::config::Config;
use crate::core::{Core, Handle};
use crate::driver::{Driver, Endpoints, Finishing, Trust};
use crate::error::ConnectError;
use crate::token::TokenSource;

/// What a client is made from.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(super) url: Result<ServerUrl, UrlError>,
    pub(super) token: TokenSource,
    pub(super) trust: Trust,
    pub(super) config: Config,
    pub(super) endpoint: Option<ClientEndpoint>,
    pub(super) seed: Option<u64>,
}

/// A client that has not begun to connect. It requests what is registered with it now as soon as it
/// connects.
pub(crate) struct Prepared {
    pub(crate) handle: Arc<Handle>,
    driver: Driver,
    runtime: runtime::Handle,
}

impl Setup {
    pub(super) fn new(url: Result<ServerUrl, UrlError>) -> Self {
        Self {
            url,
            token: TokenSource::none(),
            trust: Trust::default(),
            config: Config::default(),
            endpoint: None,
            seed: None,
        }
    }

    /// Checks the settings and makes a client that has not begun to connect.
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

impl Prepared {
    /// Begins to connect. The receiver gets the outcome of the first connection.
    pub(crate) fn start(self) -> oneshot::Receiver<Result<(), ConnectError>> {
        let (first, connected) = oneshot::channel();
        self.runtime.spawn(self.driver.run(first));
        connected
    }
}
