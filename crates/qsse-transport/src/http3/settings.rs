//! [`Settings`]: limits of a connection.

use std::time::Duration;

/// Limits of a connection that speaks HTTP/3.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The most bytes of a head, encoded and decoded. Default 16 KiB.
    ///
    /// It is also the most bytes of any other frame that has to be complete before it is
    /// understood.
    pub max_head: usize,
    /// How long a client may take for the head of a request, and to begin a stream. Default 5 s.
    pub head_timeout: Duration,
    /// How many requests of the connection may be open. Default 128: browsers open up to 100. The
    /// streams of a WebTransport session count too.
    pub max_requests: u32,
    /// Whether clients may open a WebTransport session, one at a time. Default no.
    pub web_transport: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_head: 16 << 10,
            head_timeout: Duration::from_secs(5),
            max_requests: 128,
            web_transport: false,
        }
    }
}

impl Settings {
    /// Sets [`max_head`](Self#structfield.max_head).
    #[must_use]
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.max_head = bytes;
        self
    }

    /// Sets [`head_timeout`](Self#structfield.head_timeout).
    #[must_use]
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = timeout;
        self
    }

    /// Sets [`max_requests`](Self#structfield.max_requests).
    #[must_use]
    pub fn max_requests(mut self, count: u32) -> Self {
        self.max_requests = count;
        self
    }

    /// Sets [`web_transport`](Self#structfield.web_transport).
    #[must_use]
    pub fn web_transport(mut self, allowed: bool) -> Self {
        self.web_transport = allowed;
        self
    }
}
