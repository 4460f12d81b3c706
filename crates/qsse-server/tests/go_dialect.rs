//! Clients of the Go library, spoken by hand.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use qsse_proto::Code;
use qsse_proto::go::{EVENT_LINE_BYTES, ErrorData, EventLine, LineDecoder, OFFER_BYTES, Offer};
use qsse_server::{
    Authenticator, Config, Credentials, Denied, LogConfig, Principal, Server, ServerBuilder, Start,
};
use qsse_transport::tls::ClientTls;
use qsse_transport::{
    ClientEndpoint, Connection, ReadError, RecvStream, SendStream, TransportConfig,
};
use support::{RawClient, close_code};

/// A server that knows both dialects.
fn server() -> ServerBuilder {
    support::server().go_dialect(true)
}

/// A connection in the Go dialect, on which nothing was said.
struct Raw {
    connection: Connection,
    _endpoint: ClientEndpoint,
}

impl Raw {
    async fn open(server: &Server) -> Self {
        let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let trust = ClientTls::pinned([server.fingerprint().unwrap()]);
        let trust = trust.with_alpn([qsse_proto::GO_ALPN]);
        let config = TransportConfig::client();
        let connection = endpoint.connect(server.local_addr(), "localhost", &trust, &config);
        Self {
            connection: connection.await.unwrap(),
            _endpoint: endpoint,
        }
    }

    /// Writes bytes on the stream of the offer.
    async fn write(&self, bytes: impl Into<Bytes>) -> SendStream {
        let mut stream = self.connection.open_uni().await.unwrap();
        let mut chunks = [bytes.into()].into();
        while !std::collections::VecDeque::is_empty(&chunks) {
            if stream.write_queue(&mut chunks).await.is_err() {
                break;
            }
        }
        stream
    }

    /// Sends an offer and takes the stream that comes.
    async fn offer(server: &Server, token: &str, topics: &[&str]) -> GoClient {
        let raw = Self::open(server).await;
        let line = Offer::new(token, topics.iter().copied()).to_line();
        raw.write(line).await.finish();
        let stream = raw.connection.accept_uni().await.unwrap();
        GoClient {
            raw,
            stream,
            lines: LineDecoder::new(EVENT_LINE_BYTES),
        }
    }

    /// Sends bytes as an offer and waits for the close.
    async fn refused(server: &Server, bytes: impl Into<Bytes>) -> Code {
        let raw = Self::open(server).await;
        let mut stream = raw.write(bytes).await;
        stream.finish();
        close_code(&raw.connection).await
    }
}

/// A client that was let in.
struct GoClient {
    raw: Raw,
    stream: RecvStream,
    lines: LineDecoder,
}

impl GoClient {
    async fn line(&mut self) -> Result<Option<EventLine>, ReadError> {
        loop {
            if let Some(line) = self.lines.next().unwrap() {
                return Ok(Some(EventLine::parse(&line).unwrap()));
            }
            match self.stream.read_chunk().await? {
                Some(chunk) => self.lines.push(chunk),
                None => return Ok(None),
            }
        }
    }

    async fn event(&mut self) -> EventLine {
        self.line().await.unwrap().expect("the stream is open")
    }

    async fn error(&mut self) -> ErrorData {
        let event = self.event().await;
        event
            .as_error()
            .unwrap_or_else(|| panic!("an error, not {event:?}"))
    }
}

#[tokio::test]
async fn events_come_as_lines_in_order() {
    let server = server().await.unwrap();
    let mut client = Raw::offer(&server, "", &["people", "ride.*"]).await;
    for n in 0..2_000_u32 {
        server.try_publish("ride.7", n.to_string()).unwrap();
    }
    server.try_publish("other", "no").unwrap();
    let every_byte: Vec<u8> = (0..=255).collect();
    server.try_publish("people", &every_byte).unwrap();
    server.try_publish("people", "").unwrap();
    for n in 0..2_000_u32 {
        assert_eq!(
            client.event().await,
            EventLine::new("ride.7", n.to_string())
        );
    }
    assert_eq!(client.event().await, EventLine::new("people", every_byte));
    assert_eq!(client.event().await, EventLine::new("people", ""));
}

#[tokio::test]
async fn the_stream_shows_before_the_first_event_and_begins_with_a_space() {
    let server = server().await.unwrap();
    let mut client = Raw::offer(&server, "", &["people"]).await;
    let first = client.stream.read_chunk().await.unwrap().unwrap();
    assert_eq!(&first[..], b" ");
}

#[tokio::test]
async fn the_largest_event_passes() {
    let server = server().await.unwrap();
    let mut client = Raw::offer(&server, "", &["*"]).await;
    let data: Vec<u8> = (0..1_u32 << 20).map(|n| n as u8).collect();
    server.try_publish("large", &data).unwrap();
    assert_eq!(client.event().await.data(), &data);
}

#[tokio::test]
async fn a_server_without_the_dialect_does_not_speak_it() {
    let server = support::server().await.unwrap();
    let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let trust = ClientTls::pinned([server.fingerprint().unwrap()]);
    let trust = trust.with_alpn([qsse_proto::GO_ALPN]);
    let config = TransportConfig::client();
    let result = endpoint.connect(server.local_addr(), "localhost", &trust, &config);
    assert!(result.await.is_err());
}

#[tokio::test]
async fn both_dialects_are_served_on_one_port() {
    let server = server().await.unwrap();
    let mut go = Raw::offer(&server, "", &["people"]).await;
    let mut raw = RawClient::connect(&server).await;
    let mut frames = raw.subscribe(1, &["people"], Start::Live).await;
    server.try_publish("people", "Ada").unwrap();
    assert_eq!(go.event().await, EventLine::new("people", "Ada"));
    assert_eq!(&frames.event().await.data()[..], b"Ada");
}

#[tokio::test]
async fn a_refused_token_closes_with_code_1() {
    let server = server()
        .authenticator_fn(|token| token == "right")
        .await
        .unwrap();
    let offer = |token| Offer::new(token, ["people"]).to_line();
    assert_eq!(
        Raw::refused(&server, offer("wrong")).await,
        Code::NOT_AUTHORISED
    );
    assert_eq!(Raw::refused(&server, offer("")).await, Code::NOT_AUTHORISED);
    let mut client = Raw::offer(&server, "right", &["people"]).await;
    server.try_publish("people", "Ada").unwrap();
    assert_eq!(client.event().await.topic(), "people");
}

#[tokio::test]
async fn refused_topics_are_told_and_the_others_are_served() {
    let server = server()
        .topics(["people", "secret", "ride.*"])
        .authorizer_fn(|token, topic| token == "right" && topic != "secret")
        .await
        .unwrap();
    let topics = ["secret", "cars", "ride.x*", "", "*.*.*.*.*.*", "people"];
    let mut client = Raw::offer(&server, "right", &topics).await;
    let mut refused = Vec::new();
    for _ in 0..5 {
        let error = client.error().await;
        refused.push((error.topic().unwrap().to_owned(), error.code()));
    }
    let expected = [
        ("secret", Code::NOT_AUTHORISED),
        ("cars", Code::TOPIC_NOT_AVAILABLE),
        ("ride.x*", Code::TOPIC_NOT_AVAILABLE),
        ("", Code::TOPIC_NOT_AVAILABLE),
        ("*.*.*.*.*.*", Code::TOPIC_NOT_AVAILABLE),
    ];
    assert_eq!(
        refused,
        expected.map(|(topic, code)| (topic.to_owned(), code))
    );
    server.try_publish("people", "Ada").unwrap();
    assert_eq!(client.event().await, EventLine::new("people", "Ada"));
}

#[tokio::test]
async fn a_client_without_a_topic_that_is_let_in_stays_connected() {
    let server = server().topics(["people"]).await.unwrap();
    let mut nothing = Raw::offer(&server, "", &[]).await;
    let mut refused = Raw::offer(&server, "", &["cars"]).await;
    assert_eq!(refused.error().await.code(), Code::TOPIC_NOT_AVAILABLE);
    let drained = server.shutdown(Duration::from_secs(5));
    let ends = async {
        assert!(
            nothing.line().await.unwrap().is_none(),
            "a drained stream ends"
        );
        assert!(
            refused.line().await.unwrap().is_none(),
            "a drained stream ends"
        );
        nothing.raw.connection.close(Code::NO_ERROR, "");
        refused.raw.connection.close(Code::NO_ERROR, "");
    };
    tokio::join!(drained, ends);
}

#[tokio::test]
async fn a_wildcard_never_yields_what_may_not_be_read_by_name() {
    let server = server()
        .authorizer_fn(|_, topic| topic != "ride.secret")
        .await
        .unwrap();
    let mut client = Raw::offer(&server, "", &["ride.*"]).await;
    server.try_publish("ride.secret", "no").unwrap();
    server.try_publish("ride.7", "yes").unwrap();
    assert_eq!(client.event().await, EventLine::new("ride.7", "yes"));
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn a_subscription_with_everything_denied_is_counted() {
    // As an authorizer is that was written for the Go library, which asks it for patterns.
    let server = server()
        .authorizer_fn(|_, topic| topic == "ride.*")
        .await
        .unwrap();
    let _client = Raw::offer(&server, "", &["ride.*"]).await;
    server.try_publish("ride.7", "hidden").unwrap();
    metric(
        &server,
        r#"qsse_qsse_refused{what="events",code="not authorised"} 1"#,
    )
    .await;
    metric(&server, "qsse_qsse_go_connections 1").await;
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn events_on_the_topic_of_errors_are_left_out_and_counted() {
    let server = server().await.unwrap();
    let mut client = Raw::offer(&server, "", &["*"]).await;
    server.try_publish("error", "not sent").unwrap();
    server.try_publish("people", "sent").unwrap();
    assert_eq!(client.event().await, EventLine::new("people", "sent"));
    metric(&server, "qsse_qsse_go_unsent_events 1").await;
    metric(&server, "qsse_qsse_delivered_events 1").await;
}

#[cfg(feature = "prometheus")]
async fn metric(server: &Server, line: &str) {
    let seen = async {
        while !server.metrics_text().lines().any(|own| own == line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(10), seen).await;
    assert!(found.is_ok(), "{line} in\n{}", server.metrics_text());
}

#[tokio::test]
async fn a_client_below_the_history_is_told_and_goes_on() {
    let log = LogConfig::default()
        .feed_bytes(16 << 10)
        .history_bytes(64 << 10);
    let config = Config::default().log(log).go_dialect(true);
    let server = support::server().config(config).await.unwrap();
    let mut client = Raw::offer(&server, "", &["*"]).await;
    let data = [7; 1_000];
    // More than the windows between here and there hold.
    for _ in 0..4_000 {
        server.try_publish("people", data).unwrap();
        tokio::task::yield_now().await;
    }
    server.try_publish("people", "last").unwrap();
    let (mut lost, mut events) = (0, 0);
    loop {
        let line = client.event().await;
        if let Some(error) = line.as_error() {
            assert_eq!((error.code(), error.is_lost()), (Code::UNKNOWN, true));
            lost += 1;
        } else if line.data() == "last" {
            break;
        } else {
            events += 1;
        }
    }
    assert!(lost > 0, "a loss is told");
    assert!(events > 0 && events < 4_000, "{events}");
}

#[tokio::test]
async fn hostile_offers_are_refused() {
    let server = server().await.unwrap();
    let deep = format!("{{\"topics\":{}", "[".repeat(OFFER_BYTES - 100));
    let nested = format!("{{\"a\":{}{}}}\n", "[".repeat(200), "]".repeat(200));
    let offers: [&[u8]; 12] = [
        b"",
        b"\n",
        b"{",
        b"not json\n",
        b"\xff\xfe\n",
        b"[]\n",
        b"{\"topics\":7}\n",
        b"{\"topics\":[7]}\n",
        b"{\"token\":{}}\n",
        b"{\"token\":\"a\",\"token\":\"b\"}\n",
        deep.as_bytes(),
        nested.as_bytes(),
    ];
    for offer in offers {
        let code = Raw::refused(&server, Bytes::copy_from_slice(offer)).await;
        assert_eq!(
            code,
            Code::PROTOCOL_VIOLATION,
            "{:?}",
            String::from_utf8_lossy(offer)
        );
    }
    let many = Offer::new("", (0..1_025).map(|n| n.to_string())).to_line();
    assert_eq!(Raw::refused(&server, many).await, Code::PROTOCOL_VIOLATION);
    let endless = Raw::refused(&server, vec![b' '; OFFER_BYTES + 1]).await;
    assert_eq!(endless, Code::FRAME_TOO_LARGE);
}

#[tokio::test]
async fn an_offer_without_an_end_is_refused_before_it_is_kept() {
    let server = server().await.unwrap();
    let raw = Raw::open(&server).await;
    let mut stream = raw.connection.open_uni().await.unwrap();
    let topic = Bytes::from_static(b"\"0123456789abcdef\",");
    let start = Bytes::from_static(b"{\"topics\":[");
    let mut chunks = std::collections::VecDeque::from([start]);
    let mut sent = 0;
    // A gibibyte of topics, if it were taken.
    while sent < 1 << 30 {
        chunks.extend(std::iter::repeat_n(topic.clone(), 1_000));
        match stream.write_queue(&mut chunks).await {
            Ok(bytes) => sent += bytes,
            Err(_) => break,
        }
    }
    assert!(sent < 4 << 20, "{sent} bytes were taken");
    assert_eq!(close_code(&raw.connection).await, Code::FRAME_TOO_LARGE);
}

#[tokio::test]
async fn an_offer_that_does_not_come_ends_the_connection() {
    let config = Config::default()
        .hello_timeout(Duration::from_millis(50))
        .go_dialect(true);
    let server = support::server().config(config).await.unwrap();
    let silent = Raw::open(&server).await;
    let half = Raw::open(&server).await;
    let _stream = half.write("{\"topics\":[").await;
    assert_eq!(close_code(&silent.connection).await, Code::HELLO_TIMEOUT);
    assert_eq!(close_code(&half.connection).await, Code::HELLO_TIMEOUT);
}

#[tokio::test]
async fn a_line_may_end_with_its_stream_and_unknown_fields_are_nothing() {
    let server = server().await.unwrap();
    let raw = Raw::open(&server).await;
    let offer: &[u8] = b" {\"topics\":[\"people\"],\"token\":null,\"more\":{\"a\":[1]}}";
    raw.write(Bytes::from_static(offer)).await.finish();
    let stream = raw.connection.accept_uni().await.unwrap();
    let lines = LineDecoder::new(EVENT_LINE_BYTES);
    let mut client = GoClient { raw, stream, lines };
    server.try_publish("people", "Ada").unwrap();
    assert_eq!(client.event().await.topic(), "people");
}

#[tokio::test]
async fn two_argument_authorizers_open_no_publishing() {
    let server = server().authorizer_fn(|_, _| true).await.unwrap();
    let client = RawClient::connect(&server).await;
    let mut publisher = client.publisher(true).await;
    publisher.queue("people", false, b"no");
    let refused = publisher.next().await;
    assert!(format!("{refused:?}").contains("Refused"), "{refused:?}");
}

/// Lets everybody in, for a moment.
struct Brief;

#[async_trait]
impl Authenticator for Brief {
    async fn authenticate(&self, _: Credentials<'_>) -> Result<Principal, Denied> {
        Ok(Principal::new("brief").valid_for(Duration::from_millis(50)))
    }
}

#[tokio::test]
async fn an_expired_token_closes_the_connection() {
    let server = server().authenticator(Brief).await.unwrap();
    let client = Raw::offer(&server, "t", &["people"]).await;
    assert_eq!(
        close_code(&client.raw.connection).await,
        Code::TOKEN_EXPIRED
    );
}

#[tokio::test]
async fn a_drain_writes_what_is_left_and_ends_the_stream() {
    let server = server().await.unwrap();
    let mut client = Raw::offer(&server, "", &["people"]).await;
    for n in 0..500_u32 {
        server.try_publish("people", n.to_string()).unwrap();
    }
    let reading = async {
        let mut count = 0;
        while let Some(event) = client.line().await.unwrap() {
            assert_eq!(event.data(), &count.to_string());
            count += 1;
        }
        client.raw.connection.close(Code::NO_ERROR, "");
        count
    };
    let (_, count) = tokio::join!(server.shutdown(Duration::from_secs(5)), reading);
    assert_eq!(count, 500);
}

#[tokio::test]
async fn a_client_that_goes_away_is_forgotten() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let authenticator = move |_: &str| {
        counter.fetch_add(1, Ordering::Relaxed);
        true
    };
    let server = server().authenticator_fn(authenticator).await.unwrap();
    let client = Raw::offer(&server, "", &["people"]).await;
    assert_eq!(
        (server.connection_count(), asked.load(Ordering::Relaxed)),
        (1, 1)
    );
    drop(client);
    let gone = async {
        while server.connection_count() > 0 {
            server.try_publish("people", "nobody").unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
}

/// QP-12.13.
#[tokio::test]
async fn a_quiet_client_without_keep_alive_stays_connected() {
    let transport = TransportConfig::server()
        .idle_timeout(Duration::from_millis(400))
        .keep_alive(Duration::from_millis(100));
    let config = Config::default().transport(transport).go_dialect(true);
    let server = support::server().config(config).await.unwrap();
    let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let trust = ClientTls::pinned([server.fingerprint().unwrap()]);
    let trust = trust.with_alpn([qsse_proto::GO_ALPN]);
    let mut silent = TransportConfig::client();
    silent.keep_alive = None;
    let connection = endpoint.connect(server.local_addr(), "localhost", &trust, &silent);
    let raw = Raw {
        connection: connection.await.unwrap(),
        _endpoint: endpoint,
    };
    raw.write(Offer::new("", ["people"]).to_line())
        .await
        .finish();
    let stream = raw.connection.accept_uni().await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(1_500), raw.connection.closed());
    assert!(
        quiet.await.is_err(),
        "still connected after several idle timeouts"
    );
    let lines = LineDecoder::new(EVENT_LINE_BYTES);
    let mut client = GoClient { raw, stream, lines };
    server.try_publish("people", "Ada").unwrap();
    assert_eq!(client.event().await.topic(), "people");
}

// QP-4.11
#[tokio::test]
async fn a_revoked_token_closes_the_connection_in_the_middle_of_the_history() {
    let server = server().authenticator_fn(|_| true).await.unwrap();
    let mut client = Raw::offer(&server, "t", &["people"]).await;
    server.try_publish("people", "one").unwrap();
    assert_eq!(client.event().await.data()[..], *b"one");
    let [connection] = &server.connections()[..] else {
        panic!("one connection");
    };
    assert_eq!(connection.protocol.as_bytes(), qsse_proto::GO_ALPN);
    assert_eq!(connection.subscriptions[0].filter.to_string(), "people");
    let token_id = connection.token_id.clone().unwrap();
    assert_eq!(
        server.revoke(&qsse_server::Revocation::token_id(token_id)),
        Ok(1)
    );
    server.try_publish("people", "two").unwrap();
    assert!(client.line().await.is_err());
    assert_eq!(
        close_code(&client.raw.connection).await,
        Code::NOT_AUTHORISED
    );
    let line = Offer::new("t", ["people"]).to_line();
    assert_eq!(Raw::refused(&server, line).await, Code::NOT_AUTHORISED);
}

#[tokio::test]
async fn a_token_that_is_refused_when_it_is_checked_again_closes_the_connection() {
    let accepts = Arc::new(AtomicUsize::new(1));
    let asked = Arc::clone(&accepts);
    let server = server()
        .authenticator_fn(move |_| asked.load(Ordering::Relaxed) == 1)
        .await
        .unwrap();
    let client = Raw::offer(&server, "t", &["people"]).await;
    server.recheck_clients();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(client.raw.connection.close_reason(), None);
    accepts.store(0, Ordering::Relaxed);
    server.recheck_clients();
    assert_eq!(
        close_code(&client.raw.connection).await,
        Code::NOT_AUTHORISED
    );
}

#[tokio::test]
async fn a_client_in_a_namespace_does_not_notice_it() {
    struct Tenant;

    #[async_trait]
    impl Authenticator for Tenant {
        async fn authenticate(&self, _: Credentials<'_>) -> Result<Principal, Denied> {
            Ok(Principal::new("ada").with_namespace("acme".parse().unwrap()))
        }
    }

    let server = server().authenticator(Tenant).await.unwrap();
    let mut client = Raw::offer(&server, "t", &["*", "ride..7"]).await;
    let refused = client.error().await;
    assert_eq!(refused.topic(), Some("ride..7"));
    for topic in ["other.people", "acme.error", "acme.people", "people"] {
        server.publish(topic, "x").await.unwrap();
    }
    // The dialect would take an event on `error` for an error of the server.
    assert_eq!(client.event().await.topic(), "people");
    server.publish("acme.ride.7", "x").await.unwrap();
    assert_eq!(client.event().await.topic(), "ride.7");
}
