//! [`Filters`]: huge filters, subscribed and dropped.

use std::collections::VecDeque;

use anyhow::Result;
use async_trait::async_trait;
use futures_util::future::join_all;
use qsse_proto::control::{ServerFrame, Start};
use tokio::time::Instant;

use crate::attack::{Attack, Tally, again};
use crate::clients::Attacker;
use crate::setup::{FEEDS_BYTES, HISTORY_BYTES, Scale, Setup};
use crate::target::Target;

/// Subscribes to as many patterns as a frame holds, each time to others.
pub(crate) struct Filters;

/// Subscriptions of a connection: as many as the server allows.
const SUBSCRIPTIONS: usize = 128;

/// Patterns of a subscription: about as many as a control frame holds.
const PATTERNS: u64 = 900;

fn connections(scale: Scale) -> u32 {
    scale.of(2, 8)
}

#[async_trait(?Send)]
impl Attack for Filters {
    fn name(&self) -> &'static str {
        "filters"
    }

    fn about(&self) -> &'static str {
        "connections of 128 subscriptions to 900 patterns, replaced all the time"
    }

    fn unit(&self) -> &'static str {
        "subscriptions"
    }

    fn setup(&self, _: Scale) -> Setup {
        Setup {
            subscribe: &["*"],
            bound: HISTORY_BYTES + FEEDS_BYTES,
            shown_by: &["filter_bytes", "requests_paced", "refused{"],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let attacker = target.attacker(1)?;
        let attacker = &attacker;
        let connections = (0..connections(target.scale))
            .map(|number| again(until, tally, move || replace(attacker, number, tally)));
        join_all(connections).await;
        Ok(())
    }
}

/// Subscribes as often as it is allowed, then replaces the oldest subscription again and again.
async fn replace(attacker: &Attacker, number: u32, tally: &Tally) -> Result<()> {
    let mut session = attacker.session().await?;
    let mut open = VecDeque::new();
    for id in 1.. {
        if open.len() >= SUBSCRIPTIONS
            && let Some(oldest) = open.pop_front()
        {
            session.unsubscribe(oldest);
        }
        session.subscribe(id, patterns(number, id), Start::Live);
        session.flush().await?;
        match session.next().await? {
            ServerFrame::Subscribed(_) => {
                tally.done(1);
                open.push_back(id);
            }
            _ => {
                tally.refused();
                // There is room for the next one.
                open.pop_front()
                    .into_iter()
                    .for_each(|oldest| session.unsubscribe(oldest));
            }
        }
    }
    Ok(())
}

/// Returns patterns that no other subscription has: half with wildcards in all places where they
/// cost the most, half without.
fn patterns(connection: u32, id: u32) -> Vec<String> {
    let base = (u64::from(connection) << 40) + u64::from(id) * PATTERNS;
    let pattern = |number: u64| match number % 2 {
        0 => format!("{number:x}.q"),
        _ => format!("*.{number:x}.*"),
    };
    (base..base + PATTERNS).map(pattern).collect()
}
