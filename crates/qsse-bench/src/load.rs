//! The clients' process: subscribes, says that it is ready, and counts in a window.

mod dialer;
mod nats;
mod post;
mod publish;
mod qsse;
mod raw;
mod receive;
mod sse;
mod storm;
mod talk;
mod tally;

use anyhow::Result;

use crate::work::{Load, Role};

/// Does what the role asks for.
pub(crate) fn run(load: &Load) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let counted = runtime.block_on(async {
        match load.role {
            Role::Receive => receive::count(load).await,
            Role::Hold => receive::hold(load).await,
            Role::Storm => storm::run(load).await,
            Role::Publish => publish::run(load).await,
        }
    })?;
    println!("{}", serde_json::to_string(&counted)?);
    // What still runs need not be taken down in order.
    std::process::exit(0);
}
