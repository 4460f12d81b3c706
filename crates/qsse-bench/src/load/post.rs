//! Publishers over HTTP/2: requests that wait for their answers at the same time, on a connection
//! each.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, TryStreamExt as _};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, StatusCode};
use serde::Deserialize;

use super::sse;
use super::tally::Tally;
use crate::payload;
use crate::tls;

/// Requests with an event each that wait for an answer.
const EVENTS_IN_FLIGHT: usize = 64;

/// Requests with many lines that wait for an answer.
const LINES_IN_FLIGHT: usize = 2;

/// Events in a request with lines.
const LINES: usize = 4_096;

/// A connection that publishes.
pub(super) struct Publisher {
    requests: SendRequest<Full<Bytes>>,
    path: &'static str,
    /// The body of each request, and the events in it.
    body: Bytes,
    events: u64,
    in_flight: usize,
}

/// What the server says of lines that it took.
#[derive(Deserialize)]
struct Published {
    count: u64,
}

impl Publisher {
    /// Publishes one event in a request.
    pub(super) async fn of_events(dialer: &sse::Dialer, event_bytes: usize) -> Result<Self> {
        Ok(Self {
            requests: dialer.connect().await?,
            path: "/publish/bench",
            body: payload::blank(event_bytes).into(),
            events: 1,
            in_flight: EVENTS_IN_FLIGHT,
        })
    }

    /// Publishes lines of JSON, many in a request.
    pub(super) async fn of_lines(dialer: &sse::Dialer, event_bytes: usize) -> Result<Self> {
        let data = String::from_utf8(vec![b'x'; event_bytes])?;
        let line = format!("{}\n", serde_json::json!({"topic": "bench", "data": data}));
        Ok(Self {
            requests: dialer.connect().await?,
            path: "/publish",
            body: line.repeat(LINES).into(),
            events: LINES as u64,
            in_flight: LINES_IN_FLIGHT,
        })
    }

    /// Publishes for ever, and counts what the server has acknowledged.
    pub(super) async fn publish(self, tally: Tally) -> Result<()> {
        let each = (0..self.in_flight).map(|_| self.one_by_one(&tally));
        each.collect::<FuturesUnordered<_>>().try_collect().await
    }

    async fn one_by_one(&self, tally: &Tally) -> Result<()> {
        let mut requests = self.requests.clone();
        loop {
            let uri = format!("https://{}{}", tls::NAME, self.path);
            let request = Request::post(uri).body(Full::new(self.body.clone()))?;
            requests.ready().await?;
            let response = requests.send_request(request).await?;
            ensure!(response.status() == StatusCode::OK, "{}", response.status());
            let answer = response.into_body().collect().await;
            let answer = answer.context("the answer broke off")?.to_bytes();
            if self.events > 1 {
                let published: Published = serde_json::from_slice(&answer)?;
                ensure!(published.count == self.events, "some lines were refused");
            }
            tally.add(self.events);
        }
    }
}
