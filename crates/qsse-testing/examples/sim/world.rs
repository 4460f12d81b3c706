//! [`World`]: a network, a server with its disk, and the clients.

mod clients;
mod rights;

use clients::{Cuts, cut_server};
use rights::{Rights, Tokens};

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use qsse_client::{Client, EventId, Publisher, ReconnectPolicy, RetryPolicy};
use qsse_log::disk::{self, Disk, Kept};
use qsse_proto::{Epoch, Timestamp};
use qsse_server::{
    Acknowledge, Action, Authenticator, Authorizer, Clock, Credentials, Denied, LogConfig,
    Principal, Retention, Scope, Server, Start,
};
use qsse_store::Store;
use qsse_testing::net::Network;
use qsse_testing::{endpoints, fixtures};
use qsse_topic::PatternRef;
use qsse_transport::TransportConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use crate::model::{Model, may_publish};
use crate::program::{CLIENTS, LIMITED, Setting, StoreKind};
use crate::publishing::Batch;
use crate::tripwire::Tripwire;

/// The wall clock at the beginning.
const BEGINNING: u64 = 1_700_000_000_000_000;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(6);
/// More addresses than a run has clients.
const ADDRESSES: u16 = 600;

/// Everything that a program happens to.
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) model: RefCell<Model>,
    pub(crate) network: Network,
    cuts: Arc<Mutex<Cuts>>,
    pub(crate) disk: Option<Tripwire>,
    pub(crate) server: RefCell<Option<Server>>,
    witness: RefCell<Option<JoinHandle<()>>>,
    started: Instant,
    /// Microseconds by which the wall clock has jumped.
    pub(crate) jumped: Cell<i64>,
    /// Servers so far.
    servers: Cell<u64>,
    places: Vec<Place>,
    next_address: Cell<u16>,
    /// Batches that ordered publishers have not finished.
    busy: Cell<usize>,
    /// The disk was full or failed: an end may not be clean.
    pub(crate) troubled: Cell<bool>,
    /// Ordered publishers so far.
    publishers: Cell<usize>,
}

/// A client's place.
struct Place {
    client: watch::Sender<Option<Client>>,
    connecting: RefCell<Option<JoinHandle<()>>>,
    address: Cell<u16>,
    /// Clients so far.
    generation: Cell<u64>,
    publishers: RefCell<[Option<mpsc::UnboundedSender<Batch>>; 2]>,
}

impl World {
    pub(crate) fn new(seed: u64, setting: &Setting) -> Self {
        let network = Network::new(seed);
        let cuts = Arc::new(Mutex::new(Cuts {
            network: network.clone(),
            server: false,
            clients: BTreeSet::new(),
        }));
        let stored = setting.store != StoreKind::None;
        let disk = stored.then(|| {
            let cuts = Arc::clone(&cuts);
            Tripwire::new(move || cut_server(&cuts, true))
        });
        let place = |_| Place {
            client: watch::Sender::new(None),
            connecting: RefCell::new(None),
            address: Cell::new(0),
            generation: Cell::new(0),
            publishers: RefCell::default(),
        };
        Self {
            setting: setting.clone(),
            model: RefCell::new(Model::new(setting.clone())),
            network,
            cuts,
            disk,
            server: RefCell::new(None),
            witness: RefCell::new(None),
            started: Instant::now(),
            jumped: Cell::new(0),
            servers: Cell::new(0),
            places: (0..=CLIENTS).map(place).collect(),
            next_address: Cell::new(0),
            busy: Cell::new(0),
            troubled: Cell::new(false),
            publishers: Cell::new(0),
        }
    }

    pub(crate) fn fault(&self, text: impl Into<String>) {
        let now = self.now_ms();
        let text = format!("at {now} ms: {}", text.into());
        self.model.borrow_mut().fault(text);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The wall clock in microseconds.
    pub(crate) fn wall(&self) -> u64 {
        let now = BEGINNING + self.started.elapsed().as_micros() as u64;
        now.saturating_add_signed(self.jumped.get())
    }

    /// The number of a new ordered publisher.
    pub(crate) fn number(&self) -> usize {
        self.publishers.set(self.publishers.get() + 1);
        self.publishers.get()
    }

    /// A batch was handed to an ordered publisher.
    pub(crate) fn begin(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    /// It is done with it.
    pub(crate) fn end(&self) {
        self.busy.set(self.busy.get() - 1);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.get() > 0
    }

    /// The epoch and the last seq given out of the server that runs.
    pub(crate) fn head(&self) -> Option<(u64, u64)> {
        let server = self.server.borrow();
        let head = server.as_ref()?.log_stats().head;
        Some((self.epoch(), head))
    }

    /// The epoch of the log.
    pub(crate) fn epoch(&self) -> u64 {
        match self.disk {
            Some(_) => 1_000,
            None => 1_000 + self.servers.get(),
        }
    }
}

/// The server.
impl World {
    pub(crate) async fn start(self: &std::rc::Rc<Self>) {
        self.servers.set(self.servers.get() + 1);
        let storage = match &self.disk {
            None => None,
            Some(disk) => match self.open(disk) {
                Ok(opened) => Some(opened),
                Err(_) => {
                    // Not without room, and not while it fails; but then.
                    disk.fail_no_more();
                    disk.files.recover();
                    disk.files.set_capacity(None);
                    match self.open(disk) {
                        Ok(opened) => Some(opened),
                        Err(error) => {
                            self.fault(format!("the store cannot be opened: {error}"));
                            return;
                        }
                    }
                }
            },
        };
        let transport = TransportConfig::server()
            .idle_timeout(IDLE)
            .send_window(self.setting.send_window);
        let endpoint = endpoints::server_with(&self.network, &transport);
        let start = Timestamp::from_micros(self.wall());
        let config = qsse_server::Config::default()
            .log(self.log_config())
            .transport(transport)
            .heartbeat(Duration::from_millis(self.setting.heartbeat_ms));
        let mut builder = Server::bind(self.network.server_address())
            .config(config)
            .endpoint(endpoint.expect("within a runtime"))
            .clock(Clock::simulated(start))
            .epoch(self.epoch())
            .authenticator(Tokens {
                good_for: self.setting.token_ms.map(Duration::from_millis),
            })
            .authorizer(Rights {
                names_only: self.setting.names_only,
            });
        if let Some(storage) = storage {
            builder = builder.storage(storage);
        }
        match builder.await {
            Ok(server) => {
                if self.setting.witness {
                    let (world, server) = (self.clone(), server.clone());
                    let task = spawn_local(async move { world.witness(server).await });
                    *self.witness.borrow_mut() = Some(task);
                }
                *self.server.borrow_mut() = Some(server);
            }
            Err(error) => self.fault(format!("the server did not start: {error}")),
        }
    }

    fn acknowledge(&self) -> Acknowledge {
        match self.setting.store {
            StoreKind::None | StoreKind::Memory => Acknowledge::Memory,
            StoreKind::Written => Acknowledge::Written,
            StoreKind::Synced => Acknowledge::Synced,
        }
    }

    fn open(&self, disk: &Tripwire) -> Result<Disk, disk::OpenError> {
        let window = Duration::from_millis(self.setting.dedup_ms);
        let options = disk::options(Epoch::new(self.epoch()), self.acknowledge())
            .salt_if_new(7)
            .segment_bytes(self.setting.segment_bytes)
            .keys(100_000, window);
        let mut kept = Kept::default();
        kept.max_events = self.setting.store_events;
        kept.topics = self.topic_rules();
        let (store, recovered) = Store::open(Arc::new(disk.clone()), options)?;
        Ok(Disk::inline(store, recovered, kept))
    }

    fn log_config(&self) -> LogConfig {
        let setting = &self.setting;
        let window = Duration::from_millis(setting.dedup_ms);
        let mut config = LogConfig::default()
            .history_events(setting.history_events.unwrap_or(u64::MAX))
            .feed_bytes(setting.feed_bytes)
            .dedup(window, 100_000)
            .acknowledge(self.acknowledge());
        config.feed_idle = Duration::from_secs(2);
        config.retention = self.topic_rules();
        config
    }

    fn topic_rules(&self) -> Vec<Retention> {
        let rule = |events| Retention::of("a.*".parse().expect("a pattern")).max_events(events);
        self.setting.topic_events.map(rule).into_iter().collect()
    }

    /// Sees everything as soon as it may be seen.
    async fn witness(&self, server: Server) {
        let all = server.subscribe("*").start(Start::Earliest).await;
        drop(server);
        let Ok(mut all) = all else {
            return self.fault("a subscription in the process was refused");
        };
        while let Some(item) = all.next().await {
            if let Ok(event) = item {
                self.model.borrow_mut().witnessed(&event);
            }
        }
    }

    /// Drains the server.
    pub(crate) async fn drain(&self, deadline: Duration) {
        let Some(server) = self.server.borrow_mut().take() else {
            return;
        };
        let sick = server.health().is_err();
        let done = timeout(
            deadline + Duration::from_secs(20),
            server.shutdown(deadline),
        );
        if done.await.is_err() {
            self.fault(format!("a shutdown within {deadline:?} takes 20 s more"));
        }
        let head = (self.epoch(), server.log_stats().head);
        if self.disk.is_none() || sick || self.troubled.get() || server.health().is_err() {
            // What was not kept then is lost, as by a crash.
            self.model.borrow_mut().ended(false, head);
        }
        self.stop_witness().await;
        drop(server);
        self.gone().await;
    }

    /// Ends the server at once, in the middle of what its store does.
    pub(crate) async fn kill(&self, power: bool, operations: usize, seed: u64) {
        let Some(head) = self.head() else { return };
        match &self.disk {
            Some(disk) => {
                disk.power_off_after(operations);
                for _ in 0..30 {
                    if disk.is_off() {
                        break;
                    }
                    sleep(Duration::from_millis(10)).await;
                }
                disk.power_off();
            }
            None => cut_server(&self.cuts, true),
        }
        let head = self.head().unwrap_or(head);
        self.model.borrow_mut().ended(power, head);
        self.stop_witness().await;
        self.server.borrow_mut().take();
        self.gone().await;
        if let Some(disk) = &self.disk {
            disk.power_on(power.then_some(seed));
        }
    }

    /// Lets clients reach the server's address again.
    pub(crate) fn uncut_server(&self) {
        cut_server(&self.cuts, false);
    }

    async fn stop_witness(&self) {
        let witness = self.witness.borrow_mut().take();
        if let Some(witness) = witness {
            witness.abort();
            let _ = witness.await;
        }
    }

    /// Ends the witness, whose subscription keeps a feed.
    pub(crate) async fn dismiss_witness(&self) {
        self.stop_witness().await;
    }

    /// Waits until nothing of the server is left on the network.
    async fn gone(&self) {
        let address = self.network.server_address();
        // Closed connections stay for three probe timeouts, which a round trip through a partition makes long.
        for _ in 0..30_000 {
            if self.network.free(address) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("five minutes after its end a server still has its socket");
    }
}

/// Whether a client may subscribe to a name or, as a whole, to a pattern.
pub(crate) fn may_subscribe(client: usize, pattern: &str) -> bool {
    client != LIMITED || pattern.starts_with("a.")
}

/// An id as it was kept.
pub(crate) fn id(epoch: u64, seq: u64) -> EventId {
    EventId::new(Epoch::new(epoch), seq)
}

/// One that numbers what it sends.
pub(crate) fn ordered(client: &Client, exactly_once: bool) -> Publisher {
    let publisher = client.publisher();
    match exactly_once {
        true => publisher.exactly_once(),
        false => publisher,
    }
}
