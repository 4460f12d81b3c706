//! The connections of a load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use qsse_client::{Client, Dialect, PublishError, Subscription};

use super::plan::Plan;
use crate::connect::{another, warn};
use crate::settings::{Settings, client_config};

/// How many handshakes run at the same time: fewer than a server permits before clients must prove
/// their address.
const AT_ONCE: usize = 32;

/// All connections, publishers and subscriptions.
pub(super) struct Connections {
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) publishers: Vec<Client>,
    clients: Vec<Client>,
    reconnects: Arc<AtomicU64>,
}

impl Connections {
    /// Connects and subscribes all of them.
    pub(super) async fn open(
        plan: &Plan,
        per_connection: usize,
        settings: &Settings,
    ) -> Result<Self> {
        warn(settings);
        let of_subscribers = plan.filters.len().div_ceil(per_connection);
        let made = (0..of_subscribers + plan.publishers).map(|_| client(settings));
        let clients: Vec<Client> = stream::iter(made).buffered(AT_ONCE).try_collect().await?;
        let publishers = clients[of_subscribers..].to_vec();
        if publishers
            .iter()
            .any(|client| client.dialect() == Dialect::Go)
        {
            return Err(PublishError::Unsupported.into());
        }
        let subscribe = plan.filters.iter().enumerate().map(|(index, filter)| {
            let client = &clients[index / per_connection];
            async move { anyhow::Ok(client.subscribe(filter).await?) }
        });
        let subscriptions = stream::iter(subscribe).buffered(AT_ONCE).try_collect();
        let subscriptions = subscriptions
            .await
            .context("cannot subscribe: see --pattern, --topic and --token")?;
        let reconnects = Arc::new(AtomicU64::new(0));
        for client in &clients {
            tokio::spawn(count(client.clone(), Arc::clone(&reconnects)));
        }
        Ok(Self {
            subscriptions,
            publishers,
            clients,
            reconnects,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Returns how often connections were re-established.
    pub(super) fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }
}

async fn client(settings: &Settings) -> Result<Client> {
    // Keys would displace those of other publishers. Publishes whose outcome a lost connection
    // leaves unknown are counted instead.
    let config = client_config(settings).publish_retry(false);
    Ok(another(settings)?.config(config).await?)
}

async fn count(client: Client, reconnects: Arc<AtomicU64>) {
    let mut states = client.state();
    // The count itself must not keep the client alive.
    drop(client);
    let mut connected = false;
    while let Some(state) = states.next().await {
        if state.is_connected() && std::mem::replace(&mut connected, true) {
            reconnects.fetch_add(1, Ordering::Relaxed);
        }
    }
}
