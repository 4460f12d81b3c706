//! The routes over HTTP/3, on the UDP port of the same number.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use common::{PATIENCE, server};
use qsse_http::{Http, Listener, ListenerLimits};
use qsse_proto::H3_ALPN;
use qsse_server::transport::http3::http::Request;
use qsse_server::transport::http3::{Client, RecvBody, RequestError, Settings};
use qsse_server::transport::tls::ClientTls;
use qsse_server::transport::{ClientEndpoint, Connection, TransportConfig};
use qsse_server::{Server, ServerTls};
use tokio::task::JoinHandle;
use tokio::time::timeout;

mod common;

struct Hub {
    server: Server,
    address: SocketAddr,
    tls: ClientTls,
    serving: JoinHandle<()>,
}

impl Hub {
    async fn start(limits: ListenerLimits) -> Self {
        let server = server().await.unwrap();
        let tls = ServerTls::self_signed(["localhost"]).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::tls_and_http3(any, &tls).await.unwrap();
        let listener = listener.limits(limits);
        let address = listener.local_addr().unwrap();
        let router = Http::new(server.clone()).router();
        let serving = tokio::spawn(listener.serve(server.clone(), router));
        let pins = tls
            .browser_fingerprints()
            .into_iter()
            .chain(tls.fingerprint());
        let tls = ClientTls::pinned(pins).with_alpn([H3_ALPN]);
        Self {
            server,
            address,
            tls,
            serving,
        }
    }

    async fn client(&self) -> H3 {
        let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = TransportConfig::client();
        let connected = endpoint.connect(self.address, "localhost", &self.tls, &config);
        let connection = timeout(PATIENCE, connected).await.unwrap().unwrap();
        let settings = Settings::default();
        let client = Client::connect(&connection, &settings);
        let client = timeout(PATIENCE, client).await.unwrap().unwrap();
        H3 {
            client,
            connection,
            _endpoint: endpoint,
        }
    }
}

struct H3 {
    client: Client,
    connection: Connection,
    _endpoint: ClientEndpoint,
}

/// An answer and what was read of its body.
struct Answer {
    status: u16,
    head: qsse_server::transport::http3::http::Response<()>,
    body: RecvBody,
    text: String,
}

impl H3 {
    async fn send(&self, method: &str, path: &str, body: &str) -> Result<Answer, RequestError> {
        let head = Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"));
        let asked = async {
            let mut exchange = self.client.request(head.body(()).unwrap()).await?;
            exchange.body.send([body.to_owned().into()]).await?;
            exchange.answer().await
        };
        let (head, body) = timeout(PATIENCE, asked).await.expect("an answer")?;
        Ok(Answer {
            status: head.status().as_u16(),
            head,
            body,
            text: String::new(),
        })
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await.unwrap()
    }
}

impl Answer {
    /// Reads until the body has this text, and returns all that was read.
    async fn until(&mut self, part: &str) -> &str {
        while !self.text.contains(part) {
            let bytes = timeout(PATIENCE, self.body.next()).await.unwrap().unwrap();
            let bytes = bytes.unwrap_or_else(|| panic!("{part:?} in {:?}", self.text));
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        &self.text
    }

    async fn whole(mut self) -> String {
        while let Some(bytes) = timeout(PATIENCE, self.body.next()).await.unwrap().unwrap() {
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        self.text
    }
}

#[tokio::test]
async fn every_route_answers_over_http3() {
    let hub = Hub::start(ListenerLimits::default()).await;
    let client = hub.client().await;
    let mut events = client.get("/events?topic=ride.*&format=json").await;
    assert_eq!(events.status, 200);
    assert_eq!(events.head.headers()["content-type"], "text/event-stream");
    let published = client.send("POST", "/publish/ride.7", "Ada").await.unwrap();
    let published = published.whole().await;
    assert!(published.starts_with("{\"id\":\""), "{published}");
    events.until("\"data\":\"Ada\"").await;

    let lines = "{\"topic\":\"ride.8\",\"data\":\"a\"}\n{\"topic\":\"ride.8\",\"data\":\"b\"}\n";
    let lines = client.send("POST", "/publish", lines).await.unwrap();
    assert!(lines.whole().await.contains("\"count\":2"));
    events.until("\"data\":\"b\"").await;
    let reached = client.send("POST", "/publish-matching/ride.*", "all").await;
    assert_eq!(reached.unwrap().status, 200);
    events.until("\"data\":\"all\"").await;

    let last = client.get("/topics/ride.7/last").await;
    assert!(last.head.headers().contains_key("etag"));
    let length = last.head.headers()["content-length"].to_str().unwrap();
    let length: usize = length.parse().unwrap();
    assert_eq!(last.whole().await.len(), length);
    assert!(client.get("/topics").await.whole().await.contains("ride.8"));
    assert_eq!(client.get("/nothing").await.status, 404);
    assert_eq!(client.send("PUT", "/events", "").await.unwrap().status, 405);
}

#[tokio::test]
async fn a_client_that_goes_gives_up_its_subscriptions() {
    let hub = Hub::start(ListenerLimits::default()).await;
    let client = hub.client().await;
    let until = |count: usize| {
        let server = hub.server.clone();
        async move {
            let counted = async {
                while server.status().subscriptions != count {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(PATIENCE, counted).await.expect("the count");
        }
    };
    let (one, two) = (
        client.get("/events?topic=a").await,
        client.get("/events?topic=b").await,
    );
    until(2).await;
    drop(one);
    until(1).await;
    client.connection.close(qsse_server::Code::NO_ERROR, "");
    until(0).await;
    drop(two);
}

#[tokio::test]
async fn a_drain_ends_streams_and_then_the_connection() {
    let hub = Hub::start(ListenerLimits::default()).await;
    let client = hub.client().await;
    let mut events = client.get("/events?topic=a").await;
    hub.server.publish("a", "the last").await.unwrap();
    events.until("the last").await;
    hub.server.shutdown(Duration::from_secs(5)).await;
    let rest = events.whole().await;
    assert!(rest.contains("qsse.end"), "{rest}");
    timeout(PATIENCE, client.connection.closed()).await.unwrap();
    timeout(PATIENCE, hub.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_without_a_request_ends() {
    let limits = ListenerLimits::default().head_timeout(Duration::from_millis(50));
    let hub = Hub::start(limits).await;
    let silent = hub.client().await;
    timeout(PATIENCE, silent.connection.closed()).await.unwrap();
}

#[tokio::test]
async fn a_part_of_a_body_is_not_published() {
    let hub = Hub::start(ListenerLimits::default()).await;
    let client = hub.client().await;
    let head = Request::post("https://localhost/publish/a").header("content-length", 8);
    let mut exchange = client.client.request(head.body(()).unwrap()).await.unwrap();
    exchange.body.send(["half".into()]).await.unwrap();
    let answer = timeout(PATIENCE, exchange.answer()).await.unwrap().unwrap();
    assert_eq!(answer.0.status().as_u16(), 400);
    assert_eq!(client.get("/topics/a/last").await.status, 404);
}
