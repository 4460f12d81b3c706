//! [`ConnectionInfo`]: what the requests of one connection have in common.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::Version;
use qsse_server::visitor::{Caller, Refused, Visitor};
use qsse_server::{CertificateDer, Server};

/// What the requests of one connection have in common. [`Listener`](crate::Listener) adds it to
/// each of them.
#[derive(Clone)]
pub(crate) struct ConnectionInfo(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    certificates: Vec<CertificateDer<'static>>,
    /// Whether a client was let in.
    let_in: AtomicBool,
    /// The visitor of its last request, with the token.
    last: Mutex<Option<(Option<String>, Visitor)>>,
}

impl ConnectionInfo {
    pub(crate) fn new(address: SocketAddr, certificates: Vec<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Shared {
            address,
            certificates,
            let_in: AtomicBool::new(false),
            last: Mutex::new(None),
        }))
    }

    /// Returns whether a client was let in.
    pub(crate) fn was_let_in(&self) -> bool {
        self.0.let_in.load(Ordering::Relaxed)
    }

    /// Lets a client in, or finds it again: most connections have one client, whose token is
    /// checked once.
    pub(crate) async fn visit(
        &self,
        server: &Server,
        version: Version,
        token: Option<String>,
    ) -> Result<Visitor, Refused> {
        if let Some(visitor) = self.known(token.as_deref()) {
            return Ok(visitor);
        }
        let caller = Caller::new(protocol(version), self.0.address)
            .token(token.as_deref())
            .certificates(&self.0.certificates);
        let visitor = server.visit(caller).await?;
        self.0.let_in.store(true, Ordering::Relaxed);
        *self.last() = Some((token, visitor.clone()));
        Ok(visitor)
    }

    /// Returns the visitor of the last request, if this one has the same token. Others give up
    /// their place in the quotas.
    fn known(&self, token: Option<&str>) -> Option<Visitor> {
        let mut last = self.last();
        let known =
            last.take_if(|(own, visitor)| own.as_deref() != token || visitor.ended().is_some());
        let same = last.as_ref().map(|(_, visitor)| visitor.clone());
        // A visitor that ends takes locks of the server.
        drop(last);
        drop(known);
        same
    }

    fn last(&self) -> MutexGuard<'_, Option<(Option<String>, Visitor)>> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "http/2",
        Version::HTTP_3 => "http/3",
        _ => "http/1.1",
    }
}
