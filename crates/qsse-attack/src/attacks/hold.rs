//! [`Hold`]: publishes whose last byte never comes.

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use qsse_proto::Kind;
use qsse_proto::publish::Publish;
use tokio::time::{Instant, sleep_until};

use crate::attack::{Attack, Tally, before};
use crate::clients::{Answer, Session};
use crate::setup::{Scale, Setup};
use crate::target::Target;

/// Sends frames but for their last byte, without the right to publish.
pub(crate) struct Hold;

/// Publishing streams of a connection: as many as the server allows.
const STREAMS: usize = 64;

/// The data of each publish: as much as the server allows, almost.
const DATA_BYTES: usize = 1_048_000;

/// What the server may hold of a connection's unfinished publishes, as docs/architecture.md says.
const UNFINISHED_BYTES: u64 = 5 << 20;

fn connections(scale: Scale) -> u64 {
    scale.of(2, 8)
}

#[async_trait(?Send)]
impl Attack for Hold {
    fn name(&self) -> &'static str {
        "hold"
    }

    fn about(&self) -> &'static str {
        "connections of 64 publishes of 1 MB that never end, by a token that may not publish"
    }

    fn unit(&self) -> &'static str {
        "publishes held"
    }

    fn setup(&self, scale: Scale) -> Setup {
        Setup {
            bound: connections(scale) * UNFINISHED_BYTES,
            shown_by: &["refused{", "unfinished_bytes", "unfinished_waits"],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let attacker = target.attacker(1)?;
        let data = Bytes::from(vec![b'x'; DATA_BYTES]);
        let whole = Publish::new(false, "secret.topic", &Kind::MESSAGE, data).encode();
        let unfinished = whole.slice(..whole.len() - 1);
        let connections = (0..connections(target.scale)).map(|_| async {
            let Some(Ok(session)) = before(until, attacker.session()).await else {
                return tally.cut_off();
            };
            let holding = (0..STREAMS).map(|_| hold(&session, unfinished.clone(), until, tally));
            join_all(holding).await;
            if session.connection.close_reason().is_some() {
                tally.cut_off();
            }
        });
        join_all(connections).await;
        Ok(())
    }
}

/// Sends a publish but for its end, and holds the stream. Without credit it waits.
async fn hold(session: &Session, unfinished: Bytes, until: Instant, tally: &Tally) {
    let Some(Ok(mut publisher)) = before(until, session.publisher()).await else {
        return;
    };
    publisher.queue(unfinished);
    match before(until, publisher.flush()).await {
        Some(Ok(())) => tally.done(1),
        Some(Err(_)) => tally.refused(),
        None => {}
    }
    if let Some(Ok(Answer::Refused(_))) = before(until, publisher.answer()).await {
        tally.refused();
    }
    sleep_until(until).await;
}
