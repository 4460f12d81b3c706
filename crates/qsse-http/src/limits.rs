//! [`ListenerLimits`]: what the connections of a [`Listener`](crate::Listener) may take.

use std::time::Duration;

use qsse_proto::limits::SettingError;

/// What the connections of a [`Listener`](crate::Listener) may take.
///
/// Streams, patterns and unread bytes are limited by the server, for HTTP clients as for all others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerLimits {
    /// Concurrent connections. When all places are taken, the connection that has had no request
    /// for longest makes room, of a network with more than a quarter of the places first. Without
    /// such a connection the newcomer is refused. Default: 10,000, as for `qsse/1`: each takes some
    /// 40 KiB.
    pub connections: usize,
    /// The time for the TLS handshake, and again for the head of the first request. A client that
    /// was not let in after twice that time is cut off too. Default: 5 s, as for a native `Hello`.
    pub head_timeout: Duration,
    /// How long a connection may be open without a request that goes on. The head of a further
    /// request has to come in that time too. Default: 60 s, so that pages find their connection
    /// again while somebody reads them.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer that goes on. Then its connection ends: what
    /// it has not read takes memory, and the connection a place. Clients that read slowly take a
    /// block of up to 64 KiB at a time, so this is long. Default: 2 min.
    pub stall_timeout: Duration,
    /// Requests of one HTTP/2 connection at a time; further ones wait in the client. Default: 100,
    /// as many as browsers open.
    pub streams: u32,
    /// The most bytes of the head of a request. Default: 16 KiB: a token has at most 4 KiB.
    pub head_bytes: usize,
    /// Requests that a client of HTTP/2 may give up in one second. One more ends the connection:
    /// to begin requests and to give them up costs a client almost nothing. Default: 128, so that a
    /// page may close all of its streams at once.
    pub resets: u32,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(120),
            streams: 100,
            head_bytes: 16 << 10,
            resets: 128,
        }
    }
}

impl ListenerLimits {
    /// Checks that a listener can work with these limits.
    ///
    /// # Errors
    /// The first one that is out of range.
    pub fn check(&self) -> Result<(), SettingError> {
        let times = Duration::from_millis(10)..=Duration::from_secs(24 * 3600);
        let all = [
            SettingError::number("connections", self.connections as u64, 1..=u64::MAX),
            SettingError::duration("head_timeout", self.head_timeout, times.clone()),
            SettingError::duration("idle_timeout", self.idle_timeout, times.clone()),
            SettingError::duration("stall_timeout", self.stall_timeout, times),
            SettingError::number("streams", self.streams.into(), 1..=u64::MAX),
            SettingError::number("head_bytes", self.head_bytes as u64, 8 << 10..=16 << 20),
        ];
        all.into_iter().collect()
    }

    /// Sets the concurrent connections.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Sets the time for the TLS handshake, and again for the head of the first request.
    #[must_use]
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = timeout;
        self
    }

    /// Sets how long a connection may be open without a request.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets how long a client may take nothing of an answer.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// Sets the requests of one HTTP/2 connection at a time.
    #[must_use]
    pub fn streams(mut self, streams: u32) -> Self {
        self.streams = streams;
        self
    }

    /// Sets the most bytes of the head of a request, from 8 KiB to 16 MiB.
    #[must_use]
    pub fn head_bytes(mut self, bytes: usize) -> Self {
        self.head_bytes = bytes;
        self
    }

    /// Sets the requests that a client may give up in one second.
    #[must_use]
    pub fn resets(mut self, resets: u32) -> Self {
        self.resets = resets;
        self
    }
}
