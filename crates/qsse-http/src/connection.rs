//! [`ConnectionInfo`]: what the requests of one connection have in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Version;
use qsse_server::visitor::{Caller, Refused, Visitor};
use qsse_server::{CertificateDer, Server};
use tokio::sync::Mutex;

/// What the requests of one connection have in common. [`Listener`](crate::Listener) adds it to
/// each of them.
#[derive(Clone)]
pub(crate) struct ConnectionInfo(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    certificates: Vec<CertificateDer<'static>>,
    /// Whether it has sent a request.
    used: AtomicBool,
    /// The visitor of its last request, with the token.
    last: Mutex<Option<(Option<String>, Visitor)>>,
}

impl ConnectionInfo {
    pub(crate) fn new(address: SocketAddr, certificates: Vec<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Shared {
            address,
            certificates,
            used: AtomicBool::new(false),
            last: Mutex::new(None),
        }))
    }

    /// Returns whether the connection has sent a request.
    pub(crate) fn was_used(&self) -> bool {
        self.0.used.load(Ordering::Relaxed)
    }

    pub(crate) fn note_request(&self) {
        self.0.used.store(true, Ordering::Relaxed);
    }

    /// Lets a client in, or finds it again: most connections have one client, whose token is
    /// checked once.
    pub(crate) async fn visit(
        &self,
        server: &Server,
        version: Version,
        token: Option<String>,
    ) -> Result<Visitor, Refused> {
        let mut last = self.0.last.lock().await;
        if let Some((own, visitor)) = &*last
            && *own == token
            && visitor.ended().is_none()
        {
            return Ok(visitor.clone());
        }
        // Before the next one takes its place in the quotas.
        last.take();
        let caller = Caller::new(protocol(version), self.0.address)
            .token(token.as_deref())
            .certificates(&self.0.certificates);
        let visitor = server.visit(caller).await?;
        *last = Some((token, visitor.clone()));
        Ok(visitor)
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "http/2",
        Version::HTTP_3 => "http/3",
        _ => "http/1.1",
    }
}
