//! Connecting to a server: its addresses are tried one after the other, without waiting long for
//! each.

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

/// How long an address is tried before the next one is tried too.
const STAGGER: Duration = Duration::from_millis(250);

/// How long the other addresses of a server may still take once one has answered with a failure.
const GRACE: Duration = Duration::from_secs(1);

/// The sockets that connections are opened from.
#[derive(Default)]
pub(crate) struct Endpoints {
    /// The caller's endpoint, for simulated networks. It is never closed or replaced.
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

    /// Makes sockets for another connection to the same server.
    pub(super) fn another(&self) -> Self {
        Self::given(self.given.clone())
    }

    /// Replaces the sockets by new ones.
    pub(super) fn renew(&mut self) {
        (self.v4, self.v6) = (None, None);
    }

    /// Waits until the servers are notified that their connections are closed.
    pub(super) async fn wait_idle(&self) {
        for endpoint in [&self.v4, &self.v6].into_iter().flatten() {
            endpoint.wait_idle().await;
        }
    }

    /// Returns the socket for this address.
    fn for_address(
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
/// `failures` collects the failures so far, also if this is cancelled.
pub(super) async fn dial(
    endpoints: &mut Endpoints,
    url: &ServerUrl,
    tls: &ClientTls,
    config: &TransportConfig,
    failures: &mut Failures,
) -> Result<Connection, ConnectError> {
    let addresses = resolve(url).await?;
    let connection = race(endpoints, url, &addresses, tls, config, failures).await?;
    // The failures of the other addresses no longer matter.
    *failures = Failures::default();
    Ok(connection)
}

/// The most informative failure at the addresses of a server.
#[derive(Default)]
pub(super) struct Failures(Option<ConnectError>);

impl Failures {
    /// Keeps `error` if it is more informative: an answer is more than silence.
    fn add(&mut self, error: ConnectError) {
        if self
            .0
            .as_ref()
            .is_none_or(|best| weight(&error) > weight(best))
        {
            self.0 = Some(error);
        }
    }

    /// Returns whether any address has answered.
    fn answered(&self) -> bool {
        self.0.as_ref().is_some_and(|best| weight(best) >= ANSWERED)
    }

    /// Returns the error of an attempt that took longer than `after`.
    pub(super) fn at_timeout(self, url: &ServerUrl, after: Duration) -> ConnectError {
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

/// Resolves the server's addresses: IPv6 and IPv4 alternate, and the one that the system prefers is
/// first.
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
        // Many systems resolve the name to only one of them, perhaps not the server's.
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
    Ok(alternate(addresses))
}

/// Alternates the addresses of both families, beginning with the family of the first.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
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

/// Tries each address when the one before has failed or is slow. The first connection wins, and the
/// other attempts are dropped.
async fn race(
    endpoints: &mut Endpoints,
    url: &ServerUrl,
    addresses: &[SocketAddr],
    tls: &ClientTls,
    config: &TransportConfig,
    failures: &mut Failures,
) -> Result<Connection, ConnectError> {
    let mut waiting = addresses.iter();
    let mut running = FuturesUnordered::new();
    loop {
        if let Some(address) = waiting.next() {
            match endpoints.for_address(*address, config) {
                Ok(endpoint) => running
                    .push(async move { endpoint.connect(*address, url.host(), tls, config).await }),
                // For instance, the system has no IPv6.
                Err(error) => failures.add(error),
            }
        } else if running.is_empty() {
            return Err(failures.0.take().unwrap_or(ConnectError::NoAddress {
                host: url.host().into(),
            }));
        }
        let more = waiting.len() > 0;
        tokio::select! {
            biased;
            Some(result) = running.next() => match result {
                Ok(connection) => return Ok(connection),
                Err(error) => failures.add(error.into()),
            },
            () = sleep(STAGGER), if more => {}
            // The server has answered at one address, so the silent ones are given up.
            () = sleep(GRACE), if !more && failures.answered() => running.clear(),
            else => {}
        }
    }
}

/// The lowest [`weight`] of an answer.
const ANSWERED: u8 = 2;

/// Returns how much a failure says about the server.
fn weight(error: &ConnectError) -> u8 {
    use TransportError as T;
    match error {
        ConnectError::Socket(_) | ConnectError::NoRuntime => 0,
        ConnectError::Unreachable(T::InvalidAddress { .. } | T::EndpointClosed) => 0,
        ConnectError::Unreachable(T::TimedOut { .. })
        | ConnectError::Unreachable(T::Failed {
            source: ConnectionError::TimedOut,
            ..
        }) => 1,
        // A temporary refusal says less than a permanent one.
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
            alternate(addresses("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1")),
            addresses("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1")
        );
        assert_eq!(
            alternate(addresses("1.1.1.1:1 1.1.1.1:1 [::1]:1 [::2]:1")),
            addresses("1.1.1.1:1 [::1]:1 1.1.1.1:1 [::2]:1")
        );
        assert_eq!(
            alternate(addresses("1.1.1.1:1 1.1.1.1:1")),
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
        let failures = |errors: [TransportError; 3]| {
            let mut failures = Failures::default();
            for error in errors {
                failures.add(error.into());
            }
            failures.at_timeout(&url, after)
        };
        let refused = || TransportError::Refused { address };
        for errors in [
            [silence(), no_family(), refused()],
            [refused(), silence(), no_family()],
        ] {
            let kept = failures(errors);
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
        let kept = failures([refused(), other, silence()]);
        assert!(
            matches!(
                kept,
                ConnectError::Unreachable(TransportError::AlpnMismatch { .. })
            ),
            "{kept:?}"
        );
        let kept = failures([silence(), no_family(), silence()]);
        assert!(matches!(kept, ConnectError::TimedOut { .. }), "{kept:?}");
    }
}
