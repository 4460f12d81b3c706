//! [`Storm`]: readers that take almost nothing, of the oldest events and of new ones.

use anyhow::Result;
use async_trait::async_trait;
use futures_util::future::{join, join_all};
use qsse_proto::control::{ServerFrame, Start};
use qsse_transport::TransportConfig;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::attack::{Attack, Tally, before};
use crate::clients::Attacker;
use crate::setup::{FEEDS_BYTES, HISTORY_BYTES, MIB, Scale, Setup, UNREAD_BYTES};
use crate::target::Target;

/// Subscribes with little credit from the oldest event, with many filters.
pub(crate) struct Storm;

/// What the attacker takes of each stream.
const CREDIT_BYTES: u64 = 2_000;

/// Subscriptions of a connection: as many as the server allows.
const SUBSCRIPTIONS: u32 = 128;

/// The data of an event: as much as the server allows, almost.
const EVENT_BYTES: usize = 1_000_000;

/// The time between two new events.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);

fn connections(scale: Scale) -> u64 {
    scale.of(4, 100)
}

fn history(scale: Scale) -> u64 {
    scale.of(32 * MIB, HISTORY_BYTES)
}

#[async_trait(?Send)]
impl Attack for Storm {
    fn name(&self) -> &'static str {
        "storm"
    }

    fn about(&self) -> &'static str {
        "connections of 128 subscriptions that take 2,000 bytes of events of 1 MB"
    }

    fn unit(&self) -> &'static str {
        "subscriptions"
    }

    fn setup(&self, scale: Scale) -> Setup {
        Setup {
            settings: vec![("limits_history", history(scale).to_string())],
            subscribe: &["*"],
            bound: history(scale) + FEEDS_BYTES + UNREAD_BYTES,
            shown_by: &["unread_bytes", "shed_subscriptions", "lagging"],
            ..Setup::default()
        }
    }

    async fn prepare(&self, target: &Target) -> Result<()> {
        let publisher = target.operator().await?.publisher();
        for _ in 0..history(target.scale) / EVENT_BYTES as u64 {
            publisher.send("h.x", vec![b'x'; EVENT_BYTES]).await?;
        }
        publisher.flush().await?;
        Ok(())
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let config = TransportConfig::client().stream_receive_window(CREDIT_BYTES);
        let attacker = target.attacker_with(1, config)?;
        let readers = (0..connections(target.scale)).map(|n| read(&attacker, n, until, tally));
        let (_, published) = join(join_all(readers), publish(target, until)).await;
        published
    }
}

/// Subscribes, each time with another filter, and holds the streams unread.
async fn read(attacker: &Attacker, number: u64, until: Instant, tally: &Tally) {
    let session = before(until, attacker.session()).await;
    let Some(Ok(mut session)) = session else {
        return tally.cut_off();
    };
    let asking = async {
        for id in 1..=SUBSCRIPTIONS {
            let patterns = vec!["h.*".to_owned(), format!("j{number}.{id}")];
            session.subscribe(id, patterns, Start::Earliest);
        }
        session.flush().await?;
        for _ in 0..SUBSCRIPTIONS {
            match session.next().await? {
                ServerFrame::Subscribed(_) => tally.done(1),
                _ => tally.refused(),
            }
        }
        anyhow::Ok(())
    };
    if let Some(Err(_)) = before(until, asking).await {
        return tally.cut_off();
    }
    sleep_until(until).await;
}

/// Goes on publishing large events for those that are live.
async fn publish(target: &Target, until: Instant) -> Result<()> {
    let publisher = target.operator().await?.publisher();
    while Instant::now() < until {
        let sent = publisher.send("h.x", vec![b'x'; EVENT_BYTES]);
        if let Some(sent) = before(until, sent).await {
            sent?;
        }
        sleep(BETWEEN_EVENTS).await;
    }
    Ok(())
}
