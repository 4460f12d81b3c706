//! [`Origins`]: the pages of other origins that may use a server.

use std::net::IpAddr;

/// Which pages of other origins may use a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// None: only pages of this origin, and programs that are not browsers.
    #[default]
    None,
    /// Any page, without cookies.
    Any,
    /// Pages of these origins, such as `https://app.example.org`, also with cookies.
    These(Vec<String>),
}

impl Origins {
    /// Returns whether a page of `origin` is named here, or is of the host and port by which it
    /// calls the server.
    pub fn trusts(&self, origin: &str, host: Option<&str>) -> bool {
        if let Self::These(origins) = self
            && origins.iter().any(|own| own == origin)
        {
            return true;
        }
        let of_origin = origin.split_once("://").map(|(_, host)| host);
        host.is_some() && host == of_origin
    }
}

/// Returns whether a host, with or without a port, is a name of this machine that nobody else can
/// register: `localhost` or a loopback address.
pub fn is_local_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
