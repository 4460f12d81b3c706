//! [`Target`]: the server under attack, as its clients see it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use qsse_client::{Client, Config, Connect, ReconnectPolicy, ServerUrl};
use qsse_testing::fixtures;
use qsse_transport::{ClientEndpoint, TransportConfig};

use crate::clients::Attacker;
use crate::setup::{ATTACKER, HONEST, OPERATOR, Scale};

/// The server under attack, as its clients see it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: ServerUrl,
    pub(crate) address: SocketAddr,
    /// Where it answers HTTP clients.
    pub(crate) http: Option<SocketAddr>,
    pub(crate) scale: Scale,
}

/// The addresses of attackers: of the loopback, but in another network than that of the honest
/// clients, which is 127.0.0.0/16.
pub(crate) fn hostile_address(host: u8) -> IpAddr {
    Ipv4Addr::new(127, 66, 0, host).into()
}

impl Target {
    /// Connects as the operator, who may do everything.
    pub(crate) async fn operator(&self) -> Result<Client> {
        let client = Client::connect(self.url.clone()).token(OPERATOR);
        client.await.context("the operator cannot connect")
    }

    /// Begins an honest connection. In a short run, whose speed says nothing, honest clients wait
    /// so long that only a refusal counts.
    pub(crate) fn honest(&self) -> Connect {
        let patience = self
            .scale
            .of(Duration::from_secs(30), Duration::from_secs(5));
        let config = Config::default()
            .reconnect(ReconnectPolicy::never())
            .connect_timeout(patience)
            .transport(TransportConfig::client().handshake_timeout(patience));
        Client::connect(self.url.clone())
            .token(HONEST)
            .config(config)
    }

    /// Returns an attacker with the address of that number.
    pub(crate) fn attacker(&self, host: u8) -> Result<Attacker> {
        self.attacker_with(host, TransportConfig::client())
    }

    /// Returns an attacker with the address of that number and these windows.
    pub(crate) fn attacker_with(&self, host: u8, config: TransportConfig) -> Result<Attacker> {
        let local = SocketAddr::new(hostile_address(host), 0);
        Ok(Attacker {
            endpoint: ClientEndpoint::bind_with(local, &config)?,
            server: self.address,
            trust: fixtures::client_tls(),
            token: ATTACKER.to_owned(),
            config,
        })
    }
}
