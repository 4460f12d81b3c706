//! Recorded conversations of the Go library's own client and server, replayed against our server
//! and our client.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qsse_client::{Client, Code, Dialect, Item, Notice, Subscription, SubscriptionError};
use qsse_proto::go::{EventLine, Offer};
use qsse_server::Server;
use qsse_testing::figures::Figures;
use qsse_testing::fixtures;
use qsse_testing::transcript::Transcript;
use qsse_transport::{
    ClientEndpoint, Connection, ConnectionError, RecvStream, ServerEndpoint, TransportConfig,
};

const ALPN: [&str; 1] = ["PROTOCOL_QUIC"];

/// Every wait in these tests is for a condition; this only ends one that never comes.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it took a minute")
}

fn transcripts() -> Vec<(String, Transcript)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/go");
    let files = std::fs::read_dir(folder).unwrap();
    let mut all: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let transcript = std::fs::read_to_string(path).unwrap().parse().unwrap();
            (name, transcript)
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(all.len() >= 8, "{} transcripts", all.len());
    all
}

#[tokio::test]
async fn our_server_answers_the_go_client_as_the_go_server_did() {
    for (name, transcript) in transcripts() {
        soon(answer_the_client(&name, transcript)).await;
    }
}

async fn answer_the_client(name: &str, transcript: Transcript) {
    let Transcript {
        topics,
        token,
        denied,
        offer,
        published,
        answer,
        close,
    } = transcript;
    let figures = Figures::default();
    let mut server = Server::bind("127.0.0.1:0")
        .topics(topics)
        .tls(fixtures::server_tls())
        .authorizer_fn(move |_, topic| !denied.iter().any(|denied| denied == topic))
        .recorder(Arc::new(figures.clone()))
        .go_dialect(true);
    if let Some(right) = token {
        server = server.authenticator_fn(move |token| token == right);
    }
    let server = server.await.unwrap();

    let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let connection = endpoint
        .connect(
            server.local_addr(),
            fixtures::SERVER_NAME,
            &fixtures::client_tls().with_alpn(ALPN),
            &TransportConfig::client(),
        )
        .await
        .unwrap();
    send(&connection, &offer).await;
    if let Some((code, _)) = close {
        // The reason is for people; the code is what clients see.
        let ConnectionError::Closed { code: ours, .. } = connection.closed().await else {
            panic!("{name}: it ended otherwise");
        };
        assert_eq!(ours, Code::new(code), "{name}");
        return;
    }
    let mut stream = connection.accept_uni().await.unwrap();
    let mut lines = Lines::default();
    // Something comes at once, so that the Go client's constructor returns: a space, if there is no
    // error.
    lines.until(&mut stream, |bytes| !bytes.is_empty()).await;

    let expected: Vec<_> = answer.split_inclusive(|byte| *byte == b'\n').collect();
    let refused = expected.len() - published.len();
    let count = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    lines
        .until(&mut stream, |bytes| count(bytes) >= refused)
        .await;
    if !published.is_empty() {
        while figures.gauge("subscriptions", None) < 1.0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for (topic, data) in &published {
        server.publish(topic, data).await.unwrap();
    }
    let all = expected.len();
    lines.until(&mut stream, |bytes| count(bytes) >= all).await;
    let answered = lines.take();
    let answered = answered.split_inclusive(|byte| *byte == b'\n');
    let answered: Vec<_> = answered.filter(|line| line.ends_with(b"\n")).collect();
    assert_eq!(answered.len(), all, "{name}");
    for (ours, theirs) in answered.iter().zip(&expected) {
        same_line(name, ours, theirs);
    }
    // Once more has been delivered than was published, something went out twice.
    let delivered = figures.counter("delivered_events", None);
    assert!(
        delivered <= published.len() as u64,
        "{name}: {delivered} delivered"
    );
}

/// The same JSON, and where it is an error the same JSON in it. Spaces and escapes are the writer's
/// choice.
fn same_line(name: &str, ours: &[u8], theirs: &[u8]) {
    let json = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap();
    let (line, expected) = (EventLine::parse(ours), EventLine::parse(theirs));
    let (line, expected) = (line.unwrap(), expected.unwrap());
    if line.as_error().is_some() {
        assert_eq!(line.as_error(), expected.as_error(), "{name}");
        assert_eq!(json(line.data()), json(expected.data()), "{name}");
    } else {
        assert_eq!(json(ours), json(theirs), "{name}");
    }
}

#[tokio::test]
async fn our_client_understands_the_go_server() {
    for (name, transcript) in transcripts() {
        // Ours is never without a topic.
        if name != "no_topics" {
            soon(understand_the_server(&name, transcript)).await;
        }
    }
}

async fn understand_the_server(name: &str, transcript: Transcript) {
    let tls = fixtures::server_tls().with_alpn(ALPN);
    let config = TransportConfig::server();
    let server = ServerEndpoint::bind("127.0.0.1:0".parse().unwrap(), &tls, &config).unwrap();
    let offer = Offer::parse(&transcript.offer).unwrap();
    let client = Client::connect(server.local_addr().to_string())
        .tls(fixtures::client_tls())
        .dialect(Dialect::Go)
        .token(offer.token());
    let connect = async { client.await.unwrap() };
    let accept = async {
        let handshake = server.accept().await.unwrap();
        handshake.complete().await.unwrap()
    };
    let (client, connection) = tokio::join!(connect, accept);
    let mut subscription = client.subscribe(offer.topics()).await.unwrap();
    let mut stream = connection.accept_uni().await.unwrap();
    let mut lines = Lines::default();
    let whole = |bytes: &[u8]| bytes.ends_with(b"\n");
    lines.until(&mut stream, whole).await;
    let offered = Offer::parse(&lines.take()).unwrap();
    assert_eq!(offered.token(), offer.token(), "{name}");
    // Their order means nothing.
    let sorted = |offer: &Offer| BTreeSet::from_iter(offer.topics().to_vec());
    assert_eq!(sorted(&offered), sorted(&offer), "{name}");

    if let Some((code, reason)) = &transcript.close {
        connection.close(Code::new(*code), reason);
        let refused = subscription.next().await.unwrap().unwrap_err();
        assert!(refused.to_string().contains(reason), "{name}: {refused}");
        assert!(subscription.next().await.is_none(), "{name}");
        return;
    }
    let _stream = answer_with(&connection, &transcript.answer).await;
    let mut left = Offer::parse(&transcript.offer).unwrap().topics().len();
    for line in transcript.answer.split_inclusive(|byte| *byte == b'\n') {
        let line = EventLine::parse(line).unwrap();
        match line.as_error() {
            Some(error) => {
                left -= 1;
                let topic = error.data()["topic"].as_str().unwrap();
                refusal(name, &mut subscription, error.code(), topic, left == 0).await;
            }
            None => {
                let event = subscription.try_next().await.unwrap().unwrap();
                assert_eq!(event.topic().as_str(), line.topic(), "{name}");
                assert_eq!(event.data(), line.data(), "{name}");
            }
        }
    }
    if left == 0 {
        assert!(subscription.next().await.is_none(), "{name}");
    }
}

/// The next thing said is that this topic is refused, with that code; with the last one the
/// subscription ends.
async fn refusal(
    name: &str,
    subscription: &mut Subscription,
    code: Code,
    topic: &str,
    is_last: bool,
) {
    let refused = subscription.next_item().await.unwrap();
    let (named, told) = match &refused {
        Ok(Item::Notice(Notice::PatternRefused { pattern, code })) => {
            (!is_last && pattern == topic, Some(*code))
        }
        Err(end @ SubscriptionError::Refused { message, .. }) => {
            (is_last && message.contains(topic), end.code())
        }
        _ => (false, None),
    };
    assert!(named, "{name}: {refused:?}");
    assert_eq!(told, Some(code), "{name}");
}

async fn send(connection: &Connection, bytes: &[u8]) {
    answer_with(connection, bytes).await.finish();
}

/// A new stream with these bytes on it, left open.
async fn answer_with(connection: &Connection, bytes: &[u8]) -> qsse_transport::SendStream {
    let mut stream = connection.open_uni().await.unwrap();
    let mut chunks = [Bytes::copy_from_slice(bytes)];
    stream.write_all(&mut chunks).await.unwrap();
    stream
}

/// What has been read of a stream.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    async fn until(&mut self, stream: &mut RecvStream, enough: impl Fn(&[u8]) -> bool) {
        while !enough(&self.0) {
            let chunk = stream.read_chunk().await.unwrap();
            self.0.extend_from_slice(&chunk.expect("an open stream"));
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}
