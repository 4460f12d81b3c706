//! [`Topics`]: events on ever more topics.

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use qsse_proto::Kind;
use qsse_proto::publish::Publish;
use tokio::time::Instant;

use super::flood;
use crate::attack::{Attack, Tally, again};
use crate::setup::{HISTORY_BYTES, MIB, Scale, Setup};
use crate::target::Target;

/// Publishes each event to a topic of its own, with a long name.
pub(crate) struct Topics;

const CONNECTIONS: u64 = 4;

/// Publishes that wait for an answer.
const IN_FLIGHT: u64 = 512;

/// The length of a name, but for the part that tells it apart.
const NAME_BYTES: usize = 224;

fn history(scale: Scale) -> u64 {
    scale.of(8 * MIB, HISTORY_BYTES)
}

#[async_trait(?Send)]
impl Attack for Topics {
    fn name(&self) -> &'static str {
        "topics"
    }

    fn about(&self) -> &'static str {
        "empty events, each on another topic of 240 bytes"
    }

    fn unit(&self) -> &'static str {
        "topics"
    }

    fn setup(&self, scale: Scale) -> Setup {
        Setup {
            settings: vec![("limits_history", history(scale).to_string())],
            publish: &["t.*"],
            bound: history(scale),
            shown_by: &["topics", "refused{"],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let attacker = target.attacker(1)?;
        let attacker = &attacker;
        let pad = "p".repeat(NAME_BYTES);
        let pad = &pad;
        let connections = (0..CONNECTIONS).map(|connection| {
            let mut lives = 0;
            again(until, tally, move || {
                lives += 1;
                async move {
                    let session = attacker.session().await?;
                    let frame = |number| {
                        let name = format!("t.{connection}{lives:04x}{number:08x}{pad}");
                        Publish::new(false, &name, &Kind::MESSAGE, Bytes::new()).encode()
                    };
                    flood::publish(&session, IN_FLIGHT, tally, frame).await
                }
            })
        });
        join_all(connections).await;
        Ok(())
    }
}
