//! [`Matching`]: publishes to patterns, without the right to.

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use qsse_proto::Kind;
use qsse_proto::publish::Publish;
use tokio::time::Instant;

use super::flood;
use crate::attack::{Attack, Tally, again};
use crate::setup::{FEEDS_BYTES, HISTORY_BYTES, Scale, Setup};
use crate::target::Target;

/// Publishes to all topics as often as it is refused.
pub(crate) struct Matching;

const CONNECTIONS: usize = 4;

/// Publishes that wait for an answer.
const IN_FLIGHT: u64 = 8;

fn topics(scale: Scale) -> u64 {
    scale.of(5_000, 100_000)
}

#[async_trait(?Send)]
impl Attack for Matching {
    fn name(&self) -> &'static str {
        "matching"
    }

    fn about(&self) -> &'static str {
        "publishes to the pattern * over many topics, by a token that may not publish"
    }

    fn unit(&self) -> &'static str {
        "publishes"
    }

    fn setup(&self, scale: Scale) -> Setup {
        Setup {
            settings: flood::room(topics(scale)),
            bound: HISTORY_BYTES + FEEDS_BYTES,
            // Not "too many topics": the right is asked before the topics are counted.
            shown_by: &[
                "refused{what=publish,code=not authorised}",
                "refused{what=publish,code=topic not available}",
            ],
            ..Setup::default()
        }
    }

    async fn prepare(&self, target: &Target) -> Result<()> {
        flood::fill(target, topics(target.scale)).await
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let attacker = target.attacker(1)?;
        let frame = Publish::new(true, "*", &Kind::MESSAGE, Bytes::new()).encode();
        let connections = (0..CONNECTIONS).map(|_| {
            again(until, tally, || async {
                let session = attacker.session().await?;
                flood::publish(&session, IN_FLIGHT, tally, |_| frame.clone()).await
            })
        });
        join_all(connections).await;
        Ok(())
    }
}
