//! [`Config`]: the settings of the routes.

use std::time::Duration;

use qsse_server::Origins;

/// The settings of the routes. The limits on events, subscriptions and clients are those of the
/// server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Which pages of other origins may use the routes (CORS). Default: none.
    pub origins: Origins,
    /// The cookie that has the token, for pages, which cannot set headers on an `EventSource`.
    /// Requests that change something then need an `Origin` that is this one or one of
    /// [`origins`](Self::origins). Default: no cookie is read.
    pub cookie: Option<String>,
    /// Whether `?token=` is read. Proxies and servers log URLs, so a token there is soon in many
    /// files. Default: no.
    pub query_token: bool,
    /// Whether only programs of this machine are answered: requests that name it as `localhost` or
    /// by a loopback address, and that no proxy has passed on. For servers that trust whoever
    /// reaches them over loopback: without this, a web page could reach them through the browser of
    /// this machine. Default: no.
    pub local_only: bool,
    /// The longest body of `POST /publish`, which has many events. Default: 64 MiB. It is never in
    /// memory as a whole.
    pub lines_bytes: usize,
    /// The bytes of all bodies that are in memory. Further requests wait. Default: 64 MiB, as for
    /// unfinished frames of the server.
    pub bodies_bytes: usize,
    /// How long a client may send nothing while its body is awaited, and a third of the time for the
    /// whole body of one event. Default: 10 s.
    pub body_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            origins: Origins::None,
            cookie: None,
            query_token: false,
            local_only: false,
            lines_bytes: 64 << 20,
            bodies_bytes: 64 << 20,
            body_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Sets which pages of other origins may use the routes.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets the cookie that has the token.
    #[must_use]
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.cookie = Some(name.into());
        self
    }

    /// Sets whether `?token=` is read.
    #[must_use]
    pub fn query_token(mut self, read: bool) -> Self {
        self.query_token = read;
        self
    }

    /// Sets whether only programs of this machine are answered.
    #[must_use]
    pub fn local_only(mut self, local: bool) -> Self {
        self.local_only = local;
        self
    }

    /// Sets the longest body of `POST /publish`, in bytes.
    #[must_use]
    pub fn lines_bytes(mut self, bytes: usize) -> Self {
        self.lines_bytes = bytes;
        self
    }

    /// Sets the bytes of all bodies in memory.
    #[must_use]
    pub fn bodies_bytes(mut self, bytes: usize) -> Self {
        self.bodies_bytes = bytes;
        self
    }

    /// Sets how long a client may send nothing while its body is awaited.
    #[must_use]
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }
}
