//! [`WebTransport`]: which sessions of browsers are let in.

use qsse_proto::WEB_TRANSPORT_PATH;
use qsse_transport::http3::http::header::{FORWARDED, HeaderName, ORIGIN, VIA};
use qsse_transport::http3::http::{Request, StatusCode};

use crate::origins::{Origins, is_local_host};

/// What proxies add.
const PROXIED: [HeaderName; 4] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    VIA,
];

/// Which clients may open sessions of WebTransport, at the path `/qsse/1`. Everything else about
/// them is decided as for other clients: a token comes in the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebTransport {
    /// The pages of other origins that may. Clients that send no `Origin` are no browsers, and may
    /// always. Default: none.
    pub origins: Origins,
    /// Whether only programs of this machine are let in, and no page but those of
    /// [`origins`](Self::origins) by their names: for servers that trust whoever reaches them over
    /// loopback. Default: no.
    pub local_only: bool,
}

impl WebTransport {
    /// Sets the pages of other origins that may open sessions.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets whether only programs of this machine are let in.
    #[must_use]
    pub fn local_only(mut self, local: bool) -> Self {
        self.local_only = local;
        self
    }

    /// Checks a request for a session (QP-15.2, QP-15.3).
    ///
    /// # Errors
    /// The status and the text of the answer.
    pub(crate) fn check(&self, head: &Request<()>) -> Result<(), (StatusCode, &'static str)> {
        if head.uri().path() != WEB_TRANSPORT_PATH {
            let text = "sessions are at the path /qsse/1\n";
            return Err((StatusCode::NOT_FOUND, text));
        }
        let (uri, headers) = (head.uri(), head.headers());
        let host = uri.authority().map(|authority| authority.as_str());
        let is_proxied = PROXIED.iter().any(|name| headers.contains_key(name));
        if self.local_only && (is_proxied || !host.is_some_and(is_local_host)) {
            let text = "the server answers only to programs of its machine: give it tokens\n";
            return Err((StatusCode::FORBIDDEN, text));
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let is_trusted = origins.all(|origin| match origin.to_str() {
            Ok(origin) => {
                let any = self.origins == Origins::Any && !self.local_only;
                any || self.origins.trusts(origin, host)
            }
            Err(_) => false,
        });
        match is_trusted {
            true => Ok(()),
            false => {
                let text = "a page of another origin may not do this: --http-origins \
                            (WebTransport::origins) names those that may\n";
                Err((StatusCode::FORBIDDEN, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &WebTransport, authority: &str, headers: &[(&str, &str)]) -> u16 {
        let uri = format!("https://{authority}/qsse/1");
        let mut head = Request::builder().method("CONNECT").uri(uri);
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let checked = rules.check(&head.body(()).unwrap());
        checked.map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    const HUB: &str = "hub.example.org:4242";
    const APP: (&str, &str) = ("origin", "https://app.example.org");

    // QP-15.3.
    #[test]
    fn pages_of_other_origins_are_refused_unless_they_are_named() {
        let none = WebTransport::default();
        let these = none.clone().origins(Origins::These(vec![APP.1.into()]));
        let any = none.clone().origins(Origins::Any);
        let other = ("origin", "https://evil.example.org");
        let null = ("origin", "null");
        let own = ("origin", "https://hub.example.org:4242");
        for (rules, headers, status) in [
            (&none, &[][..], 200),
            (&none, &[own], 200),
            (&none, &[APP], 403),
            (&none, &[null], 403),
            (&these, &[APP], 200),
            (&these, &[other], 403),
            (&these, &[APP, other], 403),
            (&these, &[null], 403),
            (&any, &[other], 200),
        ] {
            assert_eq!(check(rules, HUB, headers), status, "{rules:?} {headers:?}");
        }
    }

    #[test]
    fn a_server_that_trusts_its_machine_trusts_no_page_but_those_that_are_named() {
        let local = WebTransport::default().local_only(true);
        let these = local.clone().origins(Origins::These(vec![APP.1.into()]));
        let any = local.clone().origins(Origins::Any);
        let forwarded = ("x-forwarded-for", "10.0.0.1");
        for (rules, authority, headers, status) in [
            (&local, "localhost:4242", &[][..], 200),
            (&local, "127.0.0.1:4242", &[], 200),
            (&local, "[::1]:4242", &[], 200),
            (&local, "evil.example.org:4242", &[], 403),
            (&local, "localhost:4242", &[forwarded], 403),
            (&local, "localhost:4242", &[APP], 403),
            (&any, "localhost:4242", &[APP], 403),
            (&these, "localhost:4242", &[APP], 200),
            (&these, "evil.example.org:4242", &[APP], 403),
        ] {
            assert_eq!(check(rules, authority, headers), status, "{authority}");
        }
    }

    // QP-15.2.
    #[test]
    fn sessions_are_at_one_path() {
        for (path, status) in [
            ("/qsse/1", 200),
            ("/qsse/1?x=1", 200),
            ("/", 404),
            ("/qsse/2", 404),
        ] {
            let uri = format!("https://{HUB}{path}");
            let head = Request::builder().uri(uri).body(()).unwrap();
            let checked = WebTransport::default().check(&head);
            let seen = checked.map_or_else(|(status, _)| status.as_u16(), |()| 200);
            assert_eq!(seen, status, "{path}");
        }
    }
}
