//! [`IntoServerUrl`]: what names a server.

use std::net::SocketAddr;

use qsse_transport::{ServerUrl, UrlError};

/// What [`Client::connect`](crate::Client::connect) takes: a [`ServerUrl`], a socket address, or text as `HOST`, `HOST:PORT` or
/// `qsse://HOST[:PORT][?fingerprint=SHA256]`.
pub trait IntoServerUrl {
    /// The server named.
    ///
    /// # Errors
    /// When the text names none.
    fn into_server_url(self) -> Result<ServerUrl, UrlError>;
}

impl IntoServerUrl for ServerUrl {
    fn into_server_url(self) -> Result<ServerUrl, UrlError> {
        Ok(self)
    }
}

impl IntoServerUrl for &ServerUrl {
    fn into_server_url(self) -> Result<ServerUrl, UrlError> {
        Ok(self.clone())
    }
}

impl IntoServerUrl for SocketAddr {
    fn into_server_url(self) -> Result<ServerUrl, UrlError> {
        Ok(self.into())
    }
}

impl IntoServerUrl for &str {
    fn into_server_url(self) -> Result<ServerUrl, UrlError> {
        self.parse()
    }
}

impl IntoServerUrl for String {
    fn into_server_url(self) -> Result<ServerUrl, UrlError> {
        self.parse()
    }
}

impl IntoServerUrl for &String {
    fn into_server_url(self) -> Result<ServerUrl, UrlError> {
        self.parse()
    }
}
