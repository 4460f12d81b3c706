//! [`Silent`]: connections that never introduce themselves.

use anyhow::Result;
use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::attack::{Attack, Tally, before};
use crate::setup::{Scale, Setup};
use crate::target::Target;

/// Connects and says nothing.
pub(crate) struct Silent;

/// Handshakes at a time.
const AT_ONCE: usize = 64;

/// Sockets, each with an address of its own.
const SOCKETS: u8 = 4;

/// What an idle connection costs the server: docs/performance.md measures 35 KiB with a
/// subscription; a debug build needs more.
const CONNECTION_BYTES: u64 = 64 << 10;

fn connections(scale: Scale) -> u64 {
    scale.of(300, 5_000)
}

#[async_trait(?Send)]
impl Attack for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn about(&self) -> &'static str {
        "thousands of connections that never say Hello"
    }

    fn unit(&self) -> &'static str {
        "connections"
    }

    fn setup(&self, scale: Scale) -> Setup {
        Setup {
            bound: connections(scale) * CONNECTION_BYTES,
            shown_by: &["connections", "connections_total", "refused{"],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let attackers = (1..=SOCKETS).map(|host| target.attacker(host));
        let attackers: Vec<_> = attackers.collect::<Result<_>>()?;
        let permits = Semaphore::new(AT_ONCE);
        let attackers = attackers.iter().cycle();
        let count = connections(target.scale) as usize;
        let silent = attackers.take(count).map(|attacker| async {
            let permit = permits.acquire().await;
            let connection = before(until, attacker.connect()).await;
            drop(permit);
            match connection {
                Some(Ok(connection)) => {
                    tally.done(1);
                    if before(until, connection.closed()).await.is_some() {
                        tally.cut_off();
                    }
                }
                Some(Err(_)) => tally.refused(),
                None => {}
            }
        });
        join_all(silent).await;
        Ok(())
    }
}
