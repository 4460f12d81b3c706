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
use crate::error::{CloseReason, PublishError, RefreshError};
use crate::publish::{Keys, StreamRegister};
use crate::session::Session;
use crate::slot::{End, Slot};
use crate::state::ConnectionState;
use crate::token::TokenSource;

/// What the handles of a client share with its driver.
pub(crate) struct Core {
    pub(crate) config: Config,
    /// The runtime of the client's tasks. Its futures may be polled on any executor.
    pub(crate) runtime: runtime::Handle,
    pub(crate) token: Mutex<TokenSource>,
    /// The keys for publishes to which the caller gave none.
    pub(crate) keys: Keys,
    pub(crate) publish_streams: StreamRegister,
    /// Cancelled to close the connection at once.
    pub(crate) closing: CancellationToken,
    state: watch::Sender<Arc<ConnectionState>>,
    /// The open connection, for publishers; `None` while there is none or the server leaves.
    session: watch::Sender<Option<Arc<Session>>>,
    /// Set if the server speaks the Go dialect, which has no sessions.
    speaks_go: AtomicBool,
    /// The most recent connection of the Go dialect.
    link: Mutex<Option<Connection>>,
    table: Mutex<Table>,
    commands: mpsc::UnboundedSender<Command>,
}

/// The registered subscriptions. Each new connection begins with them, and commands tell the open
/// connection about changes.
#[derive(Default)]
struct Table {
    slots: BTreeMap<u64, Arc<Slot>>,
    next_key: u64,
    closed: Option<CloseReason>,
}

/// What handles ask of the driver while a connection is open. Without one there is nothing to do,
/// since the next connection begins with the table.
pub(crate) enum Command {
    Subscribe(Arc<Slot>),
    Unsubscribe {
        key: u64,
    },
    /// The subscription's stream with this id has ended, and it needs another one.
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
            keys: Keys::new(),
            publish_streams: StreamRegister::default(),
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

    /// Returns the open connection, if there is one.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        self.session.borrow().clone()
    }

    pub(crate) fn set_session(&self, session: Option<Arc<Session>>) {
        self.session.send_replace(session);
    }

    /// Returns whether the server speaks the Go dialect.
    pub(crate) fn speaks_go(&self) -> bool {
        self.speaks_go.load(Ordering::Acquire)
    }

    /// Enters or leaves the Go dialect.
    pub(crate) fn set_speaks_go(&self, go: bool) {
        self.speaks_go.store(go, Ordering::Release);
        *self.link.lock() = None;
        // Wakes those that wait for a session.
        self.session.send_modify(|_| {});
    }

    /// Records a new connection of the Go dialect.
    pub(crate) fn set_link(&self, connection: Connection) {
        *self.link.lock() = Some(connection);
    }

    /// Returns an open connection of either dialect.
    pub(crate) fn any_connection(&self) -> Option<Connection> {
        let session = self.session().map(|session| session.connection.clone());
        session.or_else(|| {
            let link = self.link.lock().clone();
            link.filter(|link| link.close_reason().is_none())
        })
    }

    /// Waits for the open connection, for as long as publishing may wait.
    pub(crate) async fn connected(&self) -> Result<Arc<Session>, PublishError> {
        self.connected_within(self.config.publish_wait).await
    }

    /// Waits for the open connection, for at most `waited`.
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

    /// Starts a timer on the client's runtime, so that its futures can be polled on any executor.
    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        let _runtime = self.runtime.enter();
        tokio::time::sleep(duration)
    }

    /// Registers a subscription. The open connection or the next one requests it.
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

    /// Removes a subscription. A second call does nothing.
    pub(crate) fn unregister(&self, key: u64) {
        let removed = self.table.lock().slots.remove(&key);
        if removed.is_some() {
            self.command(Command::Unsubscribe { key });
        }
    }

    /// Returns the registered subscriptions, the oldest first.
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
        // This fails if the driver has ended, which has closed the client.
        let _ = self.commands.send(command);
    }

    /// Returns why the client accepts no more calls; `None` while it does.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.table.lock().closed.clone()
    }

    /// Refuses further calls. Open calls continue, and only the first reason counts.
    pub(crate) fn refuse_more(&self, reason: CloseReason) {
        self.table.lock().closed.get_or_insert(reason);
        // Wakes those that wait for a connection.
        self.session.send_modify(|_| {});
    }

    /// Closes the client and ends everything that waits. Only the first reason counts.
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

    /// Ends every subscription once it has read what has arrived.
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

    /// Waits until the client is closed, and returns why.
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
                // All handles and the driver are gone, so nothing else is known.
                _ => CloseReason::Local,
            }
        }
    }
}

/// Closes the client at once when the last one is dropped. Clients, subscriptions and publishers
/// each have one.
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.refuse_more(CloseReason::Local);
        self.core.closing.cancel();
    }
}
