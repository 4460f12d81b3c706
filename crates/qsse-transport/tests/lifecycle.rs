//! How connections begin, live through silence, and end.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use qsse_proto::Code;
use qsse_transport::tls::{ClientTls, ServerTls};
use qsse_transport::{
    BindError, ClientEndpoint, ConnectError, Connection, ConnectionError, ServerEndpoint,
    TransportConfig,
};
use support::{PATIENCE, loopback, pair, pair_with, serve, soon, until};

mod support;

const SHORT: Duration = Duration::from_millis(600);

#[tokio::test]
async fn close_code_and_reason_arrive() {
    for by_server in [true, false] {
        let pair = pair().await;
        let (closer, other) = if by_server {
            (&pair.far, &pair.near)
        } else {
            (&pair.near, &pair.far)
        };
        assert_eq!(other.close_reason(), None);
        closer.close(Code::SHUTTING_DOWN, "back in a minute");
        let expected = ConnectionError::Closed {
            code: Code::SHUTTING_DOWN,
            reason: "back in a minute".into(),
        };
        assert_eq!(soon("the close", other.closed()).await, expected);
        assert_eq!(other.close_reason(), Some(expected.clone()));
        assert!(expected.is_retryable());
        assert_eq!(closer.closed().await, ConnectionError::LocallyClosed);
    }
}

#[tokio::test]
async fn reasons_are_cut_and_made_printable() {
    let pair = pair().await;
    pair.near.close(
        Code::new(1 << 50),
        &format!("forged\r\nline {}", "ä".repeat(500)),
    );
    let ConnectionError::Closed { code, reason } = soon("the close", pair.far.closed()).await
    else {
        panic!("not closed by the peer")
    };
    assert_eq!(code, Code::new(1 << 50));
    assert!(
        reason.starts_with("forged\u{fffd}\u{fffd}line ä"),
        "{reason}"
    );
    assert!(reason.len() <= 256, "{}", reason.len());
}

#[tokio::test]
async fn the_last_handle_dropped_closes() {
    let pair = pair().await;
    let clone = pair.near.clone();
    drop(pair.near);
    assert_eq!(clone.close_reason(), None);
    drop(clone);
    let expected = ConnectionError::Closed {
        code: Code::NO_ERROR,
        reason: String::new(),
    };
    assert_eq!(soon("the close", pair.far.closed()).await, expected);

    let pair = support::pair().await;
    drop(pair.server);
    assert_eq!(soon("the close", pair.near.closed()).await, expected);
}

#[tokio::test]
async fn a_quiet_connection_outlives_its_idle_timeout_by_the_clients_keep_alive() {
    let server = TransportConfig::server()
        .idle_timeout(SHORT)
        .keep_alive(Duration::ZERO);
    let client = TransportConfig::client().idle_timeout(SHORT);
    stays_up(pair_with(&server, &client).await).await;
}

#[tokio::test]
async fn a_quiet_connection_outlives_its_idle_timeout_by_the_servers_keep_alive() {
    // A client that sends none, as those of Go.
    let server = TransportConfig::server().idle_timeout(SHORT);
    let client = TransportConfig::client().keep_alive(Duration::ZERO);
    stays_up(pair_with(&server, &client).await).await;
}

#[tokio::test]
async fn a_client_with_defaults_heeds_a_server_with_a_short_timeout() {
    let server = TransportConfig::server().idle_timeout(SHORT);
    stays_up(pair_with(&server, &TransportConfig::client()).await).await;
}

async fn stays_up(pair: support::Pair) {
    let ended = tokio::time::timeout(SHORT * 7 / 2, async {
        tokio::select! {
            error = pair.near.closed() => error,
            error = pair.far.closed() => error,
        }
    });
    if let Ok(error) = ended.await {
        panic!("ended: {error}");
    }
    let mut stream = soon("a stream", pair.far.open_uni()).await.unwrap();
    stream.write_all(&mut ["still here".into()]).await.unwrap();
    let mut stream = soon("it", pair.near.accept_uni()).await.unwrap();
    assert_eq!(
        soon("its data", stream.read_chunk())
            .await
            .unwrap()
            .unwrap(),
        "still here"
    );
}

#[tokio::test]
async fn a_quiet_connection_without_keep_alive_ends() {
    let server = TransportConfig::server()
        .idle_timeout(SHORT)
        .keep_alive(Duration::ZERO);
    let client = TransportConfig::client().keep_alive(Duration::ZERO);
    let pair = pair_with(&server, &client).await;
    assert_eq!(
        soon("the timeout", pair.near.closed()).await,
        ConnectionError::TimedOut
    );
    assert_eq!(
        soon("the timeout", pair.far.closed()).await,
        ConnectionError::TimedOut
    );
    assert!(ConnectionError::TimedOut.is_retryable());
}

/// A server on a runtime of its own, so that it can die without a word.
struct Mortal {
    runtime: tokio::runtime::Runtime,
    address: SocketAddr,
}

impl Mortal {
    fn start(address: SocketAddr, tls: &ServerTls) -> Result<Self, BindError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let started = {
            let _inside = runtime.enter();
            ServerEndpoint::bind(address, tls, &TransportConfig::server()).map(|server| {
                serve(&server);
                server.local_addr()
            })
        };
        match started {
            Ok(address) => Ok(Self { runtime, address }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

async fn connect(address: SocketAddr, tls: &ClientTls, config: &TransportConfig) -> Connection {
    let client = ClientEndpoint::bind(loopback()).unwrap();
    soon(
        "a connection",
        client.connect(address, "localhost", tls, config),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_killed_server_is_noticed_within_the_idle_timeout() {
    let (server_tls, client_tls) = support::tls();
    let server = Mortal::start(loopback(), &server_tls).unwrap();
    let config = TransportConfig::client().idle_timeout(SHORT);
    let connection = connect(server.address, &client_tls, &config).await;
    server.kill();
    let killed = Instant::now();
    assert_eq!(
        soon("the silence", connection.closed()).await,
        ConnectionError::TimedOut
    );
    assert!(killed.elapsed() < PATIENCE / 2);
}

#[tokio::test]
async fn a_restarted_server_with_the_same_key_says_at_once_that_the_connection_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let load = || ServerTls::dev_cert_in(folder.path()).unwrap();
    let client_tls = ClientTls::pinned(load().fingerprint());
    let server = Mortal::start(loopback(), &load()).unwrap();
    let address = server.address;
    // Far longer than the test waits: only the reset can tell it.
    let config = TransportConfig::client()
        .idle_timeout(PATIENCE * 10)
        .keep_alive(Duration::from_millis(100));
    let connection = connect(address, &client_tls, &config).await;
    server.kill();
    let mut again = None;
    until("the port to be free", || {
        again = again
            .take()
            .or_else(|| Mortal::start(address, &load()).ok());
        again.is_some()
    })
    .await;
    assert_eq!(
        soon("the reset", connection.closed()).await,
        ConnectionError::Reset
    );
    assert!(ConnectionError::Reset.is_retryable());
    again.unwrap().kill();
}

#[tokio::test]
async fn a_dead_port_times_out() {
    let silent = UdpSocket::bind(loopback()).unwrap();
    let address = silent.local_addr().unwrap();
    let (_, tls) = support::tls();
    let config = TransportConfig::client().handshake_timeout(Duration::from_millis(300));
    let client = ClientEndpoint::bind(loopback()).unwrap();
    // Once with a socket that answers nothing, once with none.
    for keep in [Some(silent), None] {
        let attempt = client.connect(address, "localhost", &tls, &config);
        let error = soon("the deadline", attempt).await.unwrap_err();
        let expected = ConnectError::TimedOut {
            address,
            after: config.handshake_timeout,
        };
        assert_eq!(error, expected);
        assert!(error.is_retryable());
        assert!(
            error
                .to_string()
                .contains(&format!("{address} within 300ms")),
            "{error}"
        );
        drop(keep);
    }
}

#[tokio::test]
async fn a_second_server_on_the_port_is_refused() {
    let (tls, _) = support::tls();
    let first = ServerEndpoint::bind(loopback(), &tls, &TransportConfig::server()).unwrap();
    let address = first.local_addr();
    let error = ServerEndpoint::bind(address, &tls, &TransportConfig::server()).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    let elsewhere = "203.0.113.1:0".parse().unwrap();
    let error = ServerEndpoint::bind(elsewhere, &tls, &TransportConfig::server()).unwrap_err();
    assert!(matches!(error, BindError::NotLocal { .. }), "{error:?}");
}

#[test]
fn a_runtime_is_needed_and_asked_for() {
    let (tls, _) = support::tls();
    let error = ServerEndpoint::bind(loopback(), &tls, &TransportConfig::server()).unwrap_err();
    assert!(matches!(error, BindError::NoRuntime), "{error:?}");
    let error = ClientEndpoint::bind(loopback()).unwrap_err();
    assert!(matches!(error, BindError::NoRuntime), "{error:?}");
}

#[tokio::test]
async fn an_address_of_the_other_family_is_refused_at_once() {
    let (_, tls) = support::tls();
    let client = ClientEndpoint::bind(loopback()).unwrap();
    for address in ["[::1]:4242", "127.0.0.1:0"] {
        let address = address.parse().unwrap();
        let error = client
            .connect(address, "localhost", &tls, &TransportConfig::client())
            .await
            .unwrap_err();
        assert!(
            matches!(error, ConnectError::InvalidAddress { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn ipv6_and_dual_stack_connect_and_addresses_are_plain() {
    let (server_tls, client_tls) = support::tls();
    let config = TransportConfig::server();
    // A machine without IPv6 has nothing to show here.
    let Ok(server) = ServerEndpoint::bind("[::]:0".parse().unwrap(), &server_tls, &config) else {
        return;
    };
    let port = server.local_addr().port();
    for remote in [format!("[::1]:{port}"), format!("127.0.0.1:{port}")] {
        let remote: SocketAddr = remote.parse().unwrap();
        let (name, config) = (remote.ip().to_string(), TransportConfig::client());
        let client = ClientEndpoint::bind_for(remote, &config).unwrap();
        let (far, near) = soon("both ends", async {
            tokio::join!(
                async { server.accept().await.unwrap().complete().await.unwrap() },
                client.connect(remote, &name, &client_tls, &config),
            )
        })
        .await;
        assert_eq!(near.unwrap().remote_address(), remote);
        assert!(
            far.remote_address().ip().is_loopback(),
            "{}",
            far.remote_address()
        );
    }
}

#[tokio::test]
async fn a_closed_client_endpoint_tells_its_servers_and_connects_no_more() {
    let pair = pair().await;
    pair.client.close(Code::NO_ERROR, "bye");
    soon("the farewell", pair.client.wait_idle()).await;
    let expected = ConnectionError::Closed {
        code: Code::NO_ERROR,
        reason: "bye".into(),
    };
    assert_eq!(soon("the close", pair.far.closed()).await, expected);
    let (_, tls) = support::tls();
    let address = pair.server.local_addr();
    let error = pair
        .client
        .connect(address, "localhost", &tls, &TransportConfig::client())
        .await
        .unwrap_err();
    assert_eq!(error, ConnectError::EndpointClosed);
}

#[tokio::test]
async fn a_connection_outlives_its_client_endpoint() {
    let pair = pair().await;
    drop(pair.client);
    let mut stream = soon("a stream", pair.near.open_uni()).await.unwrap();
    stream.write_all(&mut ["hello".into()]).await.unwrap();
    let mut stream = soon("it", pair.far.accept_uni()).await.unwrap();
    assert_eq!(
        soon("its data", stream.read_chunk())
            .await
            .unwrap()
            .unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn statistics_count_what_was_sent() {
    let pair = pair().await;
    let before = pair.near.stats();
    let mut stream = soon("a stream", pair.near.open_uni()).await.unwrap();
    stream
        .write_all(&mut [vec![0; 10_000].into()])
        .await
        .unwrap();
    stream.finish();
    soon("its receipt", stream.stopped()).await.unwrap();
    let after = pair.near.stats();
    assert!(after.bytes_sent >= before.bytes_sent + 10_000, "{after:?}");
    assert!(after.bytes_received > before.bytes_received, "{after:?}");
    assert!(after.rtt > Duration::ZERO && after.mtu >= 1200, "{after:?}");
    assert_ne!(pair.near.id(), pair.far.id());
    assert_eq!(pair.near.id(), pair.near.clone().id());
}
