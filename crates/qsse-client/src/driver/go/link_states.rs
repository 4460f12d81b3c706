//! [`LinkStates`]: the state of a client that has several connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use qsse_transport::Connection;

use crate::core::Core;
use crate::slot::GO_EPOCH;
use crate::state::ConnectionState;

/// Which links are connected. The client's state is reconnecting while one of them is.
pub(super) struct LinkStates {
    core: Arc<Core>,
    /// Whether each link is connected.
    links: Mutex<BTreeMap<u64, bool>>,
}

impl LinkStates {
    pub(super) fn new(core: &Arc<Core>) -> Self {
        Self {
            core: core.clone(),
            links: Mutex::default(),
        }
    }

    /// Records the first connection, which no subscription uses yet.
    pub(super) fn first_connected(&self, connection: &Connection) {
        let address = connection.remote_address();
        tracing::info!(%address, "connected, in the Go library's protocol");
        self.core.set_link(connection.clone());
        self.set_connected();
    }

    /// Records that a link is connected.
    pub(super) fn connected(&self, key: u64, connection: &Connection) {
        self.core.set_link(connection.clone());
        self.links.lock().insert(key, true);
        self.update();
    }

    /// Records that a link waits before its next attempt.
    pub(super) fn reconnecting(&self, key: u64, state: ConnectionState) {
        self.links.lock().insert(key, false);
        self.core.set_state(state);
    }

    /// Removes a link. The last one leaves the state unchanged.
    pub(super) fn remove(&self, key: u64) {
        self.links.lock().remove(&key);
        self.update();
    }

    /// Sets the state to connected once all links are.
    fn update(&self) {
        let links = self.links.lock();
        let all_connected = !links.is_empty() && links.values().all(|connected| *connected);
        drop(links);
        if all_connected && !self.core.is_connected() {
            self.set_connected();
        }
    }

    fn set_connected(&self) {
        if let Some(connection) = self.core.any_connection() {
            self.core.set_state(ConnectionState::Connected {
                address: connection.remote_address(),
                server: String::new(),
                epoch: GO_EPOCH,
            });
        }
    }
}
