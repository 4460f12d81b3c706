//! Finding a server: its addresses are tried one after the other, each without waiting long for the one before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use qsse_transport::tls::ClientTls;
use qsse_transport::{
    ClientEndpoint, ConnectError as TransportError, Connection, ServerUrl, TransportConfig,
};
use tokio::net::lookup_host;
use tokio::time::sleep;

use crate::ConnectError;

/// How long an address is tried before the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// The sockets that connections are opened from.
#[derive(Default)]
pub(crate) struct Endpoints {
    /// Handed in, for simulated networks: not ours to close or replace.
    given: Option<ClientEndpoint>,
    v4: Option<ClientEndpoint>,
    v6: Option<ClientEndpoint>,
}

impl Endpoints {
    pub(crate) fn given(endpoint: Option<ClientEndpoint>) -> Self {
        Self {
            given: endpoint,
            ..Self::default()
        }
    }

    /// Sockets of its own for another connection to the same server.
    pub(super) fn another(&self) -> Self {
        Self::given(self.given.clone())
    }

    /// Uses new sockets from now on.
    pub(super) fn renew(&mut self) {
        (self.v4, self.v6) = (None, None);
    }

    /// Waits until the servers know that their connections are closed.
    pub(super) async fn wait_idle(&self) {
        for endpoint in [&self.v4, &self.v6].into_iter().flatten() {
            endpoint.wait_idle().await;
        }
    }

    fn reaching(
        &mut self,
        address: SocketAddr,
        config: &TransportConfig,
    ) -> Result<ClientEndpoint, ConnectError> {
        if let Some(given) = &self.given {
            return Ok(given.clone());
        }
        let own = if address.is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        };
        if let Some(own) = own {
            return Ok(own.clone());
        }
        let endpoint = ClientEndpoint::bind_for(address, config)?;
        Ok(own.insert(endpoint).clone())
    }
}

/// Connects to the first address of the server that answers.
///
/// `ways` of recognising it are tried in order as long as its certificate is refused.
pub(super) async fn dial(
    endpoints: &mut Endpoints,
    url: &ServerUrl,
    ways: &[ClientTls],
    config: &TransportConfig,
) -> Result<Connection, ConnectError> {
    let addresses = resolve(url).await?;
    let mut result = Err(ConnectError::NobodyTrusted);
    for tls in ways {
        result = race(endpoints, url, &addresses, tls, config).await;
        if !matches!(result, Err(ConnectError::Certificate(_))) {
            break;
        }
    }
    result
}

/// The server's addresses, IPv6 and IPv4 in turn, beginning with what the system prefers.
async fn resolve(url: &ServerUrl) -> Result<Vec<SocketAddr>, ConnectError> {
    let host = url.host();
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, url.port())]);
    }
    let found = lookup_host((host, url.port())).await;
    let mut addresses = Vec::new();
    match found {
        Ok(found) => addresses.extend(found),
        Err(_) if url.is_loopback() => {}
        Err(source) => {
            let (host, source) = (host.into(), Arc::new(source));
            return Err(ConnectError::Resolve { host, source });
        }
    }
    if url.is_loopback() {
        // Many systems know only one of them by that name, perhaps not the one that the server listens on.
        let both = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ];
        let both = both.map(|address| SocketAddr::new(address, url.port()));
        addresses.extend(
            both.into_iter()
                .filter(|address| !addresses.contains(address))
                .collect::<Vec<_>>(),
        );
    }
    if addresses.is_empty() {
        return Err(ConnectError::NoAddress { host: host.into() });
    }
    Ok(in_turn(addresses))
}

/// The addresses of both families in turn, the first one's family first.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let mut second = second.into_iter();
    let mut mixed = Vec::new();
    for address in first {
        mixed.push(address);
        mixed.extend(second.next());
    }
    mixed.extend(second);
    mixed.dedup();
    mixed
}

/// Tries the addresses, the next one when the one before has failed or is slow. The first to connect wins; the others are dropped.
async fn race(
    endpoints: &mut Endpoints,
    url: &ServerUrl,
    addresses: &[SocketAddr],
    tls: &ClientTls,
    config: &TransportConfig,
) -> Result<Connection, ConnectError> {
    let mut waiting = addresses.iter();
    let mut running = FuturesUnordered::new();
    let mut worst = None;
    loop {
        if let Some(address) = waiting.next() {
            match endpoints.reaching(*address, config) {
                Ok(endpoint) => running
                    .push(async move { endpoint.connect(*address, url.host(), tls, config).await }),
                // A system without IPv6, for instance.
                Err(error) => keep(&mut worst, error),
            }
        } else if running.is_empty() {
            return Err(worst.unwrap_or(ConnectError::NoAddress {
                host: url.host().into(),
            }));
        }
        let more = waiting.len() > 0;
        let next = sleep(STAGGER);
        tokio::select! {
            biased;
            Some(result) = running.next() => match result {
                Ok(connection) => return Ok(connection),
                Err(error) => keep(&mut worst, error.into()),
            },
            () = next, if more => {}
            // A server that answered counts more than the silence of its other addresses.
            () = sleep(STAGGER), if !more && worst.as_ref().is_some_and(|worst| says(worst) == ANSWERED) => {
                running.clear();
            }
            else => {}
        }
    }
}

/// Of two failures keeps the one that says more: a server that answered is more than silence.
fn keep(kept: &mut Option<ConnectError>, error: ConnectError) {
    if kept.as_ref().is_none_or(|kept| says(&error) > says(kept)) {
        *kept = Some(error);
    }
}

/// What an answer says, in [`says`].
const ANSWERED: u8 = 3;

/// How much a failure says of the server.
fn says(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Socket(_) | ConnectError::NoRuntime => 0,
        ConnectError::Unreachable(
            TransportError::TimedOut { .. } | TransportError::Failed { .. },
        ) => 1,
        ConnectError::Unreachable(TransportError::AlpnMismatch { .. }) => ANSWERED,
        ConnectError::Unreachable(_) => 2,
        _ => ANSWERED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_the_preferred_one_begins() {
        let addresses = |text: &str| {
            text.split(' ')
                .map(|a| a.parse().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            in_turn(addresses("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1")),
            addresses("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1")
        );
        assert_eq!(
            in_turn(addresses("1.1.1.1:1 1.1.1.1:1 [::1]:1 [::2]:1")),
            addresses("1.1.1.1:1 [::1]:1 1.1.1.1:1 [::2]:1")
        );
        assert_eq!(
            in_turn(addresses("1.1.1.1:1 1.1.1.1:1")),
            addresses("1.1.1.1:1")
        );
    }

    #[test]
    fn a_refusal_says_more_than_silence() {
        let address = "127.0.0.1:1".parse().unwrap();
        let after = Duration::from_secs(1);
        let silence = || TransportError::TimedOut { address, after }.into();
        let refusal = || TransportError::Refused { address }.into();
        for (first, second) in [(silence(), refusal()), (refusal(), silence())] {
            let mut kept = None;
            keep(&mut kept, first);
            keep(&mut kept, second);
            let kept = kept.unwrap();
            assert!(matches!(
                kept,
                ConnectError::Unreachable(TransportError::Refused { .. })
            ));
        }
        let offered = "qsse/1".into();
        let other: ConnectError = TransportError::AlpnMismatch { address, offered }.into();
        assert_eq!(says(&other), ANSWERED, "no need to wait for the silent");
    }
}
