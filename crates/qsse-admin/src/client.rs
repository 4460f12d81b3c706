//! [`Client`]: asks the administration of a server.

use std::io;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use qsse_server::ServerStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::address::Address;
use crate::api::{Closed, Connections, Reloaded, Revoke, Topics, Unrevoked};
use crate::problem::Problem;

/// The time for one request. A server needs less even for a slow reload.
const TIME: Duration = Duration::from_secs(30);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers there.
    #[error("no server is administered at {address}: {source}")]
    Connect {
        /// Where.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
    /// The server refused the request.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// The connection broke off, or the answer is not understood.
    #[error("the answer of {address} is not understood: {reason}")]
    Answer {
        /// Where.
        address: Address,
        /// What is wrong.
        reason: String,
    },
    /// There was no answer within 30 seconds.
    #[error("{0} does not answer")]
    Late(Address),
}

/// Asks the server that is administered at an address. Each request has a connection of its own.
#[derive(Clone)]
pub struct Client {
    address: Address,
    token: Option<String>,
}

impl Client {
    /// Makes a client. A port of loopback wants the admin token.
    pub fn new(address: Address, token: Option<String>) -> Self {
        Self { address, token }
    }

    /// Asks for the state of the server.
    ///
    /// # Errors
    /// There is no server, it refuses, or it does not answer within 30 s.
    pub async fn status(&self) -> Result<ServerStatus, ClientError> {
        self.request(Method::GET, "/status", &()).await
    }

    /// Asks for the clients that were let in.
    ///
    /// # Errors
    /// There is no server, it refuses, or it does not answer within 30 s.
    pub async fn connections(&self) -> Result<Connections, ClientError> {
        self.request(Method::GET, "/connections", &()).await
    }

    /// Asks for the topics that match a pattern.
    ///
    /// # Errors
    /// There is no server, it refuses, or it does not answer within 30 s.
    pub async fn topics(
        &self,
        pattern: &qsse_topic::Pattern,
        limit: usize,
    ) -> Result<Topics, ClientError> {
        let pattern = query_value(pattern.as_str());
        let path = format!("/topics?match={pattern}&limit={limit}");
        self.request(Method::GET, &path, &()).await
    }

    /// Closes a connection.
    ///
    /// # Errors
    /// There is no server, it refuses, or it does not answer within 30 s.
    pub async fn close(&self, id: u64) -> Result<Closed, ClientError> {
        let path = format!("/connections/{id}/close");
        self.request(Method::POST, &path, &()).await
    }

    /// Revokes tokens.
    ///
    /// # Errors
    /// There is no server, it refuses, or it does not answer within 30 s.
    pub async fn revoke(&self, revoke: &Revoke) -> Result<Closed, ClientError> {
        self.request(Method::POST, "/revoke", revoke).await
    }

    /// Takes a revocation back.
    ///
    /// # Errors
    /// There is no server, it refuses, or it does not answer within 30 s.
    pub async fn unrevoke(&self, revoke: &Revoke) -> Result<Unrevoked, ClientError> {
        self.request(Method::POST, "/unrevoke", revoke).await
    }

    /// Begins to drain the server.
    ///
    /// # Errors
    /// There is no server, it refuses, or it does not answer within 30 s.
    pub async fn drain(&self) -> Result<(), ClientError> {
        self.request(Method::POST, "/drain", &()).await
    }

    /// Lets the server read its configuration again.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if nothing was changed, and as for any other request.
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.request(Method::POST, "/reload", &()).await
    }

    /// Sends a request and reads the answer, both as JSON. The unit type stands for an empty body.
    ///
    /// # Errors
    /// [`ClientError`].
    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let answer = tokio::time::timeout(TIME, self.exchange(method, path, body));
        let late = |_| ClientError::Late(self.address.clone());
        let (status, bytes) = answer.await.map_err(late)??;
        if !status.is_success() {
            let plain = || Problem::new(status, String::from_utf8_lossy(&bytes).trim_end());
            let problem = serde_json::from_slice(&bytes).unwrap_or_else(|_| plain());
            return Err(ClientError::Refused(problem));
        }
        let json: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(json).map_err(|error| self.strange(&error))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let json = serde_json::to_vec(body).map_err(|error| self.strange(&error))?;
        let json = if json == b"null" { Vec::new() } else { json };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(json)));
        let request = request.map_err(|error| self.strange(&error))?;
        let failed = |source| ClientError::Connect {
            address: self.address.clone(),
            source,
        };
        match &self.address {
            #[cfg(unix)]
            Address::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await;
                self.send(stream.map_err(failed)?, request).await
            }
            #[cfg(not(unix))]
            Address::Unix(_) => Err(failed(io::ErrorKind::Unsupported.into())),
            Address::Loopback(address) => {
                let stream = TcpStream::connect(address).await;
                self.send(stream.map_err(failed)?, request).await
            }
        }
    }

    async fn send<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let strange = |error: hyper::Error| self.strange(&error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(strange)?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::select! {
            answer = answer => answer.map_err(strange),
            Err(error) = connection => Err(strange(error)),
        }
    }

    fn strange(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Answer {
            address: self.address.clone(),
            reason: reason.to_string(),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Writes a text so that it is one value of a query.
fn query_value(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
