//! The server's process: prints its address, and publishes once it is told to.

mod nats;
mod qsse;
mod raw;
mod sse;
mod start;

use anyhow::Result;

use crate::work::{Peer, Work};
use start::Start;

/// Runs until standard input ends.
pub(crate) fn run(work: &Work) -> Result<()> {
    let start = Start::from_input();
    if work.peer == Peer::Nats {
        return nats::publish(work, &start);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match work.peer {
            Peer::Qsse | Peer::QsseShards | Peer::Wt | Peer::HttpH2 | Peer::HttpLines => {
                qsse::run(work, start).await
            }
            Peer::RawQuinn | Peer::RawQuinnBest => raw::run(work, start).await,
            Peer::SseH2 => sse::run(work, start).await,
            Peer::Nats | Peer::GoQsse => anyhow::bail!("it has a program of its own"),
        }
    })
}
