//! [`Tokens`]: the file that says what each token may do.
//!
//! ```toml
//! [[token]]
//! token = "…"
//! subscribe = ["ride.*"]
//! publish = ["ride.7.start"]
//! ```

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use qsse_server::{Action, Authenticator, Authorizer, Credentials, Denied, Principal, Scope};
use qsse_topic::{Filter, Pattern, PatternRef};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tracing::Level;

use crate::console::message;
use crate::exit::usage;

mod problem;

/// The longest token that clients can send.
const TOKEN_BYTES: usize = 4096;

/// What each token may do. Clones share it.
///
/// Tokens are kept and looked up by their SHA-256 only: how long a comparison takes tells nothing about a token.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<HashMap<[u8; 32], Grant>>);

/// What one token may do; `None` is nothing.
struct Grant {
    /// For logs, as the token must not be there.
    name: String,
    subscribe: Option<Filter>,
    publish: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: String,
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    publish: Vec<String>,
}

/// Reads the file.
///
/// # Errors
/// When it cannot be read or understood, or gives nobody anything: a server never opens up because of its file.
pub(crate) fn read(path: &Path) -> Result<Tokens> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| usage(format!("cannot read the tokens file {shown}: {error}")))?;
    let tokens =
        parse(&text).map_err(|problem| usage(format!("the tokens file {shown}: {problem}")))?;
    warn_if_readable_by_others(path);
    Ok(tokens)
}

/// The messages tell places, never a token.
fn parse(text: &str) -> Result<Tokens, String> {
    let file: File = toml::from_str(text).map_err(|error| problem::describe(text, &error))?;
    if file.token.is_empty() {
        return Err("there is no [[token]] in it: nobody could connect".into());
    }
    let mut grants = HashMap::new();
    for (i, entry) in file.token.into_iter().enumerate() {
        let name = format!("token {}", i + 1);
        match entry.token.len() {
            0 => return Err(format!("{name} is empty")),
            1..=TOKEN_BYTES => {}
            _ => return Err(format!("{name} has more than {TOKEN_BYTES} bytes")),
        }
        let grant = Grant {
            subscribe: filter(&name, "subscribe", entry.subscribe)?,
            publish: filter(&name, "publish", entry.publish)?,
            name,
        };
        if grant.subscribe.is_none() && grant.publish.is_none() {
            return Err(format!(
                "{} may do nothing: give it subscribe or publish",
                grant.name
            ));
        }
        if let Some(other) = grants.insert(digest(&entry.token), grant) {
            return Err(format!("token {} is the same as {}", i + 1, other.name));
        }
    }
    Ok(Tokens(Arc::new(grants)))
}

fn filter(name: &str, what: &str, patterns: Vec<String>) -> Result<Option<Filter>, String> {
    let parsed: Result<Vec<_>, _> = patterns
        .iter()
        .map(|pattern| {
            Pattern::new(pattern).map_err(|error| format!("{name}: {what} {pattern:?}: {error}"))
        })
        .collect();
    Ok(Filter::new(parsed?).ok())
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl Tokens {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn grant(&self, token: Option<&str>) -> Option<&Grant> {
        self.0.get(&digest(token?))
    }

    fn allows(&self, token: Option<&str>, action: Action, resource: PatternRef<'_>) -> bool {
        let filter = self.grant(token).and_then(|grant| match action {
            Action::Subscribe => grant.subscribe.as_ref(),
            Action::Publish => grant.publish.as_ref(),
            _ => None,
        });
        filter.is_some_and(|filter| filter.contains(resource))
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        match self.grant(credentials.token) {
            Some(grant) => Ok(Principal::new(&grant.name)),
            None if credentials.token.is_none() => Err(Denied::new("this server wants a token")),
            None => Err(Denied::new("this server does not know the token")),
        }
    }
}

#[async_trait]
impl Authorizer for Tokens {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        resource: PatternRef<'_>,
    ) -> bool {
        self.allows(principal.token(), action, resource)
    }
}

#[cfg(unix)]
fn warn_if_readable_by_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
    if open {
        let path = path.display();
        message(
            Level::WARN,
            format_args!("other users may read {path}: chmod 600 {path}"),
        );
    }
}

#[cfg(not(unix))]
fn warn_if_readable_by_others(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[token]]
        token = "reader"
        subscribe = ["ride.*", "people"]

        [[token]]
        token = "writer"
        publish = ["ride.*.start"]
    "#;

    #[test]
    fn a_token_may_do_what_its_patterns_contain_and_no_more() {
        let tokens = parse(FILE).unwrap();
        let allows = |token, action, pattern: &str| {
            let pattern = Pattern::new(pattern).unwrap();
            tokens.allows(token, action, pattern.as_pattern_ref())
        };
        let (reader, writer) = (Some("reader"), Some("writer"));
        for allowed in ["ride.*", "ride.7", "ride.*.start", "people"] {
            assert!(allows(reader, Action::Subscribe, allowed), "{allowed}");
        }
        for denied in ["*", "ride", "*.7", "people.*", "$sys.x"] {
            assert!(!allows(reader, Action::Subscribe, denied), "{denied}");
        }
        assert!(allows(writer, Action::Publish, "ride.7.start"));
        assert!(!allows(writer, Action::Publish, "ride.7.end"));
        assert!(!allows(writer, Action::Subscribe, "ride.7.start"));
        assert!(!allows(reader, Action::Publish, "ride.7.start"));
        assert!(!allows(Some("rider"), Action::Subscribe, "people"));
        assert!(!allows(Some(""), Action::Subscribe, "people"));
        assert!(!allows(None, Action::Subscribe, "people"));
    }

    #[test]
    fn a_file_that_gives_nothing_is_an_error_and_no_error_shows_a_token() {
        let long = format!(
            "[[token]]\ntoken = 'sesame{}'\npublish = ['a']",
            "x".repeat(4096)
        );
        for (file, part) in [
            ("", "no [[token]]"),
            ("# only a comment", "no [[token]]"),
            ("[[token]]\ntoken = ''\npublish = ['a']", "token 1 is empty"),
            ("[[token]]\ntoken = 'sesame'", "token 1 may do nothing"),
            (
                "[[token]]\ntoken = 'sesame'\npublish = ['a..b']",
                "token 1: publish \"a..b\"",
            ),
            (
                "[[token]]\ntoken = 'sesame'\npublish = ['a']\n[[token]]\ntoken = 'sesame'\npublish = ['b']",
                "token 2 is the same as token 1",
            ),
            (
                "[[token]]\ntoken = 'sesame'\npublsh = ['a']",
                "line 3: unknown field `publsh`",
            ),
            ("[[token]]\ntoken = sesame", "line 2"),
            ("[[token]]\ntoken = 'sesame", "line 2"),
            (
                "[[token]]\ntoken = ['sesame']",
                "line 2: a wrong type, expected a string",
            ),
            (
                "token = 'sesame'",
                "line 1: a wrong type, expected a sequence",
            ),
            ("['sesame']", "line 1: unknown field, expected `token`"),
            (
                "[[token]]\nsesame = 'x'",
                "line 2: unknown field, expected one of",
            ),
            (
                "[[token]]\ntoken = 'sesame'\nsubscribe = 'sesame, expected sesame'",
                "line 3: a wrong type, expected a sequence",
            ),
            (
                "[[token]]\ntoken = 'x'\ntoken = 'sesame'\npublish = ['a']",
                "line 3",
            ),
            ("[[token]]\npublish = ['sesame']", "missing field `token`"),
            (&long, "token 1 has more than 4096 bytes"),
        ] {
            let problem = parse(file).err().unwrap();
            assert!(problem.contains(part), "{problem:?} lacks {part:?}");
            assert!(!problem.contains("sesame"), "{problem}");
        }
    }
}
