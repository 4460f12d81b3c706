//! HTTP/3: the same routes on a UDP port.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::http::header::{CONTENT_LENGTH, HeaderValue};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::{Body, Frame, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use qsse_server::transport::http3::{RecvBody, Request, RequestError, Responder};
use qsse_server::transport::{Handshake, ServerEndpoint};
use qsse_server::{Code, Http3Answers, Server};
use tokio::task::JoinSet;

use crate::activity::{Activity, Ended};
use crate::connection::ConnectionInfo;
use crate::door::{Door, Seat};
use crate::tracked::TrackedBody;

/// What is written at a time of an answer that has more.
const TURN_BYTES: usize = 64 << 10;

/// Serves the clients of an endpoint until the server ends, and then until all have what was sent
/// to them.
pub(crate) async fn serve(endpoint: ServerEndpoint, door: Door, server: Server, router: Router) {
    // Dropped with this future, which ends them.
    let mut connections = JoinSet::new();
    let ended = server.draining();
    let mut ended = std::pin::pin!(ended);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut ended => break,
            accepted = endpoint.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let Some(handshake) = accepted else { break };
        match door.admit(handshake.remote_address()) {
            Some(seat) => {
                let (server, router) = (server.clone(), router.clone());
                connections.spawn(connection(handshake, seat, server, router));
            }
            None => handshake.refuse(),
        }
    }
    endpoint.stop_accepting();
    while connections.join_next().await.is_some() {}
    endpoint.close(Code::NO_ERROR, "");
    endpoint.wait_idle().await;
}

/// Serves a connection from its handshake to its end.
async fn connection(handshake: Handshake, seat: Seat, server: Server, router: Router) {
    let address = handshake.remote_address();
    let connection = match handshake.complete().await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%address, %error, "a handshake for HTTP/3 failed");
            return seat.count(Ended::Handshake);
        }
    };
    let certificates = connection.peer_certificates().unwrap_or_default();
    let answers = Arc::new(Answers {
        router: TowerToHyperService::new(router),
        info: ConnectionInfo::new(address, certificates),
        activity: Arc::clone(&seat.activity),
        resets: seat.limits().resets,
        has_session: AtomicBool::new(false),
    });
    let over = async {
        let info = answers.info.clone();
        let ended = seat
            .activity
            .over(seat.limits(), || info.was_let_in())
            .await;
        // A session has limits of its own.
        while answers.has_session.load(Ordering::Relaxed) && ended != Ended::Displaced {
            std::future::pending::<()>().await;
        }
        ended
    };
    let own = Arc::clone(&answers) as Arc<dyn Http3Answers>;
    let ended = tokio::select! {
        () = server.serve_http3(&connection, own) => return,
        ended = over => ended,
    };
    tracing::debug!(%address, why = ended.name(), "an HTTP/3 connection was ended");
    seat.count(ended);
    connection.close(Code::NO_ERROR, ended.name());
}

/// What answers the requests of one connection.
struct Answers {
    router: TowerToHyperService<Router>,
    info: ConnectionInfo,
    activity: Arc<Activity>,
    resets: u32,
    has_session: AtomicBool,
}

impl Http3Answers for Answers {
    fn answer(&self, request: Request) -> BoxFuture<'static, ()> {
        let Request {
            head,
            body,
            responder,
        } = request;
        let guard = self.activity.begin(self.resets);
        let mut request = head.map(|()| RequestBody(body));
        request.extensions_mut().insert(self.info.clone());
        let answered = self.router.call(request);
        Box::pin(async move {
            let gone = responder.stopped();
            let answered = async move {
                let Ok(response) = answered.await;
                let response = response.map(|body| TrackedBody::new(body, guard));
                write(response, responder).await
            };
            tokio::select! {
                written = answered => if let Err(error) = written {
                    tracing::debug!(%error, "an answer over HTTP/3 was not taken");
                },
                // The client wants no answer any more.
                _ = gone => {}
            }
        })
    }

    fn session_opened(&self) {
        self.has_session.store(true, Ordering::Relaxed);
    }
}

/// Writes an answer, each part when there is room for it, and waits until the client has it.
async fn write(response: Response<TrackedBody>, responder: Responder) -> Result<(), RequestError> {
    let (mut parts, body) = response.into_parts();
    let has_body = !matches!(
        parts.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if let Some(length) = body.size_hint().exact().filter(|_| has_body) {
        let length = HeaderValue::from(length);
        parts.headers.entry(CONTENT_LENGTH).or_insert(length);
    }
    let mut sent = responder.respond(Response::from_parts(parts, ())).await?;
    let mut body = std::pin::pin!(body);
    let mut chunks = Vec::new();
    loop {
        // What is there goes out together.
        let (mut bytes, mut ended) = (0, false);
        let mut next = Some(poll_fn(|cx| body.as_mut().poll_frame(cx)).await);
        while let Some(frame) = next.take() {
            let Some(frame) = frame else {
                ended = true;
                break;
            };
            // The stream is then reset: a part of an answer is no answer.
            let Ok(frame) = frame else { return Ok(()) };
            if let Ok(data) = frame.into_data() {
                bytes += data.len();
                chunks.push(data);
            }
            if bytes < TURN_BYTES {
                next = poll_fn(|cx| body.as_mut().poll_frame(cx)).now_or_never();
            }
        }
        sent.send(chunks.drain(..)).await?;
        if ended {
            return sent.finish().await;
        }
    }
}

/// The body of a request.
struct RequestBody(RecvBody);

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        let next = self.0.poll_next(cx);
        next.map(|next| next.map(|data| data.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.0.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.left().map(SizeHint::with_exact).unwrap_or_default()
    }
}
