//! Clients of a qsse server, or of a Go one.

use anyhow::Result;
use qsse_client::{Client, Connect, Dialect};
use qsse_transport::tls::ClientTls;
use qsse_transport::{ClientEndpoint, ServerUrl};

use super::tally::Tally;
use crate::tls;
use crate::work::{Load, Peer};

/// Connects to one server.
pub(super) struct Dialer {
    url: ServerUrl,
    tls: ClientTls,
    endpoint: ClientEndpoint,
    dialect: Dialect,
}

/// A client with one subscription.
pub(super) struct Subscriber(qsse_client::Subscription);

impl Dialer {
    pub(super) fn new(load: &Load, endpoint: ClientEndpoint) -> Result<Self> {
        let url = ServerUrl::from(load.address);
        let (tls, dialect) = match &load.fingerprint {
            Some(fingerprint) => (ClientTls::pinned([fingerprint.parse()?]), Dialect::Go),
            None => {
                let work = &load.work;
                let tls = tls::quic_client(&work.certificates, work.resumed)?;
                let dialect = match work.peer {
                    Peer::Wt => Dialect::WebTransport,
                    _ => Dialect::Qsse,
                };
                (tls, dialect)
            }
        };
        debug_assert_eq!(dialect == Dialect::Go, load.work.peer == Peer::GoQsse);
        Ok(Self {
            url,
            tls,
            endpoint,
            dialect,
        })
    }

    pub(super) async fn connect(&self) -> Result<Client> {
        Ok(self.to_connect().await?)
    }

    pub(super) async fn subscribe(&self, topic: &str) -> Result<Subscriber> {
        Ok(Subscriber(self.to_connect().subscribe(topic).await?))
    }

    fn to_connect(&self) -> Connect {
        Client::connect(self.url.clone())
            .tls(self.tls.clone())
            .endpoint(self.endpoint.clone())
            .dialect(self.dialect)
    }
}

impl Subscriber {
    pub(super) async fn receive(mut self, tally: Tally) -> Result<()> {
        while let Some(event) = self.0.lend_next().await {
            tally.event(event?.data());
        }
        Ok(())
    }

    pub(super) fn leave(self) {
        drop(self);
    }
}
