//! Who sends a request: its token, and whether a page of another origin may have sent it.

use axum::http::header::{AUTHORIZATION, COOKIE, FORWARDED, HOST, HeaderName, ORIGIN, VIA};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use qsse_server::{Origins, is_local_host};

use crate::config::Config;
use crate::problem::Problem;
use crate::query::Query;

/// What proxies add.
const PROXIED: [HeaderName; 4] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    VIA,
];

/// Returns the token of a request: from `Authorization`, or else from the query or the cookie, if
/// settings permit these.
///
/// # Errors
/// `Authorization` has something else, or a page of another origin may have sent the request, which
/// changes something and is let in for what the browser adds: a cookie, or its address.
pub(crate) fn token(
    config: &Config,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    query: &Query,
) -> Result<Option<String>, Problem> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let bearer = value.to_str().ok().and_then(bearer);
        let wrong = || {
            let detail = "Authorization must be `Bearer`, a space and the token";
            Problem::new(StatusCode::UNAUTHORIZED, detail)
        };
        return bearer.map(|token| Some(token.into())).ok_or_else(wrong);
    }
    if let Some(token) = query.one("token")? {
        if !config.query_token {
            let detail = "a token in the URL ends up in logs, so it is not read here: send it in \
                          `Authorization: Bearer`, or permit it with --http-query-token (Config::query_token)";
            return Err(Problem::bad_request(detail));
        }
        return Ok(Some(token.into()));
    }
    let name = config.cookie.as_deref();
    let token = name.and_then(|name| cookie(headers, name));
    // Browsers send an origin with everything that changes something; other programs send none.
    let is_trusted = match headers.get(ORIGIN) {
        Some(_) if config.origins == Origins::Any && token.is_none() && !config.local_only => true,
        Some(origin) => is_trusted(config, uri, headers, origin),
        None => token.is_none(),
    };
    if !method.is_safe() && !is_trusted {
        let detail = match headers.contains_key(ORIGIN) {
            true => {
                "a page of another origin may not do this: --http-origins (Config::origins) names \
                 those that may"
            }
            false => {
                "a request with a cookie needs the header Origin: send it, or the token in \
                 `Authorization: Bearer`"
            }
        };
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(token)
}

/// Checks that a program of this machine has sent a request, and no page that another name of this
/// machine has led here.
pub(crate) fn check_local(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    if PROXIED.iter().any(|name| headers.contains_key(name)) {
        return refuse(
            "a proxy passed this on, and the server trusts only this machine: give it tokens",
        );
    }
    let is_local = host(uri, headers).is_some_and(is_local_host);
    match is_local {
        true => Ok(()),
        false => refuse(
            "the server answers only to localhost, 127.0.0.1 and [::1]: give it tokens to open it to others",
        ),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(COOKIE).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';'));
    let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(own, _)| *own == name)?;
    Some(value.trim_matches('"').into())
}

/// Returns whether the page that sent a request is of this origin, or of one that may.
fn is_trusted(config: &Config, uri: &Uri, headers: &HeaderMap, origin: &HeaderValue) -> bool {
    let origin = origin.to_str();
    origin.is_ok_and(|origin| config.origins.trusts(origin, host(uri, headers)))
}

/// Returns the name and port under which the client calls the server.
fn host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    host.or_else(|| uri.authority().map(|authority| authority.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        config: &Config,
        method: Method,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<String>, u16> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let query = Query::read(Some(query), &["token"], &[]).unwrap();
        let uri = Uri::from_static("/events");
        token(config, &method, &uri, &headers, &query).map_err(|problem| problem.status)
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        let config = Config::default();
        for value in ["Bearer secret", "bearer  secret ", "BEARER secret"] {
            let token = ask(&config, Method::GET, "", &[("authorization", value)]);
            assert_eq!(token, Ok(Some("secret".into())), "{value}");
        }
        for value in ["Basic c2VjcmV0", "Bearer", "Bearer ", "secret"] {
            let token = ask(&config, Method::GET, "", &[("authorization", value)]);
            assert_eq!(token, Err(401), "{value}");
        }
        assert_eq!(ask(&config, Method::GET, "", &[]), Ok(None));
    }

    #[test]
    fn a_token_in_the_url_needs_a_setting() {
        let (strict, lax) = (Config::default(), Config::default().query_token(true));
        assert_eq!(ask(&strict, Method::GET, "token=secret", &[]), Err(400));
        assert_eq!(
            ask(&lax, Method::GET, "token=secret", &[]),
            Ok(Some("secret".into()))
        );
    }

    #[test]
    fn a_cookie_counts_only_for_pages_that_may_use_it() {
        let config = Config::default().cookie("qsse");
        let these = Origins::These(vec!["https://app.example.org".into()]);
        let shared = config.clone().origins(these);
        let cookie = ("cookie", "other=1; qsse=secret; qsse2=x");
        let host = ("host", "push.example.org");
        let own = ("origin", "https://push.example.org");
        let app = ("origin", "https://app.example.org");
        let secret = Ok(Some("secret".into()));
        assert_eq!(ask(&config, Method::GET, "", &[cookie, host, app]), secret);
        assert_eq!(ask(&config, Method::POST, "", &[cookie, host, own]), secret);
        assert_eq!(
            ask(&config, Method::POST, "", &[cookie, host, app]),
            Err(403)
        );
        assert_eq!(ask(&config, Method::POST, "", &[cookie, host]), Err(403));
        assert_eq!(ask(&shared, Method::POST, "", &[cookie, host, app]), secret);
        let null = ("origin", "null");
        assert_eq!(
            ask(&shared, Method::POST, "", &[cookie, host, null]),
            Err(403)
        );
        let any = Config::default().cookie("qsse").origins(Origins::Any);
        assert_eq!(ask(&any, Method::POST, "", &[host, app]), Ok(None));
        assert_eq!(ask(&any, Method::POST, "", &[cookie, host, app]), Err(403));
        let local = any.local_only(true);
        assert_eq!(ask(&local, Method::POST, "", &[host, app]), Err(403));
        let unread = Config::default();
        assert_eq!(
            ask(&unread, Method::POST, "", &[cookie, host, app]),
            Err(403),
            "the browser's address may be what lets it in"
        );
        assert_eq!(ask(&unread, Method::POST, "", &[cookie, host]), Ok(None));
        assert_eq!(ask(&unread, Method::GET, "", &[host, app]), Ok(None));
    }
}
