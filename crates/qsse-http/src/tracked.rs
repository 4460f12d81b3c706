//! [`Tracked`]: the routes for one connection, whose requests and answers are watched.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::http::header::{ALT_SVC, HeaderValue};
use axum::http::{Request, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::activity::{Activity, RequestGuard};
use crate::connection::ConnectionInfo;

/// The routes for one connection.
#[derive(Clone)]
pub(crate) struct Tracked {
    pub(crate) router: TowerToHyperService<Router>,
    pub(crate) info: ConnectionInfo,
    pub(crate) activity: Arc<Activity>,
    /// The requests that the client may give up in one second.
    pub(crate) resets: u32,
    /// Where the same is served over HTTP/3.
    pub(crate) alt_svc: Option<HeaderValue>,
}

impl Service<Request<Incoming>> for Tracked {
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let guard = self.activity.begin(self.resets);
        request.extensions_mut().insert(self.info.clone());
        let answered = self.router.call(request);
        let alt_svc = self.alt_svc.clone();
        Box::pin(async move {
            let mut response = answered.await?;
            if let Some(alt_svc) = alt_svc {
                response.headers_mut().insert(ALT_SVC, alt_svc);
            }
            Ok(response.map(|body| TrackedBody::new(body, guard)))
        })
    }
}

/// The body of an answer. It notes when the client takes a part of it.
pub(crate) struct TrackedBody {
    body: Body,
    guard: RequestGuard,
}

impl TrackedBody {
    pub(crate) fn new(body: Body, guard: RequestGuard) -> Self {
        Self { body, guard }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Only a connection with room for more asks.
        self.guard.taken();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(_) if !self.body.is_end_stream() => self.guard.handed_out(),
            _ => self.guard.complete(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        // Such as one without any bytes, of which nobody asks for a part.
        if self.body.is_end_stream() {
            self.guard.complete();
        }
    }
}
