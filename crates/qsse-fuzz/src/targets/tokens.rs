//! The tokens file.

use std::net::SocketAddr;

use futures_util::FutureExt as _;
use qsse_auth::Tokens;
use qsse_server::{Authenticator as _, Credentials};

/// Reads a tokens file. No token is accepted that is not in it, and no error shows a token.
pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let tokens = match Tokens::parse(&text) {
        Ok(tokens) => tokens,
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains(SECRET), "{error}");
            return;
        }
    };
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    for token in [None, Some(""), Some("*"), Some(" "), Some(SECRET)] {
        let credentials = Credentials::new(token, address);
        let answer = tokens.authenticate(credentials).now_or_never();
        let answer = answer.expect("it does not wait");
        let is_there = token.is_some_and(|token| text.contains(token));
        assert!(is_there || answer.is_err(), "{token:?} is accepted");
    }
}

/// The token of the corpus.
const SECRET: &str = "7Qw0cJ1vTqMZ5m2rYxN4kA";

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        format!(
            "[[token]]\nname = \"driver 7\"\ntoken = \"{SECRET}\"\nsubscribe = [\"ride.*\"]\n\
             publish = [\"ride.7.*\"]\nexpires = \"2027-01-31T00:00:00Z\"\nnamespace = \"tenant7\"\n\
             limits = {{ connections = 4 }}\n"
        ),
        format!(
            "[[token]]\ntoken = \"{SECRET}\"\nsubscribe = [\"*\"]\n\n[[token]]\nname = \"b\"\n\
             hash = \"sha256:{}\"\npublish = [\"a\", \"b.*\"]\n",
            "0a".repeat(32)
        ),
        format!("[[token]]\ntoken = '{SECRET}'\nsubscribe = ['a..b']\n"),
        format!("token = [{{ token = \"{SECRET}\", subscribe = [] }}]\n"),
        String::new(),
    ];
    texts.map(String::into_bytes).into()
}
