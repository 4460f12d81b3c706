//! The number of allocations per event, on both sides together. It is a test program of its own,
//! since the counter replaces the allocator.

use std::error::Error;

use qsse_client::{Client, Subscription};
use qsse_server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many events are published before they are read.
const BURST: usize = 500;

/// Publishes events and reads them.
async fn deliver(server: &Server, events: &mut Subscription, bursts: usize) -> Result<()> {
    for _ in 0..bursts {
        for _ in 0..BURST {
            server.try_publish("ride.7.position", [7; 128])?;
        }
        for _ in 0..BURST {
            let event = events.try_next().await?.ok_or("no event")?;
            assert_eq!(event.data().len(), 128);
        }
    }
    Ok(())
}

#[test]
fn an_event_costs_no_allocation() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (server, _client, mut events) = runtime.block_on(async {
        let server = qsse_server::TestServer::start().await?;
        let client = Client::connect(server.url()).await?;
        let mut events = client.subscribe("ride.*").await?;
        deliver(&server, &mut events, 100).await?;
        Result::Ok((server, client, events))
    })?;
    let mut delivered = Ok(());
    let counted = allocation_counter::measure(|| {
        delivered = runtime.block_on(deliver(&server, &mut events, 100));
    });
    delivered?;
    // Each packet needs some, and contains about ten events.
    let for_each = counted.count_total as f64 / (100 * BURST) as f64;
    assert!(for_each < 0.2, "{for_each} allocations for each event");
    Ok(())
}
