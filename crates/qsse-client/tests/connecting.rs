//! The first connection: addresses, trust, tokens, and errors. The server is scripted.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use qsse_client::tls::ClientTls;
use qsse_client::{
    Client, Code, Connect, ConnectError, ConnectionState, RetryPolicy, ServerUrl, TransportConfig,
    TransportError,
};
use qsse_transport::tls::ServerTls;
use qsse_transport::{ClientEndpoint, Connection, ServerEndpoint};
use support::*;

/// Reserves a port on which nobody listens.
fn dead_port() -> (UdpSocket, ServerUrl) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let url = ServerUrl::from(socket.local_addr().expect("it is bound"));
    (socket, url)
}

#[tokio::test]
async fn a_client_says_who_it_is_and_learns_who_the_server_is() {
    let server = FakeServer::start();
    let (client, peer) = tokio::join!(
        server.connect().token("sesame").config(config()),
        server.welcome()
    );
    let client = client.unwrap();
    assert_eq!(peer.hello.token.as_ref().unwrap().expose(), "sesame");
    assert!(
        peer.hello.agent.starts_with("qsse-client/"),
        "{}",
        peer.hello.agent
    );
    let ConnectionState::Connected {
        address,
        server: name,
        epoch,
        ..
    } = client.state().current()
    else {
        panic!("connected")
    };
    assert_eq!(
        (address.port(), name.as_str(), epoch),
        (server.url().port(), "fake/1", EPOCH)
    );
    assert!(!format!("{client:?}").contains("sesame"));
}

#[tokio::test]
async fn a_dead_port_is_told_from_a_refusal() {
    let (_socket, url) = dead_port();
    let begun = Instant::now();
    let connect = Client::connect(url)
        .insecure()
        .connect_timeout(Duration::from_millis(200));
    let error = connect.await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("is a"), "{error}");

    let server = FakeServer::start();
    let (result, ()) = tokio::join!(server.connect(), async {
        let peer = server.accept().await;
        peer.connection.close(Code::NOT_AUTHORISED, "no such token");
    });
    let error = result.unwrap_err();
    assert!(
        matches!(error, ConnectError::NotAuthorised { .. }),
        "{error}"
    );
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("no such token"), "{error}");

    let (result, ()) = tokio::join!(server.connect(), async {
        server.accept().await.connection.close(Code::BUSY, "");
    });
    assert!(result.unwrap_err().is_retryable());
    let (result, ()) = tokio::join!(server.connect(), async {
        let mut peer = server.accept().await;
        peer.send_raw(batch([1])).await;
        soon(peer.closed()).await;
    });
    assert!(matches!(result.unwrap_err(), ConnectError::Protocol(_)));
    let (result, ()) = tokio::join!(server.connect(), async {
        let mut peer = server.accept().await;
        peer.confirm(1, 0).await;
        soon(peer.closed()).await;
    });
    assert!(matches!(result.unwrap_err(), ConnectError::NoWelcome));
}

#[tokio::test]
async fn a_server_that_never_welcomes_runs_into_the_deadline() {
    let server = FakeServer::start();
    let connect = server.connect().connect_timeout(Duration::from_secs(20));
    let accept = async {
        let peer = server.accept().await;
        // Nothing more happens, so the paused clock advances to the timeout.
        tokio::time::pause();
        peer
    };
    let (result, _peer) = tokio::join!(connect, accept);
    let error = result.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains("20s"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused_and_says_what_to_do() {
    let (server, other) = (FakeServer::start(), FakeServer::start());
    let wrong = ServerUrl::new("127.0.0.1", server.url().port())
        .unwrap()
        .with_fingerprint(other.url().fingerprints()[0]);
    let refusing = async |connect: Connect| {
        tokio::select! {
            result = connect.into_future() => result.unwrap_err(),
            () = server.handshakes_failing() => unreachable!("it goes on for ever"),
        }
    };
    let error = refusing(Client::connect(&wrong)).await;
    let ConnectError::Certificate(TransportError::CertificateRefused { fingerprint, .. }) = &error
    else {
        panic!("{error}")
    };
    assert_eq!(fingerprint.as_ref(), server.url().fingerprints().first());
    assert!(error.to_string().contains("fingerprint="), "{error}");
    assert!(!error.is_retryable());
    // By default, the new certificate is unknown.
    let plain = ServerUrl::new("127.0.0.1", server.url().port()).unwrap();
    let error = refusing(Client::connect(&plain)).await;
    assert!(matches!(error, ConnectError::Certificate(_)), "{error}");
    // These trust it.
    let given = Client::connect(&wrong).tls(ClientTls::insecure());
    let right = Client::connect(&plain).fingerprint(server.url().fingerprints()[0]);
    let (client, peer) = tokio::join!(given, server.welcome());
    client.unwrap();
    drop(peer);
    let (client, _peer) = tokio::join!(right, server.welcome());
    client.unwrap();
    let error = Client::connect(&plain)
        .ca_file("no/such/file.pem")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no/such/file.pem"), "{error}");
}

#[tokio::test]
async fn localhost_works_with_a_server_on_either_family() {
    for ip in ["127.0.0.1:0", "[::1]:0"] {
        let tls = ServerTls::self_signed([] as [&str; 0]).unwrap();
        let config = qsse_client::TransportConfig::server();
        let Ok(endpoint) = ServerEndpoint::bind(ip.parse().unwrap(), &tls, &config) else {
            // This machine has no IPv6.
            continue;
        };
        let port = endpoint.local_addr().port();
        let url = ServerUrl::new("localhost", port)
            .unwrap()
            .with_fingerprint(tls.fingerprint().unwrap());
        let server = FakeServer::on(endpoint, url.clone());
        let (client, _peer) = tokio::join!(Client::connect(url), server.welcome());
        client.unwrap_or_else(|error| panic!("{ip}: {error}"));
    }
}

#[tokio::test]
async fn of_two_addresses_the_one_that_answers_is_told_of() {
    let certificate = ServerTls::self_signed([] as [&str; 0]).unwrap();
    let usual = TransportConfig::server;
    let full = usual().max_connections(1);
    for (config, pinned, refused_as) in [
        (full, certificate.fingerprint(), "Refused"),
        (usual(), Some("00".repeat(32).parse().unwrap()), "NotPinned"),
        (usual(), certificate.fingerprint(), "NotAuthorised"),
    ] {
        let Some((endpoint, _silent)) = beside_silence(&certificate, &config) else {
            continue; // A machine without IPv6.
        };
        let url = ServerUrl::new("localhost", endpoint.local_addr().port()).unwrap();
        let url = url.with_fingerprint(pinned.unwrap());
        let _occupied = match refused_as {
            "Refused" => Some(occupy(&endpoint, &certificate).await),
            _ => None,
        };
        let serving = tokio::spawn(async move {
            while let Some(handshake) = endpoint.accept().await {
                if let Ok(connection) = handshake.complete().await {
                    connection.close(Code::NOT_AUTHORISED, "no such token");
                }
            }
        });
        // The silent address alone would take until the timeout.
        let connect = Client::connect(url).connect_timeout(Duration::from_secs(3600));
        let error = soon(connect.into_future()).await.unwrap_err();
        assert!(format!("{error:?}").contains(refused_as), "{error:?}");
        serving.abort();
    }
}

/// Connects, so that a server that accepts one connection is full until the result is dropped.
async fn occupy(
    endpoint: &ServerEndpoint,
    tls: &ServerTls,
) -> (ClientEndpoint, Connection, Connection) {
    let client = ClientEndpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let trust = ClientTls::pinned(tls.fingerprint());
    let config = TransportConfig::client();
    let connecting = client.connect(endpoint.local_addr(), "localhost", &trust, &config);
    let accepting = async {
        let handshake = endpoint.accept().await.expect("it is open");
        handshake.complete().await.expect("a good client")
    };
    let (near, far) = soon(async { tokio::join!(connecting, accepting) }).await;
    (client, near.expect("there is room for one"), far)
}

/// Binds an endpoint at one address of `localhost`, and a socket that never answers at the other.
fn beside_silence(
    tls: &ServerTls,
    config: &TransportConfig,
) -> Option<(ServerEndpoint, UdpSocket)> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = ServerEndpoint::bind(any, tls, config).expect("a free port");
    let silent = UdpSocket::bind(("::1", endpoint.local_addr().port())).ok()?;
    Some((endpoint, silent))
}

#[tokio::test]
async fn trusting_anybody_and_one_certificate_only_is_an_error() {
    let server = FakeServer::start();
    let fingerprint = server.url().fingerprints()[0];
    let plain = ServerUrl::new("127.0.0.1", server.url().port()).unwrap();
    for connect in [
        // The address contains a fingerprint.
        server.connect().insecure(),
        Client::connect(&plain).fingerprint(fingerprint).insecure(),
    ] {
        let error = soon(connect.into_future()).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::InsecureAndFingerprint),
            "{error}"
        );
        assert!(error.to_string().contains("one of the two"), "{error}");
    }
}

#[tokio::test]
async fn the_first_connection_is_tried_again_only_if_told_to() {
    let server = FakeServer::start();
    let refusing = async || server.accept().await.connection.close(Code::BUSY, "");
    let (result, ()) = tokio::join!(server.connect(), refusing());
    assert!(result.is_err());

    let policy = RetryPolicy::times(3, Duration::from_millis(1));
    let (client, _peer) = tokio::join!(server.connect().retry(policy), async {
        for _ in 0..3 {
            refusing().await;
        }
        server.welcome().await
    });
    client.unwrap();

    let policy = RetryPolicy::times(1, Duration::from_millis(1));
    let (result, ()) = tokio::join!(server.connect().retry(policy), async {
        refusing().await;
        refusing().await;
    });
    assert!(result.is_err());

    // A permanent error is not retried.
    let policy = RetryPolicy::times(1000, Duration::from_secs(1));
    let (result, ()) = tokio::join!(server.connect().retry(policy), async {
        server
            .accept()
            .await
            .connection
            .close(Code::NOT_AUTHORISED, "");
    });
    assert!(matches!(result, Err(ConnectError::NotAuthorised { .. })));
}

#[tokio::test]
async fn a_token_function_may_fail() {
    let server = FakeServer::start();
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let connect = server.connect().token_fn(move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { Err::<String, _>("the vault is closed") }
    });
    let error = connect.await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Token(_)) && error.is_retryable(),
        "{error}"
    );
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the vault is closed");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let error = server.connect().token("x".repeat(5000)).await.unwrap_err();
    assert!(matches!(error, ConnectError::TokenTooLong(_)), "{error}");
}

#[tokio::test]
async fn what_names_no_server_is_said() {
    for text in ["https://example.org", "", "host:port", "qsse://a/b"] {
        assert!(
            matches!(Client::connect(text).await, Err(ConnectError::Url(_))),
            "{text:?}"
        );
    }
    let connect = Client::connect("no-such-host.invalid").connect_timeout(Duration::from_secs(2));
    let error = connect.await.unwrap_err();
    let known = matches!(
        error,
        ConnectError::Resolve { .. } | ConnectError::TimedOut { .. }
    );
    assert!(known && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn another_protocol_is_told_from_silence() {
    let tls = ServerTls::self_signed([] as [&str; 0])
        .unwrap()
        .with_alpn(["h3"]);
    let config = qsse_client::TransportConfig::server();
    let endpoint = ServerEndpoint::bind("127.0.0.1:0".parse().unwrap(), &tls, &config).unwrap();
    let url = ServerUrl::from(endpoint.local_addr());
    let serving = tokio::spawn(async move {
        while let Some(handshake) = endpoint.accept().await {
            let _ = handshake.complete().await;
        }
    });
    let error = Client::connect(url).insecure().await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Unreachable(TransportError::AlpnMismatch { .. })
        ),
        "{error}"
    );
    serving.abort();
}

#[tokio::test]
async fn a_token_that_expires_while_a_newer_one_is_on_its_way_leaves_that_one_its_turn() {
    use qsse_client::RefreshError;
    let server = FakeServer::start();
    let (client, mut peer) = tokio::join!(server.connect().token("old"), server.welcome());
    let client = client.unwrap();
    let (result, ()) = tokio::join!(client.refresh_token("newer"), async {
        peer.frame().await;
        peer.connection.close(Code::TOKEN_EXPIRED, "of the old one");
    });
    let error = result.unwrap_err();
    assert!(matches!(error, RefreshError::Lost(_)), "{error}");
    let peer = server.welcome().await;
    assert_eq!(peer.hello.token.as_ref().unwrap().expose(), "newer");
}

#[tokio::test]
async fn a_refreshed_token_is_for_later_connections_too() {
    use qsse_client::RefreshError;
    use qsse_proto::control::{ClientFrame, TokenAccepted};
    let server = FakeServer::start();
    let (client, mut peer) = tokio::join!(server.connect().token("old"), server.welcome());
    let client = client.unwrap();
    let (expires, ()) = tokio::join!(client.refresh_token("new"), async {
        let ClientFrame::RefreshToken(refresh) = peer.frame().await else {
            panic!("a refresh")
        };
        assert_eq!(refresh.token.expose(), "new");
        peer.send(TokenAccepted {
            expires_in_ms: Some(1500),
        })
        .await;
    });
    assert_eq!(expires.unwrap(), Some(Duration::from_millis(1500)));
    peer.kill();
    let mut peer = server.welcome().await;
    assert_eq!(peer.hello.token.as_ref().unwrap().expose(), "new");
    until(|| client.rtt().map(drop).ok_or("not connected")).await;

    // A refused token closes the connection, and the next one uses the valid token.
    let (result, ()) = tokio::join!(client.refresh_token("bad"), async {
        peer.frame().await;
        peer.connection.close(Code::NOT_AUTHORISED, "forged");
    });
    let error = result.unwrap_err();
    assert!(
        matches!(error, RefreshError::NotAuthorised { .. }),
        "{error}"
    );
    let peer = server.welcome().await;
    assert_eq!(peer.hello.token.as_ref().unwrap().expose(), "new");
}
