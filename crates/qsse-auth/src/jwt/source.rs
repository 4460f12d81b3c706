//! [`Source`]: where the keys come from, and when they are read again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::key_set::KeySet;
use crate::error::SetupError;

/// The least time between two attempts to read the keys, so that tokens with invented key ids do
/// not make the server ask all the time.
const PAUSE: Duration = Duration::from_secs(10);

/// Where the keys come from.
pub(super) enum Source {
    /// They stay the same.
    Fixed(Arc<KeySet>),
    /// They are read again.
    Read(Reading),
}

/// Keys that are read again from time to time, and when a token names an unknown one.
pub(super) struct Reading {
    from: Place,
    current: RwLock<Arc<KeySet>>,
    /// When the keys were last read, or should have been. Held while they are read.
    tried: Mutex<Instant>,
}

/// Where a key set is.
pub(super) enum Place {
    File(PathBuf),
    #[cfg(feature = "http")]
    Url(crate::http::Endpoint),
}

impl Place {
    async fn read(&self) -> Result<KeySet, SetupError> {
        match self {
            Self::File(path) => KeySet::jwks_file(path),
            #[cfg(feature = "http")]
            Self::Url(endpoint) => {
                let json = endpoint.get().await?;
                let set = KeySet::parse_jwks(&json, false);
                set.map_err(|problem| endpoint.error(problem))
            }
        }
    }
}

impl Source {
    /// Reads the keys for the first time.
    pub(super) async fn open(from: Place) -> Result<Self, SetupError> {
        let current = Arc::new(from.read().await?);
        Ok(Self::Read(Reading {
            from,
            current: RwLock::new(current),
            tried: Mutex::new(Instant::now()),
        }))
    }

    /// Returns the keys. Reads them again if they are older than `refresh`.
    pub(super) async fn keys(&self, refresh: Duration) -> Arc<KeySet> {
        match self {
            Self::Fixed(keys) => Arc::clone(keys),
            Self::Read(reading) => {
                // Only one client waits for the new keys. The others are judged by the old ones.
                if let Ok(mut tried) = reading.tried.try_lock() {
                    reading.read_after(refresh.max(PAUSE), &mut tried).await;
                }
                reading.current()
            }
        }
    }

    /// Returns the keys after a token named one that is not there; `None` if they are the same as
    /// `before`.
    pub(super) async fn newer(&self, before: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let Self::Read(reading) = self else {
            return None;
        };
        let mut tried = reading.tried.lock().await;
        if Arc::ptr_eq(&reading.current(), before) {
            reading.read_after(PAUSE, &mut tried).await;
        }
        Some(reading.current()).filter(|now| !Arc::ptr_eq(now, before))
    }
}

impl Reading {
    fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.read())
    }

    /// Reads the keys if the last attempt was longer ago than `pause`. Keeps the old ones if that
    /// fails.
    async fn read_after(&self, pause: Duration, tried: &mut Instant) {
        if tried.elapsed() < pause {
            return;
        }
        *tried = Instant::now();
        match self.from.read().await {
            Ok(keys) => *self.current.write() = Arc::new(keys),
            Err(error) => tracing::warn!("the keys for JWTs stay as they are: {error}"),
        }
    }
}
