//! Many clients of both kinds on one server, one of them stalled.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use qsse_client::Client;

use crate::Bench;
use crate::go::GoClient;
use crate::ours::{expect_numbers, payload};
use crate::program::ServeProgram;

/// Clients of each kind.
const CLIENTS: usize = 50;

/// Several megabytes: far more than the windows of a stream that is not read.
const EVENTS: u64 = 10_000;
const EVENT_BYTES: usize = 512;

/// Everybody but the stopped one has everything, in order, while that one has not moved; then it
/// catches up.
pub(super) async fn crowd(bench: &Bench) -> Result<()> {
    let server = ServeProgram::start(bench.qsse()?, &bench.log).await?;
    let start = |_| {
        let arguments = ["--topics", "crowd", "--tally"];
        GoClient::start(&bench.peer, &bench.log, server.address, &arguments)
    };
    let mut theirs: Vec<_> = (0..=CLIENTS).map(start).collect::<Result<_>>()?;
    try_join_all(theirs.iter_mut().map(GoClient::ready)).await?;
    let connect = || Client::connect(server.address.to_string()).insecure();
    let ours = (0..CLIENTS).map(async |_| {
        let client = connect().await?;
        anyhow::Ok(client.subscribe("crowd").await?)
    });
    let mut ours = try_join_all(ours).await?;
    server.subscriptions(2 * CLIENTS + 1).await?;
    let mut stopped = theirs.pop().expect("there is one more");
    stopped.process.pause()?;

    let publisher = connect().await?.publisher();
    let publish = async {
        for number in 0..EVENTS {
            let data = payload(number, EVENT_BYTES);
            publisher.send("crowd", data).await?;
        }
        publisher.flush().await?;
        anyhow::Ok(())
    };
    let read = try_join_all(
        ours.iter_mut()
            .map(|subscription| expect_numbers(subscription, EVENTS)),
    );
    let count = try_join_all(theirs.iter_mut().map(everything));
    tokio::try_join!(publish, read, count)?;

    stopped.process.go_on()?;
    everything(&mut stopped).await
}

async fn everything(client: &mut GoClient) -> Result<()> {
    let tally = client.tally(EVENTS).await?;
    let whole = tally.count == EVENTS && tally.in_order && tally.missing == 0;
    ensure!(whole, "{tally:?}");
    Ok(())
}
