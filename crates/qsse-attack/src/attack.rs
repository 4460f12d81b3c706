//! [`Attack`]: what each attack is.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout_at};

use crate::setup::{Scale, Setup};
use crate::target::Target;

/// An attack on a server.
#[async_trait(?Send)]
pub(crate) trait Attack: Sync {
    /// Returns the name on the command line.
    fn name(&self) -> &'static str;

    /// Says in one line what hostile clients do.
    fn about(&self) -> &'static str;

    /// Says what a [`Tally`] counts.
    fn unit(&self) -> &'static str;

    /// Returns what the server is started with.
    fn setup(&self, scale: Scale) -> Setup;

    /// Fills the server before the honest clients come.
    async fn prepare(&self, _target: &Target) -> Result<()> {
        Ok(())
    }

    /// Attacks until `until`. What the server refuses or cuts off is counted; an error means that
    /// the attack itself is broken.
    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()>;
}

/// What an attack did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    done: Cell<u64>,
    refused: Cell<u64>,
    cut_off: Cell<u64>,
}

impl Tally {
    /// Counts what the server took.
    pub(crate) fn done(&self, count: u64) {
        self.done.set(self.done.get() + count);
    }

    /// Counts one that the server refused.
    pub(crate) fn refused(&self) {
        self.refused.set(self.refused.get() + 1);
    }

    /// Counts a connection that the server refused or closed.
    pub(crate) fn cut_off(&self) {
        self.cut_off.set(self.cut_off.get() + 1);
    }

    /// Returns what was done, refused and cut off.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [&self.done, &self.refused, &self.cut_off].map(Cell::get)
    }
}

/// How long an attacker waits before it dials again.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs `one`, which holds a connection, again and again until the time is over. An error is a
/// connection that the server refused or closed.
pub(crate) async fn again<F: Future<Output = Result<()>>>(
    until: Instant,
    tally: &Tally,
    mut one: impl FnMut() -> F,
) {
    while Instant::now() < until {
        match timeout_at(until, one()).await {
            Err(_) => return,
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                tally.cut_off();
                sleep(PAUSE).await;
            }
        }
    }
}

/// Waits for `step` until the time is over; `None` then.
pub(crate) async fn before<T>(until: Instant, step: impl Future<Output = T>) -> Option<T> {
    timeout_at(until, step).await.ok()
}
