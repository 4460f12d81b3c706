//! [`Tokens`]: the file that grants permissions to tokens.
//!
//! ```toml
//! [[token]]
//! name = "drivers"
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

/// The longest name of a token.
const NAME_BYTES: usize = 64;

/// The permissions of all tokens. Clones share them.
///
/// Tokens are stored and looked up by their SHA-256 only, so the time of a comparison reveals
/// nothing.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<HashMap<[u8; 32], Grant>>);

/// The permissions of one token; `None` means nothing.
struct Grant {
    /// The name for logs, where the token must not appear.
    shown: String,
    /// The name in the file. Without it, the keys of its publishes belong to the token.
    name: Option<String>,
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
    name: Option<String>,
    token: String,
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    publish: Vec<String>,
}

/// Reads the file.
///
/// # Errors
/// The file cannot be read or parsed, or grants nothing: a server is never opened by its file.
pub(crate) fn read(path: &Path) -> Result<Tokens> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| usage(format!("cannot read the tokens file {shown}: {error}")))?;
    let tokens =
        parse(&text).map_err(|problem| usage(format!("the tokens file {shown}: {problem}")))?;
    warn_if_readable_by_others(path);
    Ok(tokens)
}

/// Parses the file. Messages tell places, but never show a token.
fn parse(text: &str) -> Result<Tokens, String> {
    let file: File = toml::from_str(text).map_err(|error| problem::describe(text, &error))?;
    if file.token.is_empty() {
        return Err("there is no [[token]] in it: nobody could connect".into());
    }
    let mut grants = HashMap::new();
    let mut names = HashMap::new();
    for (i, entry) in file.token.into_iter().enumerate() {
        let place = format!("token {}", i + 1);
        match entry.token.len() {
            0 => return Err(format!("{place} is empty")),
            1..=TOKEN_BYTES => {}
            _ => return Err(format!("{place} has more than {TOKEN_BYTES} bytes")),
        }
        if let Some(name) = &entry.name {
            check_name(&place, name, &entry.token)?;
            if let Some(other) = names.insert(name.clone(), place.clone()) {
                return Err(format!("{place} has the same name as {other}: {name:?}"));
            }
        }
        let grant = Grant {
            subscribe: filter(&place, "subscribe", entry.subscribe)?,
            publish: filter(&place, "publish", entry.publish)?,
            shown: entry.name.clone().unwrap_or_else(|| place.clone()),
            name: entry.name,
        };
        if grant.subscribe.is_none() && grant.publish.is_none() {
            return Err(format!(
                "{place} may do nothing: give it subscribe or publish"
            ));
        }
        if let Some(other) = grants.insert(digest(&entry.token), grant) {
            return Err(format!("{place} is the same as {}", other.shown));
        }
    }
    Ok(Tokens(Arc::new(grants)))
}

/// Checks a name. It appears in logs, so it must not contain the token.
fn check_name(place: &str, name: &str, token: &str) -> Result<(), String> {
    let good = !name.is_empty() && name.len() <= NAME_BYTES && !name.contains(char::is_control);
    if name.contains(token) {
        return Err(format!("the name of {place} contains its token"));
    }
    match good {
        true => Ok(()),
        false => Err(format!(
            "the name of {place} must have 1 to {NAME_BYTES} bytes and no control character"
        )),
    }
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
        let Some(token) = credentials.token else {
            return Err(Denied::new("this server wants a token"));
        };
        match self.grant(Some(token)) {
            Some(Grant {
                name: Some(name), ..
            }) => Ok(Principal::new(name)),
            Some(grant) => Ok(Principal::of_token(&grant.shown, token)),
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
            (
                "[[token]]\nname = 'x'\ntoken = 'sesame'\npublish = ['a']\n[[token]]\nname = 'x'\ntoken = 'sesame 2'\npublish = ['a']",
                "token 2 has the same name as token 1: \"x\"",
            ),
            (
                "[[token]]\nname = ''\ntoken = 'sesame'\npublish = ['a']",
                "the name of token 1 must have 1 to 64 bytes",
            ),
            (
                "[[token]]\nname = 'my sesame'\ntoken = 'sesame'\npublish = ['a']",
                "the name of token 1 contains its token",
            ),
        ] {
            let problem = parse(file).err().unwrap();
            assert!(problem.contains(part), "{problem:?} lacks {part:?}");
            assert!(!problem.contains("sesame"), "{problem}");
        }
    }
}
