//! Programs that are built already: the ones `cargo test` makes, found instead of built again.
//!
//! `cargo run` would build them anew with other features, and most of the tree below them.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{command::cargo, workspace::Target};

/// What `cargo test` builds in ci. Everyone uses this selection, so that it is built once.
pub(crate) const TEST: &str = "test --no-fail-fast --lib --bins --tests --examples";

/// The same packages and features as programs: `cargo test --examples` makes test harnesses of the examples.
const PROGRAMS: &str = "build --bins --examples";

/// The program of kind `bin` or `example` called `name`; what it is built from is shared with the tests.
pub(crate) fn program(kind: &str, name: &str) -> Result<PathBuf> {
    let messages = cargo(PROGRAMS).arg("--message-format=json-render-diagnostics");
    find(&messages.output()?, kind, name).with_context(|| format!("no {kind} {name} was built"))
}

/// Programs of these kinds and names, built for speed.
pub(crate) fn released<const N: usize>(programs: [(&str, &str); N]) -> Result<[PathBuf; N]> {
    let mut build = cargo("build --release --package qsse-cli --package qsse-testing");
    for (kind, name) in programs {
        build = build.arg(&format!("--{kind}={name}"));
    }
    let messages = build
        .arg("--message-format=json-render-diagnostics")
        .output()?;
    let mut found = programs.map(|_| PathBuf::new());
    for (place, (kind, name)) in found.iter_mut().zip(programs) {
        let path = find(&messages, kind, name);
        *place = path.with_context(|| format!("no {kind} {name} was built"))?;
    }
    Ok(found)
}

fn find(messages: &str, kind: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .find_map(|message| {
            let wanted = message.target.name == name
                && message.target.kind.iter().any(|k| k == kind)
                && !message.profile.test;
            message.executable.filter(|_| wanted)
        })
}

#[derive(Deserialize)]
struct Message {
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_told_from_its_tests_and_its_namesakes() {
        let line = |kind: &str, name: &str, test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}","kind":["{kind}"]}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let messages = [
            r#"{"reason":"build-script-executed"}"#.to_owned(),
            line("lib", "simple", false, "null"),
            line("bin", "simple", false, r#""/t/bin""#),
            line("example", "simple", true, r#""/t/tests""#),
            line("example", "simple", false, r#""/t/example""#),
        ]
        .join("\n");
        assert_eq!(
            find(&messages, "example", "simple"),
            Some("/t/example".into())
        );
        assert_eq!(find(&messages, "bin", "simple"), Some("/t/bin".into()));
        assert_eq!(find(&messages, "bin", "other"), None);
    }
}
