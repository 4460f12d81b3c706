//! Sessions of WebTransport at a real server: clients that break the rules, that go away, and those
//! whose session the server ends. What follows the rules is tested beside `qsse/1`, in
//! `end_to_end.rs` and `revoking.rs`.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::HashSet;
use std::future::IntoFuture;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use qsse_client::{Client, Connect, Dialect};
use qsse_proto::control::{ClientFrame, Hello, ServerFrame, Token};
use qsse_server::{
    Authenticator, Code, Config, Credentials, Denied, Grants, Origins, Principal, Revocation,
    Server, ServerBuilder, Start, WebTransport,
};
use qsse_transport::http3::http::{Request, StatusCode};
use qsse_transport::http3::{self, Settings};
use qsse_transport::tls::ClientTls;
use qsse_transport::{
    ClientEndpoint, ConnectError, Connection, ConnectionError, FrameReader, FrameWriter, ReadError,
    RecvStream, SendStream, TransportConfig,
};

/// Each wait is for a condition; this only ends one that never comes.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it took a minute")
}

async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn server() -> ServerBuilder {
    Server::bind("127.0.0.1:0")
        .authenticator(ByName)
        .web_transport(WebTransport::default())
}

/// Lets in everybody under the name that is the token. Who is called `brief` may stay for a moment.
struct ByName;

#[async_trait]
impl Authenticator for ByName {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let name = credentials.token.unwrap_or_default();
        let principal = Principal::new(name).with_grants(Grants::everything());
        Ok(match name {
            "brief" => principal.valid_for(Duration::from_millis(200)),
            _ => principal,
        })
    }
}

/// A connection that speaks HTTP/3, and what keeps it open.
struct Dialled {
    connection: Connection,
    _endpoint: ClientEndpoint,
}

async fn dial(server: &Server) -> Dialled {
    let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let trust = ClientTls::pinned(server.browser_fingerprints()).with_alpn(["h3"]);
    let config = TransportConfig::client();
    let connection = endpoint.connect(server.local_addr(), "localhost", &trust, &config);
    Dialled {
        connection: soon(connection).await.unwrap(),
        _endpoint: endpoint,
    }
}

impl Dialled {
    async fn client(&self) -> http3::Client {
        let settings = Settings::default();
        let client = http3::Client::connect(&self.connection, &settings);
        soon(client).await.unwrap()
    }

    async fn session(&self) -> Connection {
        let session = self.connection.open_session("localhost:1", "/qsse/1");
        soon(session).await.unwrap()
    }
}

fn head(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut head = Request::builder().uri(format!("https://localhost:1{path}"));
    for (name, value) in headers {
        head = head.header(*name, *value);
    }
    head.body(()).unwrap()
}

fn hello(token: &str) -> Bytes {
    ClientFrame::from(Hello {
        features: 0,
        agent: "test".into(),
        token: Some(Token::new(token).unwrap()),
    })
    .encode()
}

/// Says hello, and returns the control stream once the client was let in.
async fn welcomed(session: &Connection, token: &str) -> (FrameWriter, FrameReader) {
    let (send, recv) = soon(session.open_bi()).await.unwrap();
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(recv, 1 << 20));
    soon(writer.send(hello(token))).await.unwrap();
    let frame = soon(reader.next()).await.unwrap().unwrap();
    assert!(matches!(
        ServerFrame::decode(frame),
        Ok(ServerFrame::Welcome(_))
    ));
    (writer, reader)
}

fn closed(code: Code, reason: &str) -> ConnectionError {
    let reason = reason.into();
    ConnectionError::Closed { code, reason }
}

/// A stream of the connection, whatever it is in.
async fn raw(connection: &Connection, bytes: &'static [u8]) -> (SendStream, RecvStream) {
    let (mut send, recv) = soon(connection.open_bi()).await.unwrap();
    soon(send.write_all(&mut [bytes.into()])).await.unwrap();
    (send, recv)
}

// QP-15.2, QP-15.3.
#[tokio::test]
async fn other_paths_other_origins_and_other_requests_are_refused() {
    let rules = WebTransport::default();
    let rules = rules.origins(Origins::These(vec!["https://app.example".into()]));
    let server = server().web_transport(rules).await.unwrap();
    for (path, origin, status) in [
        ("/", None, 404),
        ("/qsse/2", None, 404),
        ("/qsse/1", Some("https://evil.example"), 403),
        ("/qsse/1", Some("null"), 403),
        ("/qsse/1", Some("https://app.example"), 200),
        ("/qsse/1", None, 200),
    ] {
        let dialled = dial(&server).await;
        let client = dialled.client().await;
        let headers: Vec<_> = origin
            .map(|origin| ("origin", origin))
            .into_iter()
            .collect();
        let exchange = soon(client.session(head(path, &headers))).await.unwrap();
        let (answer, _body, _send) = soon(exchange.begin()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path} {origin:?}");
    }
    let dialled = dial(&server).await;
    let client = dialled.client().await;
    let exchange = soon(client.request(head("/qsse/1", &[]))).await.unwrap();
    let (answer, mut body) = soon(exchange.answer()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let text = soon(body.next()).await.unwrap().unwrap();
    assert!(str::from_utf8(&text).unwrap().contains("/qsse/1"));

    let dialled = dial(&server).await;
    let refused = soon(dialled.connection.open_session("localhost:1", "/other")).await;
    let refused = refused.err().unwrap();
    assert!(matches!(
        refused,
        ConnectError::SessionRefused { status: 404, .. }
    ));
    assert!(!refused.is_retryable());
}

#[tokio::test]
async fn a_server_without_sessions_offers_no_http3() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let refused = Client::connect(server.url())
        .dialect(Dialect::WebTransport)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("--http"), "{refused}");
}

// QP-15.8.
#[tokio::test]
async fn a_connection_has_one_session() {
    let server = server().await.unwrap();
    let dialled = dial(&server).await;
    let client = dialled.client().await;
    let first = soon(client.session(head("/qsse/1", &[]))).await.unwrap();
    let (answer, _body, _send) = soon(first.begin()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let second = soon(client.session(head("/qsse/1", &[]))).await.unwrap();
    let (answer, _body2, _send2) = soon(second.begin()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    // The first one goes on: request 0, whose streams begin with 0x4041 and 0.
    let (mut send, recv) = raw(&dialled.connection, &[0x40, 0x41, 0]).await;
    soon(send.write_all(&mut [hello("ada")])).await.unwrap();
    let frame = soon(FrameReader::new(recv, 1 << 20).next()).await;
    let frame = frame.unwrap().unwrap();
    assert!(matches!(
        ServerFrame::decode(frame),
        Ok(ServerFrame::Welcome(_))
    ));
}

// QP-15.8.
#[tokio::test]
async fn streams_wait_for_their_session_and_those_of_no_session_are_refused() {
    let server = server().await.unwrap();
    let dialled = dial(&server).await;
    // The stream 0 is of a session that stream 4 will ask for.
    let (mut send, recv) = raw(&dialled.connection, &[0x40, 0x41, 4]).await;
    soon(send.write_all(&mut [hello("ada")])).await.unwrap();
    let client = dialled.client().await;
    let exchange = soon(client.session(head("/qsse/1", &[]))).await.unwrap();
    let (answer, _body, _send) = soon(exchange.begin()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let frame = soon(FrameReader::new(recv, 1 << 20).next()).await;
    let frame = frame.unwrap().unwrap();
    assert!(matches!(
        ServerFrame::decode(frame),
        Ok(ServerFrame::Welcome(_))
    ));

    let (_other, mut recv) = raw(&dialled.connection, &[0x40, 0x41, 0x40, 100]).await;
    let refused = soon(recv.read_chunk()).await;
    assert_eq!(refused, Err(ReadError::Reset(Code::new(0x170d_7b68))));
}

/// A session, as its client sees the stream that opened it.
struct ByHand {
    _control: (SendStream, FrameReader),
    _dialled: Dialled,
    _client: http3::Client,
    body: http3::RecvBody,
    send: http3::SendBody,
}

async fn by_hand(server: &Server) -> ByHand {
    let dialled = dial(server).await;
    let client = dialled.client().await;
    let exchange = soon(client.session(head("/qsse/1", &[]))).await.unwrap();
    let (answer, body, send) = soon(exchange.begin()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let (mut stream, recv) = raw(&dialled.connection, &[0x40, 0x41, 0]).await;
    soon(stream.write_all(&mut [hello("ada")])).await.unwrap();
    let mut reader = FrameReader::new(recv, 1 << 20);
    assert!(soon(reader.next()).await.unwrap().is_some());
    ByHand {
        _control: (stream, reader),
        _dialled: dialled,
        _client: client,
        body,
        send,
    }
}

// QP-15.7.
#[tokio::test]
async fn capsules_without_meaning_are_skipped_and_any_end_of_the_stream_ends_the_session() {
    let server = server().await.unwrap();
    let huge = [&[0x17][..], &[0xff; 8], &[0; 1_000]].concat();
    let mut hand = by_hand(&server).await;
    soon(hand.send.send([Bytes::from(huge)])).await.unwrap();
    for _ in 0..100 {
        let zeros = Bytes::from_static(&[0; 10_000]);
        soon(hand.send.send([zeros])).await.unwrap();
    }
    assert_eq!(server.connections().len(), 1);
    hand.send.reset(Code::new(0x10c));
    until(|| server.connections().is_empty()).await;

    let hand = by_hand(&server).await;
    // The server may close the connection before it acknowledges the end.
    let _ = soon(hand.send.finish()).await;
    until(|| server.connections().is_empty()).await;

    let mut hand = by_hand(&server).await;
    let close = [0x68, 0x43, 5, 0, 0, 0, 0, b'x'];
    soon(hand.send.send([Bytes::copy_from_slice(&close)]))
        .await
        .unwrap();
    until(|| server.connections().is_empty()).await;

    // One of a length that no close can have: the server answers with a close.
    let mut hand = by_hand(&server).await;
    let bad = [0x68, 0x43, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    soon(hand.send.send([Bytes::copy_from_slice(&bad)]))
        .await
        .unwrap();
    let told = soon(hand.body.next()).await.unwrap().unwrap();
    assert_eq!(told[..2], [0x68, 0x43]);
    assert_eq!(told[3..7], [0, 0, 0, 16], "PROTOCOL_VIOLATION");
    until(|| server.connections().is_empty()).await;
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_nothing_behind() {
    let server = server().await.unwrap();
    let dialled = dial(&server).await;
    let session = dialled.session().await;
    let control = welcomed(&session, "ada").await;
    assert_eq!(server.connections()[0].protocol, "wt");
    drop((control, session, dialled));
    until(|| server.connection_count() == 0).await;

    let dialled = dial(&server).await;
    let session = dialled.session().await;
    let _control = welcomed(&session, "ada").await;
    session.close(Code::NO_ERROR, "done");
    until(|| server.connection_count() == 0).await;
}

// QP-15.7.
#[tokio::test]
async fn the_server_ends_a_session_with_its_code_and_reason() {
    let server = server().await.unwrap();
    let dialled = dial(&server).await;
    let session = dialled.session().await;
    let (_writer, mut reader) = welcomed(&session, "ada").await;
    server.revoke(&Revocation::principal("ada")).unwrap();
    let ended = soon(session.closed()).await;
    assert!(
        matches!(&ended, ConnectionError::Closed { code: Code::NOT_AUTHORISED, reason } if !reason.is_empty())
    );
    let read = soon(reader.next()).await;
    assert!(read.is_err());
    assert_eq!(session.close_reason(), Some(ended));

    let dialled = dial(&server).await;
    let session = dialled.session().await;
    let _control = welcomed(&session, "brief").await;
    let ended = soon(session.closed()).await;
    assert!(matches!(
        ended,
        ConnectionError::Closed {
            code: Code::TOKEN_EXPIRED,
            ..
        }
    ));

    let dialled = dial(&server).await;
    let session = dialled.session().await;
    let _control = welcomed(&session, "bob").await;
    let drained = server.shutdown(Duration::from_secs(20));
    let read = async {
        // It says goodbye; the client leaves.
        session.close(Code::NO_ERROR, "");
    };
    soon(async { tokio::join!(drained, read) }).await;
}

// QP-15.9.
#[tokio::test]
async fn settings_request_and_hello_have_one_deadline() {
    let mut config = Config::default();
    config.hello_timeout = Duration::from_millis(300);
    let server = server().config(config).await.unwrap();
    let silent = dial(&server).await;
    let without_request = dial(&server).await;
    let _client = without_request.client().await;
    let without_hello = dial(&server).await;
    let session = without_hello.session().await;
    for connection in [&silent.connection, &without_request.connection] {
        let ended = soon(connection.closed()).await;
        assert!(
            matches!(
                ended,
                ConnectionError::Closed {
                    code: Code::HELLO_TIMEOUT,
                    ..
                }
            ),
            "{ended:?}"
        );
    }
    let ended = soon(session.closed()).await;
    assert_eq!(ended, closed(Code::HELLO_TIMEOUT, "no Hello came in time"));
}

#[tokio::test]
async fn no_acknowledged_event_is_lost_when_sessions_end_in_the_middle() {
    let server = server().await.unwrap();
    let client = connect(&server).token("ada").await.unwrap();
    let cutting = {
        let server = server.clone();
        tokio::spawn(async move {
            let mut cut = 0;
            while cut < 5 {
                for connection in server.connections() {
                    cut += u32::from(server.close_connection(connection.id));
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
    };
    let mut acknowledged = HashSet::new();
    let mut n = 0;
    while !cutting.is_finished() || n < 200 {
        let data = n.to_string();
        if soon(client.publish("a", &data).into_future()).await.is_ok() {
            acknowledged.insert(data);
        }
        n += 1;
    }
    let mut events = server.subscribe("a").start(Start::Earliest).await.unwrap();
    let mut seen = HashSet::new();
    while !acknowledged.is_subset(&seen) {
        let event = soon(events.try_next()).await.unwrap().unwrap();
        assert!(
            seen.insert(event.text().unwrap().to_owned()),
            "twice: {event:?}"
        );
    }
}

/// A client over WebTransport that trusts the server's certificates.
fn connect(server: &Server) -> Connect {
    let connect = Client::connect(server.url()).dialect(Dialect::WebTransport);
    let others = server.browser_fingerprints().into_iter();
    others.fold(connect, Connect::fingerprint)
}
