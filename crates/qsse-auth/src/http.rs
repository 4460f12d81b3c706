//! [`Endpoint`]: a URL that is asked over HTTP.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use qsse_transport::rustls::ClientConfig;
use qsse_transport::rustls::pki_types::ServerName;
use qsse_transport::tls::ClientTls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::SetupError;
use crate::files::{self, Content};

/// The time for one exchange. A server gives its authenticator 5 s by default.
const TIME: Duration = Duration::from_secs(3);

/// The longest answer.
const ANSWER_BYTES: usize = 256 * 1024;

/// A URL that is asked over HTTP/1.1, with a new connection for each question. Redirections are not
/// followed.
pub(crate) struct Endpoint {
    url: Uri,
    host: String,
    port: u16,
    /// `None` on this machine, without TLS.
    tls: Option<Arc<ClientConfig>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Endpoint {
    /// Checks a URL. `ca` is a PEM file with authorities to trust instead of the system's.
    pub(crate) fn new(url: &str, ca: Option<&Path>) -> Result<Self, SetupError> {
        let wrong = |problem: &str| SetupError::Url {
            url: url.into(),
            problem: problem.into(),
        };
        if url.contains('@') {
            // The URL is not repeated: it may contain a password.
            let problem = "a URL with a user or password is not supported".into();
            return Err(SetupError::Problem(problem));
        }
        let parsed: Uri = url.parse().map_err(|_| wrong("this is not a URL"))?;
        let host = parsed.host().ok_or_else(|| wrong("it has no host"))?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let tls = match parsed.scheme_str() {
            Some("https") => Some(Arc::new(trust(ca).map_err(|error| wrong(&error))?)),
            Some("http") if is_this_machine(&host) => None,
            Some("http") => {
                return Err(wrong(
                    "http:// is only for this machine, because anybody on the way could read and \
                     change it: use https://",
                ));
            }
            _ => return Err(wrong("it must begin with https://")),
        };
        let usual = if tls.is_some() { 443 } else { 80 };
        Ok(Self {
            port: parsed.port_u16().unwrap_or(usual),
            host,
            tls,
            url: parsed,
        })
    }

    /// Returns the problem as one of this URL.
    pub(crate) fn error(&self, problem: String) -> SetupError {
        let url = self.url.to_string();
        SetupError::Url { url, problem }
    }

    /// Returns what is there.
    #[cfg(feature = "jwt")]
    pub(crate) async fn get(&self) -> Result<Bytes, SetupError> {
        match self.send(Method::GET, Bytes::new()).await {
            Ok((StatusCode::OK, body)) => Ok(body),
            Ok((status, _)) => Err(self.error(format!("it answers {status}"))),
            Err(problem) => Err(self.error(problem)),
        }
    }

    /// Sends JSON, and returns the status and the body of the answer.
    pub(crate) async fn post(&self, json: Vec<u8>) -> Result<(StatusCode, Bytes), SetupError> {
        let answer = self.send(Method::POST, json.into()).await;
        answer.map_err(|problem| self.error(problem))
    }

    async fn send(&self, method: Method, body: Bytes) -> Result<(StatusCode, Bytes), String> {
        let exchange = async {
            let request = self.request(method, body)?;
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
            match &self.tls {
                None => exchange(tcp, request).await,
                Some(tls) => {
                    let name = ServerName::try_from(self.host.clone())?;
                    let tls = TlsConnector::from(Arc::clone(tls))
                        .connect(name, tcp)
                        .await?;
                    exchange(tls, request).await
                }
            }
        };
        match tokio::time::timeout(TIME, exchange).await {
            Ok(answer) => answer.map_err(|error: Failure| error.to_string()),
            Err(_) => Err(format!("there was no answer within {} s", TIME.as_secs())),
        }
    }

    fn request(&self, method: Method, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.url.authority().map_or("", |host| host.as_str());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, authority)
            .header(USER_AGENT, concat!("qsse/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close");
        Ok(request.body(Full::new(body))?)
    }
}

/// Sends a request over a connection, and reads the whole answer.
async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES);
        Ok((status, body.collect().await?.to_bytes()))
    };
    let (mut answer, connection) = (pin!(answer), pin!(connection));
    first_or_after(&mut answer, connection).await
}

/// Awaits `answer` while `connection` runs, which may end before the answer has been read.
async fn first_or_after<T>(
    mut answer: impl Future<Output = T> + Unpin,
    connection: impl Future,
) -> T {
    tokio::select! {
        answer = &mut answer => return answer,
        _ = connection => {}
    }
    answer.await
}

fn trust(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let tls = match ca {
        None => ClientTls::platform().map_err(|error| error.to_string())?,
        Some(path) => {
            let checked = files::check("CA file", path, Content::Public);
            checked.map_err(|error| error.to_string())?;
            ClientTls::roots_pem_file(path).map_err(|error| error.to_string())?
        }
    };
    Ok(tls.over_tcp())
}

fn is_this_machine(host: &str) -> bool {
    let address: Option<std::net::IpAddr> = host.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}
