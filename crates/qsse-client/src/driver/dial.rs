//! Finding a server: its addresses are tried one after the other, each without waiting long for the one before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use qsse_transport::tls::ClientTls;
use qsse_transport::{
    ClientEndpoint, ConnectError as TransportError, Connection, ConnectionError, ServerUrl,
    TransportConfig,
};
use tokio::net::lookup_host;
use tokio::time::sleep;

use crate::error::ConnectError;

/// How long an address is tried before the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// How long the silent addresses of a server may still take once another one has said no.
const GRACE: Duration = Duration::from_secs(1);

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
/// `heard` is what its addresses have said so far, also when this is cancelled.
pub(super) async fn dial(
    endpoints: &mut Endpoints,
    url: &ServerUrl,
    tls: &ClientTls,
    config: &TransportConfig,
    heard: &mut Heard,
) -> Result<Connection, ConnectError> {
    let addresses = resolve(url).await?;
    let connection = race(endpoints, url, &addresses, tls, config, heard).await?;
    // What the others said no longer counts.
    *heard = Heard::default();
    Ok(connection)
}

/// Of the failures at a server's addresses the one that says most.
#[derive(Default)]
pub(super) struct Heard(Option<ConnectError>);

impl Heard {
    /// Keeps `error` if it says more than what there is: a server that answered is more than silence.
    fn keep(&mut self, error: ConnectError) {
        if self.0.as_ref().is_none_or(|kept| says(&error) > says(kept)) {
            self.0 = Some(error);
        }
    }

    /// Whether any address has answered.
    fn answered(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| says(kept) >= ANSWERED)
    }

    /// What an attempt has come to that took longer than `after`.
    pub(super) fn by_deadline(self, url: &ServerUrl, after: Duration) -> ConnectError {
        if self.answered()
            && let Some(error) = self.0
        {
            return error;
        }
        ConnectError::TimedOut {
            server: format!("{}:{}", url.host(), url.port()),
            after,
        }
    }
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
    heard: &mut Heard,
) -> Result<Connection, ConnectError> {
    let mut waiting = addresses.iter();
    let mut running = FuturesUnordered::new();
    loop {
        if let Some(address) = waiting.next() {
            match endpoints.reaching(*address, config) {
                Ok(endpoint) => running
                    .push(async move { endpoint.connect(*address, url.host(), tls, config).await }),
                // A system without IPv6, for instance.
                Err(error) => heard.keep(error),
            }
        } else if running.is_empty() {
            return Err(heard.0.take().unwrap_or(ConnectError::NoAddress {
                host: url.host().into(),
            }));
        }
        let more = waiting.len() > 0;
        tokio::select! {
            biased;
            Some(result) = running.next() => match result {
                Ok(connection) => return Ok(connection),
                Err(error) => heard.keep(error.into()),
            },
            () = sleep(STAGGER), if more => {}
            // A server that answered counts more than the silence of its other addresses.
            () = sleep(GRACE), if !more && heard.answered() => running.clear(),
            else => {}
        }
    }
}

/// What an answer says at least, in [`says`].
const ANSWERED: u8 = 2;

/// How much a failure says of the server.
fn says(error: &ConnectError) -> u8 {
    use TransportError as T;
    match error {
        ConnectError::Socket(_) | ConnectError::NoRuntime => 0,
        ConnectError::Unreachable(T::InvalidAddress { .. } | T::EndpointClosed) => 0,
        ConnectError::Unreachable(T::TimedOut { .. })
        | ConnectError::Unreachable(T::Failed {
            source: ConnectionError::TimedOut,
            ..
        }) => 1,
        // Whoever says "not now" says less than who says "not so".
        error if error.is_retryable() => ANSWERED,
        _ => 3,
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
    fn an_answer_says_more_than_silence_and_outlasts_the_deadline() {
        let address = "127.0.0.1:1".parse().unwrap();
        let url = ServerUrl::new("localhost", 1).unwrap();
        let after = Duration::from_secs(1);
        let silence = || TransportError::TimedOut { address, after };
        let no_family = || TransportError::InvalidAddress {
            address,
            local: address,
        };
        let heard = |errors: [TransportError; 3]| {
            let mut heard = Heard::default();
            for error in errors {
                heard.keep(error.into());
            }
            heard.by_deadline(&url, after)
        };
        let refused = || TransportError::Refused { address };
        for errors in [
            [silence(), no_family(), refused()],
            [refused(), silence(), no_family()],
        ] {
            let kept = heard(errors);
            assert!(
                matches!(
                    kept,
                    ConnectError::Unreachable(TransportError::Refused { .. })
                ),
                "{kept:?}"
            );
        }
        let offered = "qsse/1".into();
        let other = TransportError::AlpnMismatch { address, offered };
        let kept = heard([refused(), other, silence()]);
        assert!(
            matches!(
                kept,
                ConnectError::Unreachable(TransportError::AlpnMismatch { .. })
            ),
            "{kept:?}"
        );
        let kept = heard([silence(), no_family(), silence()]);
        assert!(matches!(kept, ConnectError::TimedOut { .. }), "{kept:?}");
    }
}
