//! [`Quic`]: a connection as `h3` sees it.
//!
//! `h3` gets only streams that are HTTP/3's own. Of requests and answers it reads and writes heads
//! alone, in a [`Mailbox`]; the stream stays with [`Frames`] and [`SendBody`](super::SendBody).

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h3::error::Code as H3Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming};
use qsse_proto::Code;

use super::codes;
use super::frames::Frames;
use super::head;
use super::sessions::Sessions;
use super::settings::Settings;
use super::sorting::Sorter;
use super::streams::{Bi, Mailbox, Receiving, Sending, incoming, of_connection};
use crate::connection::Connection;
use crate::error::ConnectionError;
use crate::recv::RecvStream;
use crate::send::SendStream;

/// A connection as `h3` sees it.
pub(super) struct Quic {
    connection: Connection,
    settings: Arc<Settings>,
    pub(super) sessions: Sessions,
    accepting_bi: Option<BoxFuture<'static, Result<(SendStream, RecvStream), ConnectionError>>>,
    accepting_uni: Option<BoxFuture<'static, Result<RecvStream, ConnectionError>>>,
    sorting_bi: FuturesUnordered<BoxFuture<'static, Option<Bi>>>,
    sorting_uni: FuturesUnordered<BoxFuture<'static, Option<Receiving>>>,
    opener: Opener,
}

/// The stream of the request whose head was written last.
pub(super) type Opened = Arc<Mutex<Option<(SendStream, Frames, Mailbox)>>>;

impl Quic {
    pub(super) fn new(connection: &Connection, settings: &Arc<Settings>) -> Self {
        Self {
            connection: connection.clone(),
            settings: Arc::clone(settings),
            sessions: Sessions::default(),
            accepting_bi: None,
            accepting_uni: None,
            sorting_bi: FuturesUnordered::new(),
            sorting_uni: FuturesUnordered::new(),
            opener: Opener::new(connection, settings, Opened::default()),
        }
    }

    pub(super) fn opened(&self) -> Opened {
        Arc::clone(&self.opener.opened)
    }

    fn accept_bi(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionErrorIncoming>> {
        loop {
            let accepting = self.accepting_bi.get_or_insert_with(|| {
                let connection = self.connection.clone();
                Box::pin(async move { connection.accept_bi().await })
            });
            let accepted = ready!(accepting.as_mut().poll(cx));
            self.accepting_bi = None;
            let (send, recv) = accepted.map_err(incoming)?;
            let sorter = self.sorter();
            self.sorting_bi
                .push(Box::pin(async move { sorter.bi(send, recv).await }));
        }
    }

    fn accept_uni(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionErrorIncoming>> {
        loop {
            let accepting = self.accepting_uni.get_or_insert_with(|| {
                let connection = self.connection.clone();
                Box::pin(async move { connection.accept_uni().await })
            });
            let accepted = ready!(accepting.as_mut().poll(cx));
            self.accepting_uni = None;
            let recv = accepted.map_err(incoming)?;
            let sorter = self.sorter();
            self.sorting_uni
                .push(Box::pin(async move { sorter.uni(recv).await }));
        }
    }

    fn sorter(&self) -> Sorter {
        Sorter {
            connection: self.connection.clone(),
            settings: Arc::clone(&self.settings),
            sessions: self.sessions.clone(),
        }
    }
}

/// Opens streams.
pub(super) struct Opener {
    connection: Connection,
    settings: Arc<Settings>,
    opening_bi: Option<BoxFuture<'static, Result<(SendStream, RecvStream), ConnectionError>>>,
    opening_uni: Option<BoxFuture<'static, Result<SendStream, ConnectionError>>>,
    /// Whether the control stream was opened.
    control: bool,
    opened: Opened,
}

impl Opener {
    fn new(connection: &Connection, settings: &Arc<Settings>, opened: Opened) -> Self {
        Self {
            connection: connection.clone(),
            settings: Arc::clone(settings),
            opening_bi: None,
            opening_uni: None,
            control: false,
            opened,
        }
    }
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Bi;
    type SendStream = Sending;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bi, StreamErrorIncoming>> {
        let opening = self.opening_bi.get_or_insert_with(|| {
            let connection = self.connection.clone();
            Box::pin(async move { connection.open_bi().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening_bi = None;
        let (send, recv) = opened.map_err(of_connection)?;
        let frames = Frames::new(&self.connection, recv, codes::REQUEST_CANCELLED);
        let mut bi = Bi::new(send, frames);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let mailbox = bi.mailbox.clone();
        *opened = bi
            .stream
            .take()
            .map(|(send, frames)| (send, frames, mailbox));
        Poll::Ready(Ok(bi))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Sending, StreamErrorIncoming>> {
        let opening = self.opening_uni.get_or_insert_with(|| {
            let connection = self.connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening_uni = None;
        let stream = opened.map_err(of_connection)?;
        let first = !std::mem::replace(&mut self.control, true);
        let begin = first.then(|| head::control(&self.settings));
        Poll::Ready(Ok(Sending::uni(stream, begin)))
    }

    fn close(&mut self, code: H3Code, reason: &[u8]) {
        let reason = String::from_utf8_lossy(reason);
        self.connection.close(Code::new(code.value()), &reason);
    }
}

impl quic::OpenStreams<Bytes> for Quic {
    type BidiStream = Bi;
    type SendStream = Sending;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bi, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Sending, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: H3Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

impl quic::Connection<Bytes> for Quic {
    type RecvStream = Receiving;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Receiving, ConnectionErrorIncoming>> {
        if let Poll::Ready(ended) = self.accept_uni(cx) {
            ended?;
        }
        loop {
            match self.sorting_uni.poll_next_unpin(cx) {
                Poll::Ready(Some(Some(stream))) => return Poll::Ready(Ok(stream)),
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bi, ConnectionErrorIncoming>> {
        if let Poll::Ready(ended) = self.accept_bi(cx) {
            ended?;
        }
        loop {
            match self.sorting_bi.poll_next_unpin(cx) {
                Poll::Ready(Some(Some(stream))) => return Poll::Ready(Ok(stream)),
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn opener(&self) -> Opener {
        Opener::new(&self.connection, &self.settings, self.opened())
    }
}
