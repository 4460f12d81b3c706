//! [`RecvBody`]: reads the body of a request or an answer.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;

use super::error::RequestError;
use super::frames::{Frames, Part};

/// Reads the body of a request or an answer. Dropping it tells the peer that no more is read.
#[derive(Debug)]
pub struct RecvBody {
    frames: Frames,
    /// The most bytes of trailers, which nobody reads.
    limit: usize,
    /// The bytes that are to come, if the head tells.
    left: Option<u64>,
    ended: bool,
}

impl RecvBody {
    /// Reads what follows a head.
    pub(super) fn new(frames: Frames, limit: usize, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH);
        let left = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            frames,
            limit,
            left,
            ended: false,
        }
    }

    /// Returns the next bytes; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    /// The peer gave up the request, it sent what HTTP/3 does not permit, more or less than its
    /// head tells, or the connection has ended.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RequestError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Does the same as [`next`](Self::next), for hand-written futures and streams.
    ///
    /// # Errors
    /// Those of `next`.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, RequestError>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let next = loop {
            match ready!(self.frames.poll_next(cx, self.limit)) {
                Ok(Some(Part::Data(data))) => break Ok(Some(data)),
                // Trailers. The end comes next.
                Ok(Some(Part::Head(_))) => {}
                Ok(None) => break Ok(None),
                Err(error) => break Err(error),
            }
        };
        let next = next.and_then(|next| self.count(next));
        self.ended = !matches!(next, Ok(Some(_)));
        Poll::Ready(next)
    }

    /// Returns how many bytes are to come; `None` if the head does not tell.
    pub fn left(&self) -> Option<u64> {
        self.left
    }

    /// Returns whether all of it was read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn count(&mut self, next: Option<Bytes>) -> Result<Option<Bytes>, RequestError> {
        let length = next.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let wrong = || RequestError::Malformed("the body is not as long as its head tells".into());
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(length).ok_or_else(wrong)?;
            if next.is_none() && *left > 0 {
                return Err(wrong());
            }
        }
        Ok(next)
    }
}
