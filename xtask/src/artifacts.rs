//! Builds programs with the dependencies of the tests, so that nothing is built twice.
//!
//! `cargo run --package` would choose other features, and build most dependencies again.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{command::cargo, workspace::Target};

/// The tests of ci: all targets that have tests. `--bins` and `--examples` would also build test
/// harnesses without tests.
pub(crate) const TEST: &str = "test --no-fail-fast --tests";

/// Builds every program that a task runs. With the examples, cargo chooses the features that it
/// chooses for the tests.
const PROGRAMS: &str = "build --examples --bin qsse --bin qsse-attack --bin qsse-fuzz --bin qsse-interop --bin qsse-soak";

/// Builds the program of kind `bin` or `example` called `name`, and returns its path.
pub(crate) fn program(kind: &str, name: &str) -> Result<PathBuf> {
    let messages = cargo(PROGRAMS).arg("--message-format=json-render-diagnostics");
    find(&messages.output()?, kind, name).with_context(|| format!("no {kind} {name} was built"))
}

/// Builds the programs with these names in release mode, and returns their paths.
pub(crate) fn released<const N: usize>(programs: [&str; N]) -> Result<[PathBuf; N]> {
    let mut build = cargo(
        "build --release --package qsse-attack --package qsse-cli --package qsse-fuzz --package qsse-soak",
    );
    for name in programs {
        build = build.arg(&format!("--bin={name}"));
    }
    let messages = build
        .arg("--message-format=json-render-diagnostics")
        .output()?;
    let mut found = programs.map(|_| PathBuf::new());
    for (place, name) in found.iter_mut().zip(programs) {
        let path = find(&messages, "bin", name);
        *place = path.with_context(|| format!("no program {name} was built"))?;
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
