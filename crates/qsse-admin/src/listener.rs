//! [`Listener`]: the socket on which a server is administered.

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use qsse_server::Server;
use qsse_server::audit::{AuditEvent, AuditRecord};
use tokio::net::TcpListener;

use crate::address::Address;
use crate::admin::Admin;
use crate::problem::Problem;
use crate::serving;
use crate::token::AdminToken;

mod error;
#[cfg(unix)]
mod unix;

pub use error::ListenError;

/// A socket that is bound. Dropping it, or the future of [`serve`](Self::serve), removes a Unix
/// socket's file.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    #[cfg(unix)]
    Unix(unix::Socket),
    Loopback(TcpListener, AdminToken),
}

impl Listener {
    /// Binds the address.
    ///
    /// Only its owner may use a Unix socket: its mode is 0600 from its first moment. A socket that
    /// a process has left behind is replaced. A port needs a token, which requests show as
    /// `Authorization: Bearer TOKEN`.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(address: &Address, token: Option<AdminToken>) -> Result<Self, ListenError> {
        let socket = match address {
            Address::Unix(path) => bind_unix(path).await?,
            Address::Loopback(at) => {
                let token = token.ok_or(ListenError::NoToken(*at))?;
                let listener = TcpListener::bind(at).await;
                Socket::Loopback(
                    listener.map_err(|source| ListenError::io(address, source))?,
                    token,
                )
            }
        };
        Ok(Self { socket })
    }

    /// Returns where it listens, with the port that the system chose.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<Address> {
        match &self.socket {
            #[cfg(unix)]
            Socket::Unix(socket) => Ok(Address::Unix(socket.path().to_owned())),
            Socket::Loopback(listener, _) => Ok(Address::Loopback(listener.local_addr()?)),
        }
    }

    /// Answers requests until the future is dropped.
    pub async fn serve(self, admin: Admin) {
        match self.socket {
            #[cfg(unix)]
            Socket::Unix(socket) => {
                let (server, router) = (admin.server().clone(), admin.router());
                let audited = |stream: &tokio::net::UnixStream| {
                    let user = stream.peer_cred().map(|who| who.uid());
                    let who = user.map_or_else(|_| "unknown".into(), |uid| format!("uid {uid}"));
                    audited(router.clone(), server.clone(), who)
                };
                serving::accept(|| socket.accept(), audited).await;
            }
            Socket::Loopback(listener, token) => {
                let server = admin.server().clone();
                let router = guarded(admin.router(), token);
                let router = audited(router, server, "admin token".into());
                serving::serve(listener, router).await;
            }
        }
    }
}

#[cfg(unix)]
async fn bind_unix(path: &Path) -> Result<Socket, ListenError> {
    unix::Socket::bind(path).await.map(Socket::Unix)
}

#[cfg(not(unix))]
async fn bind_unix(_: &Path) -> Result<Socket, ListenError> {
    Err(ListenError::NoUnixSockets)
}

/// Records each request that may change something, and each that is refused for its token.
fn audited(router: Router, server: Server, who: String) -> Router {
    router.layer(middleware::from_fn_with_state(
        (server, Arc::from(who)),
        record,
    ))
}

async fn record(
    State((server, who)): State<(Server, Arc<str>)>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status();
    if method != Method::GET || status == StatusCode::UNAUTHORIZED {
        let subject = format!("{method} {path}");
        let record = AuditRecord::new(AuditEvent::Admin, status.is_success());
        let record = record.principal(&who).subject(&subject);
        server.audit(&record.reason(status.canonical_reason().unwrap_or_default()));
    }
    response
}

/// Asks each request for the token, but for those that only say whether the server works.
fn guarded(router: Router, token: AdminToken) -> Router {
    router.layer(middleware::from_fn_with_state(token, ask))
}

async fn ask(State(token): State<AdminToken>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(AUTHORIZATION);
    let shown = shown.and_then(|header| header.to_str().ok()?.strip_prefix("Bearer "));
    let is_probe = matches!(request.uri().path(), "/health" | "/ready");
    if is_probe || shown.is_some_and(|shown| token.is(shown)) {
        return next.run(request).await;
    }
    let detail = match shown {
        Some(_) => "the admin token is wrong",
        None => "send the admin token: Authorization: Bearer TOKEN",
    };
    Problem::new(StatusCode::UNAUTHORIZED, detail).into_response()
}
