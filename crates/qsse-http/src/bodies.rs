//! [`Bodies`]: the bodies of requests, within a budget.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Bodies up to this length need no part of the budget: so much may be in a connection's buffers
/// anyway.
const FREE: usize = 64 << 10;

/// How often the timeout of a part fits into that of a body.
const WHOLE_BODIES: u32 = 3;

/// The memory that the bodies of all requests may take.
#[derive(Clone)]
pub(crate) struct Bodies {
    room: Arc<Semaphore>,
    most: usize,
}

/// A body in memory, which takes its part of the budget until it is dropped.
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _rooms: Vec<Option<OwnedSemaphorePermit>>,
}

impl Bodies {
    pub(crate) fn new(bytes: usize) -> Self {
        let most = bytes.min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(most));
        Self { room, most }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// It is longer than `limit`, cut off, or does not come in time; or there is no room for it.
    pub(crate) async fn read(
        &self,
        body: Body,
        length: Option<usize>,
        limit: usize,
        timeout: Duration,
    ) -> Result<Whole, Problem> {
        if length.is_some_and(|length| length > limit) {
            return Err(too_long(limit));
        }
        let whole = self.read_slowly(body, limit, timeout);
        // However slow each part comes.
        let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
        tokio::time::timeout(WHOLE_BODIES * timeout, whole)
            .await
            .map_err(late)?
    }

    async fn read_slowly(
        &self,
        body: Body,
        limit: usize,
        timeout: Duration,
    ) -> Result<Whole, Problem> {
        let mut chunks = Chunks::new(body, limit, timeout);
        let (mut whole, mut only) = (BytesMut::new(), None);
        let mut rooms = Vec::new();
        let mut read = 0;
        while let Some(chunk) = chunks.next().await? {
            read += chunk.len();
            if read > FREE {
                rooms.push(self.claim_in(chunk.len().max(FREE), timeout).await?);
                read = 0;
            }
            match (only.take(), whole.is_empty()) {
                // One chunk, as most bodies are, is not copied.
                (None, true) => only = Some(chunk),
                (Some(first), _) => {
                    whole.extend_from_slice(&first);
                    whole.extend_from_slice(&chunk);
                }
                (None, false) => whole.extend_from_slice(&chunk),
            }
        }
        Ok(Whole {
            bytes: only.unwrap_or_else(|| whole.freeze()),
            _rooms: rooms,
        })
    }

    /// Waits for room for this many bytes, but not for long: others may hold what they have for as
    /// long as they please.
    async fn claim_in(
        &self,
        bytes: usize,
        timeout: Duration,
    ) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let full = |_| {
            let detail = "the server has too many long bodies in hand: try again later";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        };
        tokio::time::timeout(timeout, self.claim(bytes + 1))
            .await
            .map_err(full)
    }

    /// Waits for room for this many bytes.
    pub(crate) async fn claim(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes <= FREE {
            return None;
        }
        let bytes = u32::try_from(bytes.min(self.most)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).acquire_many_owned(bytes).await.ok()
    }
}

/// The parts of a body, as they come.
pub(crate) struct Chunks {
    stream: BodyDataStream,
    left: usize,
    limit: usize,
    timeout: Duration,
}

impl Chunks {
    pub(crate) fn new(body: Body, limit: usize, timeout: Duration) -> Self {
        Self {
            stream: body.into_data_stream(),
            left: limit,
            limit,
            timeout,
        }
    }

    /// Waits for the next part.
    ///
    /// # Errors
    /// The body is too long, cut off, or does not come in time.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let next = tokio::time::timeout(self.timeout, self.stream.next());
        let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
        let Some(chunk) = next.await.map_err(late)? else {
            return Ok(None);
        };
        let chunk = chunk.map_err(|_| Problem::bad_request("the body was cut off"))?;
        match self.left.checked_sub(chunk.len()) {
            Some(left) => self.left = left,
            None => return Err(too_long(self.limit)),
        }
        Ok(Some(chunk))
    }
}

fn too_long(limit: usize) -> Problem {
    let detail = format!("the body has more than {limit} bytes: send less in one request");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}
