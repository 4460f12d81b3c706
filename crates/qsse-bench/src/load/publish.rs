//! Clients that publish, pipelined, as fast as the server takes it.

use anyhow::{Result, bail};
use qsse_client::Client;

use super::dialer::{Dialer, Subscriber, endpoint};
use super::talk::{fail, ready};
use super::tally::{Tallies, Tally};
use super::{nats, post};
use crate::payload;
use crate::work::{Counted, Load, Peer};

/// Counts what the server has taken in a window.
pub(super) async fn run(load: &Load) -> Result<Counted> {
    let tallies = Tallies::new(load)?;
    let endpoint = endpoint(load)?;
    let dialer = Dialer::new(load, endpoint.as_ref())?;
    let mut publishers = Vec::new();
    for _ in 0..load.clients {
        publishers.push(Publisher::connect(load, &dialer).await?);
    }
    ready().await;
    for (publisher, tally) in publishers.into_iter().zip(tallies.iter()) {
        let tally = tally.clone();
        tokio::spawn(async move {
            if let Err(error) = publisher.publish(tally).await {
                fail(&error);
            }
        });
    }
    Ok(tallies.count(load).await)
}

enum Publisher {
    Qsse(Client),
    Raw(Subscriber),
    Http(post::Publisher),
    Nats(Box<nats::Subscriber>),
}

impl Publisher {
    async fn connect(load: &Load, dialer: &Dialer) -> Result<Self> {
        let event_bytes = load.work.event_bytes;
        Ok(match dialer {
            Dialer::Qsse(dialer) => Self::Qsse(dialer.connect().await?),
            Dialer::Raw(_) => Self::Raw(dialer.subscribe("bench").await?),
            Dialer::Nats(dialer) => Self::Nats(Box::new(dialer.connect().await?)),
            Dialer::Sse(dialer) => Self::Http(match load.work.peer {
                Peer::HttpH2 => post::Publisher::of_events(dialer, event_bytes).await?,
                Peer::HttpLines => post::Publisher::of_lines(dialer, event_bytes).await?,
                peer => bail!("clients of {} do not publish", peer.name()),
            }),
        })
    }

    async fn publish(self, tally: Tally) -> Result<()> {
        match self {
            Self::Qsse(client) => {
                let publisher = client.publisher();
                let data = payload::blank(tally.event_bytes());
                loop {
                    // Waits while a megabyte is not acknowledged, so that what is sent is what is
                    // taken.
                    publisher.send("bench", &data).await?;
                    tally.add(1);
                }
            }
            Self::Raw(Subscriber::Raw(stream)) => stream.publish(tally).await,
            Self::Raw(_) => bail!("it is no raw stream"),
            Self::Http(connection) => connection.publish(tally).await,
            Self::Nats(connection) => connection.publish(tally).await,
        }
    }
}
