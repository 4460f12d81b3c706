//! [`IntoServerUrl`]: conversion to a server's address.

use std::net::SocketAddr;

use qsse_transport::{ServerUrl, UrlError};

/// What [`Client::connect`](crate::Client::connect) accepts: a [`ServerUrl`], a socket address, or
/// text of the form `HOST`, `HOST:PORT` or `qsse://HOST[:PORT][?fingerprint=SHA256]`.
pub trait IntoServerUrl {
    /// Converts to the server's address.
    ///
    /// # Errors
    /// Fails if the text is not an address.
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
