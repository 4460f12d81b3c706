//! [`Churn`]: subscriptions that come and go.

use anyhow::Result;
use async_trait::async_trait;
use futures_util::future::join_all;
use qsse_proto::control::{ServerFrame, Start};
use tokio::time::Instant;

use crate::attack::{Attack, Tally, again};
use crate::clients::Attacker;
use crate::setup::{FEEDS_BYTES, SEND_WINDOW_BYTES, Scale, Setup};
use crate::target::Target;

/// Subscribes and unsubscribes as often as the server takes it, to ever new names.
pub(crate) struct Churn;

fn connections(scale: Scale) -> u64 {
    scale.of(20, 100)
}

#[async_trait(?Send)]
impl Attack for Churn {
    fn name(&self) -> &'static str {
        "churn"
    }

    fn about(&self) -> &'static str {
        "connections that subscribe to a new name and unsubscribe, as often as they may"
    }

    fn unit(&self) -> &'static str {
        "subscriptions"
    }

    fn setup(&self, scale: Scale) -> Setup {
        Setup {
            subscribe: &["*"],
            bound: FEEDS_BYTES + connections(scale) * SEND_WINDOW_BYTES,
            shown_by: &["feeds", "subscriptions"],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let attacker = target.attacker(1)?;
        let attacker = &attacker;
        let connections = (0..connections(target.scale))
            .map(|number| again(until, tally, move || come_and_go(attacker, number, tally)));
        join_all(connections).await;
        Ok(())
    }
}

async fn come_and_go(attacker: &Attacker, number: u64, tally: &Tally) -> Result<()> {
    let mut session = attacker.session().await?;
    for id in 1.. {
        session.subscribe(id, vec![format!("c.{number}.{id}")], Start::Live);
        session.flush().await?;
        match session.next().await? {
            ServerFrame::Subscribed(_) => tally.done(1),
            _ => tally.refused(),
        }
        session.unsubscribe(id);
    }
    Ok(())
}
