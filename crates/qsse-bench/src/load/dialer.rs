//! Connects and subscribes, whatever the system is.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use qsse_transport::ClientEndpoint;

use super::tally::Tally;
use super::{nats, qsse, raw, sse};
use crate::settings;
use crate::work::{Load, Peer};

/// For a client to be subscribed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes subscribers of one system.
pub(super) enum Dialer {
    Qsse(qsse::Dialer),
    Raw(Box<raw::Dialer>),
    Sse(sse::Dialer),
    Nats(nats::Dialer),
}

/// A subscriber that is confirmed.
pub(super) enum Subscriber {
    Qsse(Box<qsse::Subscriber>),
    Raw(raw::Subscriber),
    Sse(sse::Subscriber),
    Nats(Box<nats::Subscriber>),
}

/// The socket that all QUIC clients of the process share; `None` where there is no QUIC.
pub(super) fn endpoint(load: &Load) -> Result<Option<ClientEndpoint>> {
    Ok(match load.work.peer {
        Peer::HttpH2 | Peer::HttpLines | Peer::SseH2 | Peer::Nats => None,
        peer => {
            let config = settings::client(peer);
            Some(ClientEndpoint::bind_with("127.0.0.1:0".parse()?, &config)?)
        }
    })
}

impl Dialer {
    /// One with TLS sessions of its own.
    pub(super) fn new(load: &Load, endpoint: Option<&ClientEndpoint>) -> Result<Self> {
        Ok(match (load.work.peer, endpoint.cloned()) {
            (Peer::Qsse | Peer::QsseShards | Peer::Wt | Peer::GoQsse, Some(endpoint)) => {
                Self::Qsse(qsse::Dialer::new(load, endpoint)?)
            }
            (Peer::RawQuinn | Peer::RawQuinnBest, Some(endpoint)) => {
                Self::Raw(Box::new(raw::Dialer::new(load, endpoint)?))
            }
            (Peer::HttpH2 | Peer::HttpLines | Peer::SseH2, _) => Self::Sse(sse::Dialer::new(load)?),
            (Peer::Nats, _) => Self::Nats(nats::Dialer::new(load)?),
            (peer, None) => bail!("{} needs an endpoint", peer.name()),
        })
    }

    /// A connection of its own with one subscription, once the server has confirmed it.
    pub(super) async fn subscribe(&self, topic: &str) -> Result<Subscriber> {
        let subscribing = tokio::time::timeout(PATIENCE, self.subscribed(topic));
        subscribing.await.context("no answer to a subscription")?
    }

    async fn subscribed(&self, topic: &str) -> Result<Subscriber> {
        Ok(match self {
            Self::Qsse(dialer) => Subscriber::Qsse(Box::new(dialer.subscribe(topic).await?)),
            Self::Raw(dialer) => Subscriber::Raw(dialer.subscribe().await?),
            Self::Sse(dialer) => Subscriber::Sse(dialer.subscribe().await?),
            Self::Nats(dialer) => Subscriber::Nats(Box::new(dialer.subscribe(topic).await?)),
        })
    }
}

impl Subscriber {
    /// Receives for ever; an end is an error.
    pub(super) async fn receive(self, tally: Tally) -> Result<()> {
        match self {
            Self::Qsse(subscriber) => subscriber.receive(tally).await?,
            Self::Raw(subscriber) => subscriber.receive(tally).await?,
            Self::Sse(subscriber) => subscriber.receive(tally).await?,
            Self::Nats(subscriber) => subscriber.receive(tally).await?,
        }
        bail!("the stream ended")
    }

    /// Says goodbye.
    pub(super) fn leave(self) {
        match self {
            Self::Qsse(subscriber) => subscriber.leave(),
            Self::Raw(subscriber) => subscriber.leave(),
            // The end of a TCP connection is goodbye.
            Self::Sse(_) | Self::Nats(_) => {}
        }
    }
}
