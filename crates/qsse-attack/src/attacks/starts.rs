//! [`Starts`]: starts in the past, which the server has to search for.

use anyhow::Result;
use async_trait::async_trait;
use futures_util::future::join_all;
use qsse_proto::control::{ServerFrame, Start};
use tokio::time::Instant;

use super::flood;
use crate::attack::{Attack, Tally, again};
use crate::clients::Attacker;
use crate::setup::{FEEDS_BYTES, HISTORY_BYTES, SEND_WINDOW_BYTES, Scale, Setup};
use crate::target::Target;

/// Subscribes to the last event of each topic, and to patterns that match nothing, again and again.
pub(crate) struct Starts;

const CONNECTIONS: u64 = 8;

/// Subscriptions that a connection holds.
const HELD: u32 = 64;

fn topics(scale: Scale) -> u64 {
    scale.of(20_000, 1_000_000)
}

#[async_trait(?Send)]
impl Attack for Starts {
    fn name(&self) -> &'static str {
        "starts"
    }

    fn about(&self) -> &'static str {
        "subscriptions from the last event of each of many topics, and from matches of nothing"
    }

    fn unit(&self) -> &'static str {
        "subscriptions"
    }

    fn setup(&self, scale: Scale) -> Setup {
        Setup {
            settings: flood::room(topics(scale)),
            subscribe: &["*"],
            bound: HISTORY_BYTES + FEEDS_BYTES + CONNECTIONS * SEND_WINDOW_BYTES,
            shown_by: &["subscriptions", "refused{"],
            ..Setup::default()
        }
    }

    async fn prepare(&self, target: &Target) -> Result<()> {
        flood::fill(target, topics(target.scale)).await
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let attacker = target.attacker(1)?;
        let attacker = &attacker;
        let connections =
            (0..CONNECTIONS).map(|_| again(until, tally, move || search(attacker, tally)));
        join_all(connections).await;
        Ok(())
    }
}

/// Lets the server search for one start after the other. The events are not read.
async fn search(attacker: &Attacker, tally: &Tally) -> Result<()> {
    let mut session = attacker.session().await?;
    for id in 1.. {
        let (pattern, start) = match id % 2 {
            0 => ("*", Start::Last(1)),
            _ => ("*.nothing.*", Start::Earliest),
        };
        session.subscribe(id, vec![pattern.to_owned()], start);
        if id > HELD {
            session.unsubscribe(id - HELD);
        }
        session.flush().await?;
        match session.next().await? {
            ServerFrame::Subscribed(_) => tally.done(1),
            _ => tally.refused(),
        }
    }
    Ok(())
}
