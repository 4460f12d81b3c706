//! Connections of HTTP/3: a browser opens a session among its requests, which is served like a
//! connection of `qsse/1` (section 15 of the protocol).

use std::sync::Arc;

use futures_util::future::{BoxFuture, join, pending};
use futures_util::stream::{FuturesUnordered, StreamExt};
use qsse_proto::Code;
use qsse_transport::Connection;
use qsse_transport::http3::http::StatusCode;
use qsse_transport::http3::{self, Carrier, Incoming, Requests, Settings};
use tokio::time::{Instant, timeout_at};

use crate::session::{End, Rejected, frames};
use crate::shared::Shared;

/// How many streams a client may have open where there is nothing but a session.
const SESSION_STREAMS: u32 = 8;

/// What answers requests that ask for no session.
pub(crate) type Answer = Arc<dyn Fn(http3::Request) -> BoxFuture<'static, ()> + Send + Sync>;

/// Serves a connection until it ends. Without `answer`, it is for a session only.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    connection: &Connection,
    answer: Option<Answer>,
) -> Result<End, Rejected> {
    // Everything up to the Hello has to come in time; with requests to answer, a session may come
    // at any time.
    let deadline = || Instant::now() + shared.limits().hello_timeout;
    let is_for_session = answer.is_none();
    let until = deadline();
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
        false => deadline(),
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

/// The requests of a connection, and those that are being answered.
struct Front {
    connection: Connection,
    requests: Requests,
    answer: Option<Answer>,
    answering: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Front {
    async fn new(connection: &Connection, answer: Option<Answer>) -> Result<Self, End> {
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
        })
    }

    /// Answers requests until one opens a session.
    async fn session(&mut self, shared: &Shared) -> Result<(Connection, Carrier), End> {
        loop {
            let incoming = tokio::select! {
                biased;
                incoming = self.requests.next() => incoming?,
                Some(()) = self.answering.next() => continue,
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
        opened
            .inspect_err(|error| tracing::debug!(%error, "a session was not opened"))
            .ok()
    }

    fn answer(&mut self, request: http3::Request) {
        match &self.answer {
            Some(answer) => self.answering.push(answer(request)),
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
