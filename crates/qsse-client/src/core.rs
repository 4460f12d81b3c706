//! [`Core`]: what the handles of a client share with its driver.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use qsse_proto::control::Token;
use qsse_transport::Connection;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::{PublishError, RefreshError};
use crate::publish::Keys;
use crate::session::Session;
use crate::state::{CloseReason, ConnectionState};
use crate::subscription::slot::{End, Slot};
use crate::token::TokenSource;

/// What the handles of a client share with its driver.
pub(crate) struct Core {
    pub(crate) config: Config,
    /// Where the client's tasks run, whatever executor polls its futures.
    pub(crate) runtime: runtime::Handle,
    pub(crate) token: Mutex<TokenSource>,
    /// Under which it publishes on its own account.
    pub(crate) keys: Arc<Keys>,
    /// Cancelled when the connection is to be closed at once.
    pub(crate) closing: CancellationToken,
    state: watch::Sender<Arc<ConnectionState>>,
    /// The open connection, for publishers; none while there is no connection or the server is leaving.
    session: watch::Sender<Option<Arc<Session>>>,
    /// The server speaks the Go library's dialect: there are no sessions.
    speaks_go: AtomicBool,
    /// In that dialect the connection made last.
    link: Mutex<Option<Connection>>,
    table: Mutex<Table>,
    commands: mpsc::UnboundedSender<Command>,
}

/// The registered subscriptions. It is the truth for every new connection; commands only tell the open one of changes.
#[derive(Default)]
struct Table {
    slots: BTreeMap<u64, Arc<Slot>>,
    next_key: u64,
    closed: Option<CloseReason>,
}

/// What handles ask of the driver while a connection is open. Without one there is nothing to do: the table says it all.
pub(crate) enum Command {
    Subscribe(Arc<Slot>),
    Unsubscribe {
        key: u64,
    },
    /// The stream that the subscription had under this id has ended, and the subscription wants another.
    Resume {
        key: u64,
        id: u32,
    },
    Refresh {
        token: Token,
        done: oneshot::Sender<Result<Option<Duration>, RefreshError>>,
    },
}

impl Core {
    pub(crate) fn new(
        config: Config,
        token: TokenSource,
        runtime: runtime::Handle,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let core = Self {
            config,
            runtime,
            token: Mutex::new(token),
            keys: Arc::new(Keys::new()),
            closing: CancellationToken::new(),
            state: watch::Sender::new(Arc::new(ConnectionState::Connecting)),
            session: watch::Sender::new(None),
            speaks_go: AtomicBool::new(false),
            link: Mutex::default(),
            table: Mutex::default(),
            commands,
        };
        (Arc::new(core), receiver)
    }

    pub(crate) fn states(&self) -> watch::Receiver<Arc<ConnectionState>> {
        self.state.subscribe()
    }

    pub(crate) fn set_state(&self, state: ConnectionState) {
        tracing::debug!(%state, "connection state");
        self.state.send_replace(Arc::new(state));
    }

    /// The open connection, if there is one.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        self.session.borrow().clone()
    }

    pub(crate) fn set_session(&self, session: Option<Arc<Session>>) {
        self.session.send_replace(session);
    }

    /// Whether the server speaks the Go library's dialect.
    pub(crate) fn speaks_go(&self) -> bool {
        self.speaks_go.load(Ordering::Acquire)
    }

    /// Enters or leaves the Go library's dialect.
    pub(crate) fn set_speaks_go(&self, go: bool) {
        self.speaks_go.store(go, Ordering::Release);
        *self.link.lock() = None;
        // Those that wait for a session look again.
        self.session.send_modify(|_| {});
    }

    /// In the Go library's dialect: a connection has been made.
    pub(crate) fn set_link(&self, connection: Connection) {
        *self.link.lock() = Some(connection);
    }

    /// An open connection, of whichever dialect.
    pub(crate) fn any_connection(&self) -> Option<Connection> {
        let session = self.session().map(|session| session.connection.clone());
        session.or_else(|| {
            let link = self.link.lock().clone();
            link.filter(|link| link.close_reason().is_none())
        })
    }

    /// The open connection, waiting for one as long as publishing may.
    pub(crate) async fn connected(&self) -> Result<Arc<Session>, PublishError> {
        self.connected_within(self.config.publish_wait).await
    }

    /// The open connection, waiting so long for one.
    pub(crate) async fn connected_within(
        &self,
        waited: Duration,
    ) -> Result<Arc<Session>, PublishError> {
        let mut sessions = self.session.subscribe();
        let found = async {
            loop {
                if let Some(reason) = self.closed() {
                    return Err(PublishError::Closed(reason));
                }
                let session = sessions.borrow_and_update().clone();
                if self.speaks_go() {
                    return Err(PublishError::Unsupported);
                }
                if let Some(session) = session.filter(|session| !session.is_over()) {
                    return Ok(session);
                }
                // The sender is `self`, so this cannot fail.
                let _ = sessions.changed().await;
            }
        };
        tokio::select! {
            biased;
            session = found => session,
            () = self.sleep(waited) => Err(PublishError::NotConnected { waited }),
        }
    }

    /// A timer on the client's own runtime, so that its futures can be polled on any executor.
    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        let _runtime = self.runtime.enter();
        tokio::time::sleep(duration)
    }

    /// Registers a subscription; the open connection or the next one asks for it.
    pub(crate) fn register(
        &self,
        slot: impl FnOnce(u64) -> Arc<Slot>,
    ) -> Result<Arc<Slot>, CloseReason> {
        let mut table = self.table.lock();
        if let Some(reason) = &table.closed {
            return Err(reason.clone());
        }
        let key = table.next_key;
        table.next_key += 1;
        let slot = slot(key);
        table.slots.insert(key, slot.clone());
        drop(table);
        self.command(Command::Subscribe(slot.clone()));
        Ok(slot)
    }

    /// Forgets a subscription. Does nothing the second time.
    pub(crate) fn unregister(&self, key: u64) {
        let removed = self.table.lock().slots.remove(&key);
        if removed.is_some() {
            self.command(Command::Unsubscribe { key });
        }
    }

    /// The registered subscriptions, the oldest first.
    pub(crate) fn slots(&self) -> Vec<Arc<Slot>> {
        self.table.lock().slots.values().cloned().collect()
    }

    pub(crate) fn slot(&self, key: u64) -> Option<Arc<Slot>> {
        self.table.lock().slots.get(&key).cloned()
    }

    pub(crate) fn is_registered(&self, key: u64) -> bool {
        self.table.lock().slots.contains_key(&key)
    }

    pub(crate) fn command(&self, command: Command) {
        // A driver that has ended has closed the client: then there is nothing to tell.
        let _ = self.commands.send(command);
    }

    /// Why the client takes no more calls, once it does not.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.table.lock().closed.clone()
    }

    /// No further calls are taken; those open go on. Only the first reason counts.
    pub(crate) fn refuse_more(&self, reason: CloseReason) {
        self.table.lock().closed.get_or_insert(reason);
        // Those that wait for a connection look again.
        self.session.send_modify(|_| {});
    }

    /// The end: tells everybody who waits. Only the first time counts.
    pub(crate) fn finish(&self, reason: CloseReason) {
        self.end_subscriptions(reason.clone());
        self.state.send_if_modified(|state| {
            let first = !state.is_closed();
            if first {
                tracing::debug!(%reason, "client closed");
                *state = Arc::new(ConnectionState::Closed { reason });
            }
            first
        });
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state.borrow().is_connected()
    }

    /// Ends every subscription once it has read what has come.
    pub(crate) fn end_subscriptions(&self, reason: CloseReason) {
        let slots = {
            let mut table = self.table.lock();
            table.closed.get_or_insert(reason.clone());
            std::mem::take(&mut table.slots)
        };
        self.set_session(None);
        for slot in slots.into_values() {
            slot.end(End::of(&reason));
        }
    }

    /// Waits until the client is closed and says why.
    pub(crate) fn wait_closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        let mut states = self.states();
        async move {
            match states
                .wait_for(|state| state.is_closed())
                .await
                .as_deref()
                .map(Arc::as_ref)
            {
                Ok(ConnectionState::Closed { reason }) => reason.clone(),
                // Every handle and the driver are gone: nobody was left to say more.
                _ => CloseReason::Local,
            }
        }
    }
}

/// The last one dropped closes the client at once. Clients, subscriptions and publishers each have one.
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.refuse_more(CloseReason::Local);
        self.core.closing.cancel();
    }
}
