//! Connections of HTTP/3: a browser opens a session among its requests, which is served like a
//! connection of `qsse/1` (section 15 of the protocol).

use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::{BoxFuture, join, pending, ready};
use futures_util::stream::{FuturesUnordered, StreamExt};
use qsse_proto::Code;
use qsse_transport::Connection;
use qsse_transport::http3::http::StatusCode;
use qsse_transport::http3::{self, Carrier, Incoming, Requests, Settings};
use tokio::time::timeout_at;

use crate::session::{End, Rejected, frames};
use crate::shared::Shared;

/// How many streams a client may have open where there is nothing but a session.
const SESSION_STREAMS: u32 = 8;

/// What answers the requests of one connection that speaks HTTP/3; see
/// [`Server::serve_http3`](crate::Server::serve_http3).
pub trait Http3Answers: Send + Sync {
    /// Answers a request. The future is dropped when the connection ends.
    fn answer(&self, request: http3::Request) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Notes that the connection has a WebTransport session.
    fn session_opened(&self) {}
}

/// Serves a connection until it ends. Without `answer`, it is for a session only.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    connection: &Connection,
    answer: Option<Arc<dyn Http3Answers>>,
) -> Result<End, Rejected> {
    // Everything up to the Hello has to come in time; with requests to answer, a session may come
    // at any time.
    let is_for_session = answer.is_none();
    let until = shared.hello_deadline();
    let opened = async {
        let mut front = Front::new(connection, answer).await?;
        let session = front.session(shared).await?;
        Ok::<_, End>((front, session))
    };
    let mut opened = Box::pin(opened);
    let opened = match is_for_session {
        true => timeout_at(until, &mut opened).await.map_err(|_| {
            let end = End::new(Code::HELLO_TIMEOUT, "no session was opened in time");
            // Before what was opened is dropped, which would close it without a code.
            connection.close(end.code, &end.reason);
            end
        })?,
        false => opened.await,
    };
    let (mut front, (session, carrier)) = opened?;
    let until = match is_for_session {
        true => until,
        false => shared.hello_deadline(),
    };
    let served = async {
        let served = frames::serve(shared, &session, until).await;
        let (Ok(end) | Err(Rejected(end))) = &served;
        session.close(end.code, &end.reason);
        served
    };
    // The carrier notes the end of the connection for the session.
    let drive = async {
        let _ = front.session(shared).await;
        pending::<()>().await;
    };
    let served = tokio::select! {
        biased;
        (served, ()) = join(served, carrier.run()) => served,
        () = drive => unreachable!("it never completes"),
    };
    let (Ok(end) | Err(Rejected(end))) = &served;
    connection.close(end.code, &end.reason);
    served
}

/// Serves a connection whose requests others answer, until it ends.
pub(crate) async fn serve_requests(
    shared: &Arc<Shared>,
    connection: &Connection,
    answers: Arc<dyn Http3Answers>,
) {
    let served = serve(shared, connection, Some(answers)).await;
    let (Ok(end) | Err(Rejected(end))) = &served;
    let peer = connection.remote_address();
    tracing::debug!(%peer, code = %end.code, reason = end.reason, "an HTTP/3 client left");
    connection.close(end.code, &end.reason);
}

/// The requests of a connection, and those that are being answered.
struct Front {
    connection: Connection,
    requests: Requests,
    answer: Option<Arc<dyn Http3Answers>>,
    answering: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Whether the client knows that no further request is answered.
    is_leaving: bool,
}

impl Front {
    async fn new(
        connection: &Connection,
        answer: Option<Arc<dyn Http3Answers>>,
    ) -> Result<Self, End> {
        let mut settings = Settings::default().web_transport(true);
        if answer.is_none() {
            // The request of the session, the control stream, and some to spare: each permitted
            // stream costs memory. The first publishing stream raises it.
            settings = settings.max_requests(SESSION_STREAMS);
        }
        let requests = Requests::accept(connection, &settings).await?;
        Ok(Self {
            connection: connection.clone(),
            requests,
            answer,
            answering: FuturesUnordered::new(),
            is_leaving: false,
        })
    }

    /// Answers requests until one opens a session.
    async fn session(&mut self, shared: &Shared) -> Result<(Connection, Carrier), End> {
        loop {
            let incoming = tokio::select! {
                biased;
                incoming = self.requests.next() => incoming?,
                Some(()) = self.answering.next() => continue,
                () = shared.draining.cancelled(), if !self.is_leaving => {
                    self.is_leaving = true;
                    self.requests.go_away().await?;
                    continue;
                }
                () = ready(()), if self.is_leaving => None,
            };
            match incoming {
                Some(Incoming::WebTransport(session)) => {
                    if let Some(opened) = self.open(shared, session).await {
                        return Ok(opened);
                    }
                }
                Some(Incoming::Request(request)) => self.answer(request),
                _ => {
                    while self.answering.next().await.is_some() {}
                    return Err(End::new(Code::NO_ERROR, "the client asks for nothing more"));
                }
            }
        }
    }

    /// Opens a session, or answers why it does not.
    async fn open(
        &mut self,
        shared: &Shared,
        session: http3::Session,
    ) -> Option<(Connection, Carrier)> {
        if let Err((status, text)) = self.check(shared, &session) {
            self.refuse(session.request, status, text);
            return None;
        }
        let opened = session.accept(&self.connection).await;
        if let (Ok(_), Some(answers)) = (&opened, &self.answer) {
            answers.session_opened();
        }
        opened
            .inspect_err(|error| tracing::debug!(%error, "a session was not opened"))
            .ok()
    }

    fn answer(&mut self, request: http3::Request) {
        match &self.answer {
            Some(answers) => self.answering.push(answers.answer(request)),
            None => {
                let text = "this port serves WebTransport at /qsse/1\n";
                self.refuse(request, StatusCode::NOT_FOUND, text);
            }
        }
    }

    fn check(
        &self,
        shared: &Shared,
        session: &http3::Session,
    ) -> Result<(), (StatusCode, &'static str)> {
        let text = "this server has no sessions of WebTransport\n";
        let rules = shared.web_transport.as_ref();
        let rules = rules.ok_or((StatusCode::NOT_FOUND, text))?;
        rules.check(&session.request.head)
    }

    fn refuse(&mut self, request: http3::Request, status: StatusCode, text: &'static str) {
        let peer = self.connection.remote_address();
        tracing::info!(%peer, %status, "a request over HTTP/3 was refused");
        self.answering.push(Box::pin(async move {
            let _ = request.responder.refuse(status, text).await;
        }));
    }
}
