//! Our side: a server whose metrics are read, clients, and payloads with numbers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use qsse_client::{Client, Connect, Dialect, Event, Item, Notice, Subscription};
use qsse_server::{Server, ServerBuilder};
use qsse_testing::figures::Figures;

/// A server that Go clients may come to.
pub(crate) struct OurServer {
    pub(crate) server: Server,
    pub(crate) figures: Figures,
}

impl OurServer {
    /// One with open topics and doors.
    pub(crate) async fn open() -> Result<Self> {
        Self::start(|builder| builder).await
    }

    pub(crate) async fn start(set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Result<Self> {
        let figures = Figures::default();
        let builder = Server::bind("127.0.0.1:0").recorder(Arc::new(figures.clone()));
        let server = set(builder).go_dialect(true).await?;
        Ok(Self { server, figures })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Waits until there are that many subscriptions.
    pub(crate) async fn subscriptions(&self, count: usize) {
        until(|| self.figures.gauge("subscriptions", None) == count as f64).await;
    }

    pub(crate) async fn publish(&self, topic: &str, data: impl AsRef<[u8]>) -> Result<()> {
        self.server.publish(topic, data).await?;
        Ok(())
    }

    /// Publishes events of that many bytes, numbered from 0.
    pub(crate) async fn generate(&self, topic: &str, count: u64, bytes: usize) -> Result<()> {
        for number in 0..count {
            self.server.publish(topic, payload(number, bytes)).await?;
        }
        Ok(())
    }
}

/// A number, a space, and padding: what peers check the order of.
pub(crate) fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut data = format!("{number} ").into_bytes();
    data.resize(bytes.max(data.len()), b'x');
    data
}

/// Waits for a condition. The deadline of the case ends one that never comes.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A client that speaks the Go dialect and trusts anybody.
pub(crate) fn client(address: SocketAddr) -> Connect {
    Client::connect(address.to_string())
        .insecure()
        .dialect(Dialect::Go)
}

/// The next event, or an error.
pub(crate) async fn event(subscription: &mut Subscription) -> Result<Event> {
    match subscription.next_item().await {
        Some(Ok(Item::Event(event))) => Ok(event),
        Some(Ok(Item::Notice(notice))) => bail!("a notice, not an event: {notice}"),
        Some(Err(end)) => bail!("the end, not an event: {end}"),
        None => bail!("the subscription has ended"),
    }
}

/// The next event is this one.
pub(crate) async fn expect(
    subscription: &mut Subscription,
    topic: &str,
    data: impl AsRef<[u8]>,
) -> Result<()> {
    let event = event(subscription).await?;
    ensure!(
        event.topic().as_str() == topic && event.data().as_ref() == data.as_ref(),
        "an event on {} of {} bytes came, not one on {topic} of {}",
        event.topic(),
        event.data().len(),
        data.as_ref().len(),
    );
    Ok(())
}

/// The next numbered events are these, without a gap.
pub(crate) async fn expect_numbers(subscription: &mut Subscription, count: u64) -> Result<()> {
    for number in 0..count {
        let event = event(subscription).await?;
        let start = format!("{number} ");
        let begins = event.data().starts_with(start.as_bytes());
        ensure!(begins, "event {number} is another one");
    }
    Ok(())
}

/// The next item, which has to be a notice.
pub(crate) async fn notice(subscription: &mut Subscription) -> Result<Notice> {
    match subscription.next_item().await {
        Some(Ok(Item::Notice(notice))) => Ok(notice),
        Some(Ok(Item::Event(event))) => bail!("an event on {}, not a notice", event.topic()),
        Some(Err(end)) => bail!("the end, not a notice: {end}"),
        None => bail!("the subscription has ended"),
    }
}
