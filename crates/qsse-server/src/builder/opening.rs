//! The store of a new server, and the epoch of its start.

#[cfg(feature = "store")]
use std::sync::Arc;

#[cfg(feature = "store")]
use qsse_log::Storage;
use qsse_proto::Epoch;

#[cfg(feature = "store")]
use super::error::BindError;
#[cfg(feature = "store")]
use crate::clock::Clock;
#[cfg(feature = "store")]
use crate::config::Config;

/// Opens the store in a directory.
#[cfg(feature = "store")]
pub(super) fn open_store(
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

/// Returns a number that no other log has, from the seeds of the standard library's hash maps.
pub(super) fn random_epoch() -> Epoch {
    use std::hash::{BuildHasher, RandomState};
    // No log has epoch 0: clients use it for servers that give no ids.
    Epoch::new(
        RandomState::new()
            .hash_one(std::time::SystemTime::now())
            .max(1),
    )
}
