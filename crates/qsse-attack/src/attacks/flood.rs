//! What several attacks share: topics in great number, and publishes as fast as they are answered.

use anyhow::Result;
use bytes::Bytes;

use crate::attack::Tally;
use crate::clients::{Answer, Session};
use crate::target::Target;

/// What the server needs for [`fill`]: more topics than it takes by default, in all and of one
/// publisher.
pub(super) fn room(count: u64) -> Vec<(&'static str, String)> {
    /// Those of the honest clients.
    const OTHERS: u64 = 1_000;
    ["limits_topics", "limits_topics_per_publisher"]
        .map(|limit| (limit, (count + OTHERS).to_string()))
        .into()
}

/// Publishes an event to each of `count` topics, as the operator.
pub(super) async fn fill(target: &Target, count: u64) -> Result<()> {
    let publisher = target.operator().await?.publisher();
    for number in 0..count {
        publisher.send(format!("t.{number:x}"), b"x").await?;
    }
    publisher.flush().await?;
    Ok(())
}

/// Sends the frames that `frame` makes of their number, always with `in_flight` without an answer,
/// until the server ends it.
pub(super) async fn publish(
    session: &Session,
    in_flight: u64,
    tally: &Tally,
    mut frame: impl FnMut(u64) -> Bytes,
) -> Result<()> {
    let mut publisher = session.publisher().await?;
    let (mut sent, mut answered) = (0, 0);
    loop {
        while sent < answered + in_flight {
            publisher.queue(frame(sent));
            sent += 1;
        }
        publisher.flush().await?;
        match publisher.answer().await? {
            Answer::Through(number) => {
                tally.done((number + 1).saturating_sub(answered));
                answered = number + 1;
            }
            Answer::Refused(number) => {
                tally.refused();
                answered = number + 1;
            }
            Answer::Other => {}
        }
    }
}
