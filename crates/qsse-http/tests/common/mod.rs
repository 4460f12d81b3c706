//! A server with its routes on loopback, and clients that speak HTTP.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use qsse_http::{Config, Http, Listener, ListenerLimits};
use qsse_server::{
    Authenticator, Credentials, Denied, Grants, Principal, Server, ServerBuilder, async_trait,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far above what anything takes, for tests that would otherwise hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Lets in anybody, who may do everything.
pub(crate) struct Anybody;

#[async_trait]
impl Authenticator for Anybody {
    async fn authenticate(&self, _: Credentials<'_>) -> Result<Principal, Denied> {
        Ok(Principal::anonymous().with_grants(Grants::everything()))
    }
}

/// Returns a server on loopback on which anybody may do everything.
pub(crate) fn server() -> ServerBuilder {
    Server::bind("127.0.0.1:0").authenticator(Anybody)
}

/// A server that answers HTTP.
pub(crate) struct Hub {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        Self::with(server(), Config::default()).await
    }

    pub(crate) async fn with(builder: ServerBuilder, config: Config) -> Self {
        Self::limited(builder, config, ListenerLimits::default()).await
    }

    pub(crate) async fn limited(
        builder: ServerBuilder,
        config: Config,
        limits: ListenerLimits,
    ) -> Self {
        let server = builder.await.unwrap();
        let listener = Listener::plain("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap()
            .limits(limits);
        let address = listener.local_addr().unwrap();
        let router = Http::new(server.clone()).config(config).router();
        let serving = tokio::spawn(listener.serve(server.clone(), router));
        Self {
            server,
            address,
            serving,
        }
    }

    /// Waits until the listener has ended a connection for this reason.
    pub(crate) async fn ended(&self, reason: &str) {
        let line = format!("qsse_qsse_http_connections_ended{{reason=\"{reason}\"}} ");
        let counted = async {
            loop {
                let metrics = self.server.metrics_text();
                let count = metrics.lines().find_map(|own| own.strip_prefix(&line));
                if count.is_some_and(|count| count != "0") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, counted)
            .await
            .unwrap_or_else(|_| panic!("no connection ended for {reason}"));
    }

    /// Waits until everything was sent after a drain.
    pub(crate) async fn served(self) {
        timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }

    pub(crate) async fn h1(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Client::H1(self.address, send)
    }

    pub(crate) async fn h2(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (send, connection) = shaken.await.unwrap();
        tokio::spawn(connection);
        Client::H2(self.address, send)
    }

    /// Returns a client of each version.
    pub(crate) async fn clients(&self) -> [Client; 2] {
        [self.h1().await, self.h2().await]
    }
}

/// A connection.
pub(crate) enum Client {
    H1(SocketAddr, http1::SendRequest<Body>),
    H2(SocketAddr, http2::SendRequest<Body>),
}

pub(crate) type Headers<'a> = &'a [(&'static str, &'a str)];

impl Client {
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Body>,
    ) -> Answer {
        let (Self::H1(address, _) | Self::H2(address, _)) = &*self;
        let mut request = Request::builder().method(method);
        request = match self {
            Self::H1(..) => request.uri(path).header("host", address.to_string()),
            Self::H2(..) => request.uri(format!("http://{address}{path}")),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let sent = async {
            match self {
                Self::H1(_, send) => send.send_request(request).await,
                Self::H2(_, send) => send.send_request(request).await,
            }
        };
        Answer {
            response: timeout(PATIENCE, sent).await.unwrap().unwrap(),
            text: String::new(),
        }
    }

    /// Waits until the server has ended the connection.
    pub(crate) async fn closed(&mut self) {
        let closed = async {
            loop {
                let is_closed = match self {
                    Self::H1(_, send) => send.is_closed(),
                    Self::H2(_, send) => send.is_closed(),
                };
                if is_closed {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, closed).await.expect("the server ends it");
    }

    /// Sends a request and drops the answer; `None` if the connection has ended.
    pub(crate) async fn try_get(&mut self, path: &str) -> Option<()> {
        let (Self::H1(address, _) | Self::H2(address, _)) = &*self;
        let request = Request::get(format!("http://{address}{path}"));
        let request = request.body(Body::empty()).unwrap();
        let sent = async {
            match self {
                Self::H1(_, send) => send.send_request(request).await,
                Self::H2(_, send) => send.send_request(request).await,
            }
        };
        timeout(PATIENCE, sent).await.unwrap().ok().map(drop)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn get_with(&mut self, path: &str, headers: Headers<'_>) -> Answer {
        self.send("GET", path, headers, Body::empty()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: impl Into<Body>) -> Answer {
        self.send("POST", path, &[], body).await
    }
}

/// An answer, whose body may go on.
pub(crate) struct Answer {
    response: Response<Incoming>,
    /// What was read and not taken.
    text: String,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers()
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    async fn read(&mut self) -> Option<Bytes> {
        let frame = self.response.body_mut().frame();
        let frame = timeout(PATIENCE, frame).await.expect("something comes");
        Some(frame?.unwrap().into_data().unwrap())
    }

    /// Takes text up to and with `end`; the rest, if the body ends before.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.text.find(end) {
                let rest = self.text.split_off(at + end.len());
                return std::mem::replace(&mut self.text, rest);
            }
            match self.read().await {
                Some(bytes) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                None => return std::mem::take(&mut self.text),
            }
        }
    }

    /// Takes the next block of a stream of server-sent events.
    pub(crate) async fn block(&mut self) -> String {
        self.until("\n\n").await
    }

    /// Takes the next block that dispatches an event.
    pub(crate) async fn event(&mut self) -> String {
        loop {
            let block = self.block().await;
            if block.contains("data:") || block.is_empty() {
                return block;
            }
        }
    }

    /// Takes the rest.
    pub(crate) async fn rest(&mut self) -> String {
        while let Some(bytes) = self.read().await {
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        std::mem::take(&mut self.text)
    }

    pub(crate) async fn json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.rest().await).unwrap()
    }
}
