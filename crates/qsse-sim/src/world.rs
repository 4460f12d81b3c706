//! [`World`]: a network, a server with its disk, and the clients.

mod clients;
mod pace;
mod rights;
mod server;
mod setbacks;
mod slow;

use clients::{Cuts, cut_server};
use pace::Pace;
use rights::{Asked, Revoked, Tokens};
use setbacks::Copied;
use slow::Slow;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use qsse_client::{Client, Publisher, ReconnectPolicy, RefreshError, RetryPolicy};
use qsse_log::disk::{self, Disk, DiskRetention};
use qsse_proto::{Epoch, Timestamp};
use qsse_server::{
    Acknowledge, Action, Authenticator, Authorizer, Clock, Credentials, Denied, Item, LogConfig,
    Notice, Principal, Scope, Server, Start, TopicRetention,
};
use qsse_store::Store;
use qsse_testing::net::Network;
use qsse_testing::{endpoints, fixtures};
use qsse_topic::PatternRef;
use qsse_transport::TransportConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use crate::model::{Model, Setback};
use crate::program::{CLIENTS, Rights, Setting, StoreKind};
use crate::tripwire::Tripwire;

/// The wall clock at the beginning.
const BEGINNING: u64 = 1_700_000_000_000_000;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(6);
/// More addresses than a run has clients.
const ADDRESSES: u16 = 600;

/// Some events for an ordered publisher.
pub(crate) struct Batch {
    pub(crate) topic: String,
    pub(crate) size: usize,
    pub(crate) count: usize,
}

/// Everything that a program happens to.
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) model: RefCell<Model>,
    pub(crate) network: Network,
    cuts: Arc<Mutex<Cuts>>,
    pub(crate) disk: Option<Tripwire>,
    pub(crate) server: RefCell<Option<Server>>,
    witness: RefCell<Option<JoinHandle<()>>>,
    /// The last event that a witness has seen up to its end.
    witnessed: Cell<u64>,
    started: Instant,
    /// Microseconds by which the wall clock has jumped.
    pub(crate) jumped: Cell<i64>,
    revoked: Revoked,
    /// Servers so far.
    servers: Cell<u64>,
    /// How often the store was opened, also in vain.
    opens: Cell<u64>,
    /// The last copy of the store.
    copied: RefCell<Option<Copied>>,
    /// What was done to the store since it was closed.
    setback: Cell<Option<Setback>>,
    places: Vec<Place>,
    next_address: Cell<u16>,
    /// Batches that ordered publishers have not finished.
    busy: Cell<usize>,
    /// The disk was full, failed or hung: an end may not be clean.
    pub(crate) troubled: Cell<bool>,
    /// It was full or failed: publishing may have ended.
    pub(crate) hurt: Cell<bool>,
    /// Ordered publishers so far.
    publishers: Cell<usize>,
    /// Paces so far.
    paces: Cell<u64>,
}

/// A client's place.
struct Place {
    client: watch::Sender<Option<Client>>,
    connecting: RefCell<Option<JoinHandle<()>>>,
    address: Cell<u16>,
    /// Clients so far.
    generation: Cell<u64>,
    /// Its newest token.
    token: Arc<Mutex<String>>,
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
        let model = Model::new(setting.clone());
        let place = |n| Place {
            client: watch::Sender::new(None),
            connecting: RefCell::new(None),
            address: Cell::new(0),
            generation: Cell::new(0),
            token: Arc::new(Mutex::new(rights::token(
                n,
                model.newest(n),
                model.rights(n),
            ))),
            publishers: RefCell::default(),
        };
        let places = (0..=CLIENTS).map(place).collect();
        Self {
            setting: setting.clone(),
            model: RefCell::new(model),
            network,
            cuts,
            disk,
            server: RefCell::new(None),
            witness: RefCell::new(None),
            witnessed: Cell::new(0),
            started: Instant::now(),
            jumped: Cell::new(0),
            revoked: Revoked::default(),
            servers: Cell::new(0),
            opens: Cell::new(0),
            copied: RefCell::new(None),
            setback: Cell::new(None),
            places,
            next_address: Cell::new(0),
            busy: Cell::new(0),
            troubled: Cell::new(false),
            hurt: Cell::new(false),
            publishers: Cell::new(0),
            paces: Cell::new(0),
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

    /// The last seq given out of the server that runs.
    pub(crate) fn head(&self) -> Option<u64> {
        let server = self.server.borrow();
        Some(server.as_ref()?.log_stats().head)
    }

    /// How long something of the server that runs takes, at most so many milliseconds.
    fn pace(&self, most_ms: u64) -> Pace {
        self.paces.set(self.paces.get() + 1);
        Pace::new(self.network.seed() ^ self.paces.get() << 32, most_ms)
    }
}

/// One that numbers what it sends.
pub(crate) fn ordered(client: &Client, exactly_once: bool) -> Publisher {
    let publisher = client.publisher();
    match exactly_once {
        true => publisher.exactly_once(),
        false => publisher,
    }
}
