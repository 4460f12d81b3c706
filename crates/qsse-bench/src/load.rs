//! The clients' process: subscribes, says that it is ready, and counts in a window.

mod dialer;
mod nats;
mod publish;
mod qsse;
mod raw;
mod receive;
mod sse;
mod storm;
mod tally;

use std::io::BufRead;

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

/// Tells the judge that all clients are there, and waits for its word.
async fn ready() {
    println!("ready");
    let _ = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)
    })
    .await;
}

/// Tells the judge that the window begins.
fn begin() {
    println!("begin");
}

/// Ends the process: a client that cannot do its work must not be measured.
fn fail(error: &anyhow::Error) -> ! {
    eprintln!("a client failed: {error:#}");
    std::process::exit(1);
}
