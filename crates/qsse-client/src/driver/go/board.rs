//! [`Board`]: the state of a client that has several connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use qsse_transport::Connection;

use crate::core::Core;
use crate::state::ConnectionState;
use crate::subscription::slot::GO_EPOCH;

/// Which links stand, and what the client's state is from that: reconnecting as long as one of them is.
pub(super) struct Board {
    core: Arc<Core>,
    /// Whether each link stands.
    links: Mutex<BTreeMap<u64, bool>>,
}

impl Board {
    pub(super) fn new(core: &Arc<Core>) -> Self {
        Self {
            core: core.clone(),
            links: Mutex::default(),
        }
    }

    /// The first connection, which no subscription uses yet.
    pub(super) fn greet(&self, connection: &Connection) {
        tracing::info!(address = %connection.remote_address(), "connected, in the Go library's protocol");
        self.core.set_link(connection.clone());
        self.connected();
    }

    /// A link stands.
    pub(super) fn standing(&self, key: u64, connection: &Connection) {
        self.core.set_link(connection.clone());
        self.links.lock().insert(key, true);
        self.settle();
    }

    /// A link waits before its next attempt.
    pub(super) fn reconnecting(&self, key: u64, state: ConnectionState) {
        self.links.lock().insert(key, false);
        self.core.set_state(state);
    }

    /// A link is gone. The last one leaves the state as it was.
    pub(super) fn remove(&self, key: u64) {
        self.links.lock().remove(&key);
        self.settle();
    }

    /// Says that all is well, if it is and was not.
    fn settle(&self) {
        let links = self.links.lock();
        let well = !links.is_empty() && links.values().all(|stands| *stands);
        drop(links);
        if well && !self.core.is_connected() {
            self.connected();
        }
    }

    fn connected(&self) {
        if let Some(connection) = self.core.any_connection() {
            self.core.set_state(ConnectionState::Connected {
                address: connection.remote_address(),
                server: String::new(),
                epoch: GO_EPOCH,
            });
        }
    }
}
