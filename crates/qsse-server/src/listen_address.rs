//! [`IntoListenAddress`]: where a server listens.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// What [`Server::bind`](crate::Server::bind) takes: a socket address, an IP address and a port, or
/// text such as `127.0.0.1:4242` or `localhost:4242`.
///
/// A name is looked up once the builder is awaited, without blocking its runtime; its first address
/// is used.
pub trait IntoListenAddress {
    /// Returns the address.
    fn into_listen_address(self) -> ListenAddress;
}

/// Where a server listens. Made by [`IntoListenAddress`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress(Address);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Socket(SocketAddr),
    /// A name and a port, or text that is none.
    Name(String),
}

impl ListenAddress {
    /// The text of an address that has to be looked up.
    pub(crate) fn text(&self) -> String {
        match &self.0 {
            Address::Socket(address) => address.to_string(),
            Address::Name(name) => name.clone(),
        }
    }

    /// Returns its first socket address.
    pub(crate) async fn resolve(&self) -> io::Result<SocketAddr> {
        let name = match &self.0 {
            Address::Socket(address) => return Ok(*address),
            Address::Name(name) => name,
        };
        let none = || io::Error::new(io::ErrorKind::NotFound, "no address");
        tokio::net::lookup_host(name).await?.next().ok_or_else(none)
    }
}

impl IntoListenAddress for ListenAddress {
    fn into_listen_address(self) -> ListenAddress {
        self
    }
}

impl IntoListenAddress for SocketAddr {
    fn into_listen_address(self) -> ListenAddress {
        ListenAddress(Address::Socket(self))
    }
}

impl<I: Into<IpAddr>> IntoListenAddress for (I, u16) {
    fn into_listen_address(self) -> ListenAddress {
        SocketAddr::from(self).into_listen_address()
    }
}

impl IntoListenAddress for &str {
    fn into_listen_address(self) -> ListenAddress {
        let address = self.parse().map(Address::Socket);
        ListenAddress(address.unwrap_or_else(|_| Address::Name(self.to_owned())))
    }
}

impl IntoListenAddress for String {
    fn into_listen_address(self) -> ListenAddress {
        self.as_str().into_listen_address()
    }
}

impl IntoListenAddress for &String {
    fn into_listen_address(self) -> ListenAddress {
        self.as_str().into_listen_address()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn each_form_is_resolved() {
        let expected = SocketAddr::from(([127, 0, 0, 1], 4242));
        for address in [
            "127.0.0.1:4242".into_listen_address(),
            String::from("127.0.0.1:4242").into_listen_address(),
            (Ipv4Addr::LOCALHOST, 4242).into_listen_address(),
            expected.into_listen_address(),
        ] {
            assert_eq!(address.resolve().await.unwrap(), expected);
            assert_eq!(address.text(), "127.0.0.1:4242");
        }
        let named = "localhost:4242".into_listen_address().resolve().await;
        let named = named.unwrap();
        assert!(named.ip().is_loopback() && named.port() == 4242, "{named}");
        assert!("nowhere".into_listen_address().resolve().await.is_err());
    }
}
