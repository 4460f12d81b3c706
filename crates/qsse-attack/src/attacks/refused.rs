//! [`Refused`]: publishes to names that almost exist.

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use qsse_proto::Kind;
use qsse_proto::publish::Publish;
use tokio::time::Instant;

use super::flood;
use crate::attack::{Attack, Tally, again};
use crate::setup::{HISTORY_BYTES, HONEST_TOPIC, Scale, Setup};
use crate::target::Target;

/// Publishes to long names beside declared topics, each of which the server might suggest.
pub(crate) struct Refused;

const CONNECTIONS: usize = 4;

/// Publishes that wait for an answer.
const IN_FLIGHT: u64 = 20;

/// Declared topics.
const TOPICS: usize = 2_000;

/// How long the names are, but for the part that tells them apart.
const NAME_BYTES: usize = 200;

fn name(number: usize) -> String {
    format!("t.{}.{number:04}", "n".repeat(NAME_BYTES))
}

#[async_trait(?Send)]
impl Attack for Refused {
    fn name(&self) -> &'static str {
        "refused"
    }

    fn about(&self) -> &'static str {
        "publishes to unknown names of 200 bytes beside 2,000 declared topics like them"
    }

    fn unit(&self) -> &'static str {
        "publishes"
    }

    fn setup(&self, _: Scale) -> Setup {
        let declared = (0..TOPICS).map(name).chain([HONEST_TOPIC.to_owned()]);
        Setup {
            topics: declared.collect(),
            publish: &["*"],
            bound: HISTORY_BYTES,
            shown_by: &["refused{"],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let attacker = target.attacker(1)?;
        let frame = |number: u64| {
            let unknown = name(TOPICS + number as usize % TOPICS);
            Publish::new(false, &unknown, &Kind::MESSAGE, Bytes::new()).encode()
        };
        let connections = (0..CONNECTIONS).map(|_| {
            again(until, tally, || async {
                let session = attacker.session().await?;
                flood::publish(&session, IN_FLIGHT, tally, frame).await
            })
        });
        join_all(connections).await;
        Ok(())
    }
}
