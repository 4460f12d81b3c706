//! Checks for what code must not contain: lints silenced without a reason, `unsafe`, clocks where
//! time is passed in, and reminders.

use super::{
    Problem,
    code::{is_test, lines_with_word, without_comments_and_literals, without_tests},
};
use crate::workspace::File;

/// Crates without a clock: callers pass the time.
const WITHOUT_CLOCK: [&str; 4] = [
    "crates/qsse-topic/src/",
    "crates/qsse-proto/src/",
    "crates/qsse-log/src/",
    "crates/qsse-store/src/",
];

/// Crates that are not published. They may print.
const UNPUBLISHED: [&str; 8] = [
    "crates/qsse-attack/",
    "crates/qsse-bench/",
    "crates/qsse-fuzz/",
    "crates/qsse-interop/",
    "crates/qsse-sim/",
    "crates/qsse-soak/",
    "crates/qsse-testing/",
    "crates/qsse-topic/peers/",
];

/// The only crate with `unsafe` code.
const WITH_UNSAFE: &str = "crates/qsse-transport/";

/// Words of reminders, written so that this file does not contain them.
const LEFTOVERS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("dbg", "!"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
];

/// Checks Rust code.
pub(super) fn check(file: &File) -> Vec<Problem> {
    let path = &file.path;
    let code = without_comments_and_literals(&file.text);
    let mut problems = attributes(path, &code);
    if !path.starts_with(WITH_UNSAFE) {
        let message = format!("unsafe code belongs behind a safe function of {WITH_UNSAFE}");
        problems.extend(
            lines_with_word(&code, "unsafe").map(|line| Problem::at_line(path, line, &*message)),
        );
    }
    if WITHOUT_CLOCK.iter().any(|folder| path.starts_with(folder)) && !is_test(path) {
        for clock in ["Instant::now", "SystemTime::now"] {
            let message = format!("{clock}: this crate has no clock, the caller passes the time");
            problems.extend(
                lines_with_word(without_tests(&code), clock)
                    .map(|line| Problem::at_line(path, line, &*message)),
            );
        }
    }
    if is_published_root(path) && !file.text.contains("clippy::print_stderr") {
        let message = "deny clippy::print_stdout and clippy::print_stderr here, with a reason";
        problems.push(Problem::at(path, message));
    }
    problems.extend(banners(path, &file.text));
    problems
}

/// Whether this is the root of a published crate.
fn is_published_root(path: &str) -> bool {
    let is_root = path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
    let is_unpublished = UNPUBLISHED.iter().any(|folder| path.starts_with(folder));
    path.starts_with("crates/") && is_root && !is_unpublished
}

/// Checks any text file for reminders.
pub(super) fn check_words(file: &File) -> Vec<Problem> {
    let find = |word: &'static str| {
        // A macro's name ends with `!`, whatever follows.
        let bare = word.trim_end_matches('!');
        lines_with_word(&file.text, bare).filter(move |line| {
            let line = file.text.lines().nth(line - 1).unwrap_or_default();
            line.contains(word)
        })
    };
    LEFTOVERS
        .iter()
        .flat_map(|word| find(word).map(move |line| (line, word)))
        .map(|(line, word)| {
            Problem::at_line(
                &file.path,
                line,
                format!("{word}: do it now, or open an issue"),
            )
        })
        .collect()
}

/// Checks that `allow` and `expect` have a reason, and stand at an item.
fn attributes(path: &str, code: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (start, _) in code.match_indices("#[").chain(code.match_indices("#![")) {
        let attribute = &code[start..];
        let attribute = &attribute[..attribute.find(")]").unwrap_or(attribute.len())];
        let inside = attribute.trim_start_matches(['#', '!', '[']);
        if !["allow(", "expect(", "cfg_attr("]
            .iter()
            .any(|name| inside.starts_with(name))
        {
            continue;
        }
        let silences = inside.contains("allow(") || inside.contains("expect(");
        let line = code[..start].lines().count().max(1);
        let line = if code[..start].ends_with('\n') {
            line + 1
        } else {
            line
        };
        if silences && !inside.contains("reason") {
            let message = "silence needs a reason: `#[expect(lint, reason = \"why\")]`";
            problems.push(Problem::at_line(path, line, message));
        }
        if silences && attribute.starts_with("#![") && !is_test(path) {
            let message = "silence belongs beside what it is for, not on a whole file";
            problems.push(Problem::at_line(path, line, message));
        }
    }
    problems
}

/// Finds rows of signs that divide a file.
fn banners(path: &str, text: &str) -> Vec<Problem> {
    let is_banner = |line: &str| {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            return false;
        };
        let comment = comment.trim_start();
        comment.len() > 3 && comment.chars().take(4).all(|c| "-=*#/~".contains(c))
    };
    let message = "no banners: a file that needs dividing wants to be two";
    text.lines()
        .enumerate()
        .filter(|(_, line)| is_banner(line))
        .map(|(index, _)| Problem::at_line(path, index + 1, message))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(path: &str, text: &str) -> Vec<String> {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&file)
            .into_iter()
            .map(|problem| problem.place)
            .collect()
    }

    #[test]
    fn silence_needs_a_reason() {
        assert_eq!(
            places("a.rs", "x\n#[allow(dead_code)]\nfn f() {}"),
            ["a.rs:2"]
        );
        assert_eq!(places("a.rs", "#[expect(dead_code)]"), ["a.rs:1"]);
        assert_eq!(
            places("a.rs", "#[cfg_attr(test, allow(dead_code))]"),
            ["a.rs:1"]
        );
        assert!(places("a.rs", "#[expect(\n  dead_code,\n  reason = \"so\"\n)]").is_empty());
        assert!(places("a.rs", "// #[allow(dead_code)]").is_empty());
        assert!(places("a.rs", "x.expect(\"there\")").is_empty());
    }

    #[test]
    fn silence_does_not_cover_a_file() {
        assert_eq!(
            places("src/a.rs", "#![expect(dead_code, reason = \"so\")]"),
            ["src/a.rs:1"]
        );
        assert!(places("tests/a.rs", "#![expect(dead_code, reason = \"so\")]").is_empty());
    }

    #[test]
    fn unsafe_has_one_home() {
        assert_eq!(
            places("crates/qsse-log/src/a.rs", "unsafe { x() }").len(),
            1
        );
        assert!(places("crates/qsse-transport/src/a.rs", "unsafe { x() }").is_empty());
        assert!(places("crates/qsse-log/src/a.rs", "// unsafe\n\"unsafe\"").is_empty());
    }

    #[test]
    fn some_crates_are_told_the_time() {
        let text = "let t = std::time::Instant::now();";
        assert_eq!(places("crates/qsse-log/src/a.rs", text).len(), 1);
        assert_eq!(
            places("crates/qsse-proto/src/a.rs", "SystemTime::now()").len(),
            1
        );
        assert!(places("crates/qsse-server/src/a.rs", text).is_empty());
        assert!(places("crates/qsse-log/tests/a.rs", text).is_empty());
        let tests = format!("#[cfg(test)]\nmod tests {{\n{text}\n}}");
        assert!(places("crates/qsse-log/src/a.rs", &tests).is_empty());
    }

    #[test]
    fn published_crates_deny_printing() {
        for root in ["crates/qsse/src/lib.rs", "crates/qsse-cli/src/main.rs"] {
            assert_eq!(places(root, "//! A crate."), [root]);
            assert!(places(root, "#![deny(clippy::print_stderr, reason = \"so\")]").is_empty());
        }
        for other in [
            "crates/qsse-bench/src/main.rs",
            "crates/qsse/src/a.rs",
            "xtask/src/main.rs",
        ] {
            assert!(places(other, "//! A module.").is_empty());
        }
    }

    #[test]
    fn banners_are_seen_and_drawings_are_not() {
        assert_eq!(places("a.rs", "// ------ helpers"), ["a.rs:1"]);
        assert_eq!(places("a.rs", "///////////"), ["a.rs:1"]);
        assert!(places("a.rs", "//! +------+\n/// ------\n// - a list").is_empty());
    }

    #[test]
    fn leftovers_are_found_everywhere() {
        let words = |text: &str| {
            check_words(&File {
                path: "a.md".to_owned(),
                text: text.to_owned(),
            })
            .len()
        };
        assert_eq!(words(concat!("x\n TO", "DO: later")), 1);
        assert_eq!(words(concat!("dbg", "!(x)")), 1);
        assert_eq!(words(concat!("to", "do!()")), 1);
        assert_eq!(words("what to do, and a dbg of it"), 0);
        assert_eq!(words("METHODOLOGY"), 0);
    }
}
