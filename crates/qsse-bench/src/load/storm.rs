//! Clients that connect, subscribe and leave, a bounded number at a time.

use std::time::Instant;

use anyhow::Result;

use super::dialer::{Dialer, endpoint};
use super::talk::{fail, ready};
use super::tally::{Tallies, Tally};
use crate::work::{Counted, Load};

/// Counts how many come to be subscribed in a window, and how long each waits for it.
pub(super) async fn run(load: &Load) -> Result<Counted> {
    let tallies = Tallies::new(load)?;
    let endpoint = endpoint(load)?;
    ready().await;
    for tally in tallies.iter() {
        let (dialer, tally) = (Dialer::new(load, endpoint.as_ref())?, tally.clone());
        tokio::spawn(async move {
            if let Err(error) = come_and_go(dialer, tally).await {
                fail(&error);
            }
        });
    }
    Ok(tallies.count(load).await)
}

async fn come_and_go(dialer: Dialer, tally: Tally) -> Result<()> {
    loop {
        let started = Instant::now();
        let subscriber = dialer.subscribe("bench").await?;
        tally.took(started.elapsed());
        subscriber.leave();
    }
}
