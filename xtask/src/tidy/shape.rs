//! Checks the shape of a source file: it says first what it is for, and it stays small.

use super::{
    Problem,
    code::{is_test, without_tests},
};
use crate::workspace::File;

/// The length limit of a file, without its tests.
const LONGEST_FILE_LINES: usize = 400;

/// The length limit of a lib.rs, which has the idea, an example and the modules.
const LONGEST_LIB_LINES: usize = 120;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

pub(super) fn check(file: &File) -> Vec<Problem> {
    let File { path, text } = file;
    let mut problems = Vec::new();
    if !says_what_it_is_for(text) {
        problems.push(Problem::at_line(
            path,
            1,
            "a file starts with `//! ` and a sentence on what it is for",
        ));
    }
    let length = length(file);
    if length > LONGEST_FILE_LINES && !LONG_FILES.iter().any(|(long, _)| long == path) {
        problems.push(Problem::at(
            path,
            format!(
                "{length} lines without tests; from {LONGEST_FILE_LINES} on, split it by purpose"
            ),
        ));
    }
    if path.ends_with("/src/lib.rs") {
        problems.extend(check_lib(path, text));
    }
    problems
}

/// Reports exemptions for files that are short now, or gone.
pub(super) fn stale_exemptions(files: &[File]) -> Vec<Problem> {
    let is_stale = |path: &str| {
        !files
            .iter()
            .any(|file| file.path == path && length(file) > LONGEST_FILE_LINES)
    };
    LONG_FILES
        .iter()
        .filter(|(path, _)| is_stale(path))
        .map(|(path, _)| Problem::at(*path, "needs no place in xtask's LONG_FILES any more"))
        .collect()
}

fn length(file: &File) -> usize {
    if is_test(&file.path) {
        0
    } else {
        without_tests(&file.text).lines().count()
    }
}

/// Whether the file starts with a doc comment, or includes the README, perhaps after a comment.
fn says_what_it_is_for(text: &str) -> bool {
    let is_comment = |line: &&str| line.starts_with("// ");
    text.starts_with("//! ")
        || text
            .lines()
            .find(|line| !is_comment(line))
            .is_some_and(is_readme)
}

fn is_readme(line: &str) -> bool {
    line.starts_with("#![doc = include_str!(")
}

fn check_lib(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let length = text.lines().count();
    if length > LONGEST_LIB_LINES {
        problems.push(Problem::at(
            path,
            format!(
                "{length} lines; up to {LONGEST_LIB_LINES} are for the idea, an example, modules"
            ),
        ));
    }
    // Whether the next item is only for doctests.
    let mut for_doctest = false;
    for (index, line) in without_tests(text).lines().enumerate() {
        if line.starts_with("#[") || line.starts_with("//") {
            for_doctest |= line.contains("doctest");
            continue;
        }
        if is_code(line) && !for_doctest {
            let message = "no code lives in lib.rs; give it a module";
            problems.push(Problem::at_line(path, index + 1, message));
        }
        for_doctest = false;
    }
    problems
}

/// Whether an item with a body begins on this line.
fn is_code(line: &str) -> bool {
    let item = line
        .trim_start_matches("pub ")
        .trim_start_matches("pub(crate) ");
    let item = item
        .trim_start_matches("async ")
        .trim_start_matches("unsafe ");
    [
        "fn ", "struct ", "enum ", "trait ", "impl ", "impl<", "static ",
    ]
    .iter()
    .any(|start| item.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&File {
            path: path.to_owned(),
            text: text.to_owned(),
        })
        .len()
    }

    #[test]
    fn a_file_says_first_what_it_is_for() {
        assert_eq!(problems("a.rs", "//! Topics.\n\nuse x;"), 0);
        assert_eq!(problems("a.rs", "use x;\n//! Topics."), 1);
        assert_eq!(problems("a.rs", "//!\n//! Topics."), 1);
        assert_eq!(problems("a.rs", ""), 1);
        let readme = "#![doc = include_str!(\"../README.md\")]";
        assert_eq!(problems("a.rs", readme), 0);
        assert_eq!(
            problems("a.rs", &format!("// Its examples are tested.\n{readme}")),
            0
        );
        assert_eq!(problems("a.rs", "// A comment.\n//! Topics."), 1);
    }

    #[test]
    fn length_counts_without_tests() {
        let long = "//! x\n".repeat(400);
        assert_eq!(problems("src/a.rs", &long), 0);
        assert_eq!(problems("src/a.rs", &format!("{long}x")), 1);
        assert_eq!(problems("tests/a.rs", &format!("{long}x")), 0);
        assert_eq!(
            problems("src/a.rs", &format!("{long}#[cfg(test)]\nmod tests {{\n}}")),
            0
        );
    }

    #[test]
    fn lib_rs_is_short_and_has_no_code() {
        let lib = "//! x\nmod a;\npub use a::{\n    fn_b,\n};\n";
        assert_eq!(problems("crates/x/src/lib.rs", lib), 0);
        assert_eq!(
            problems("crates/x/src/lib.rs", &format!("{lib}pub fn f() {{}}")),
            1
        );
        assert_eq!(
            problems("crates/x/src/lib.rs", &format!("{lib}impl<T> A for T {{}}")),
            1
        );
        let readme = "#[cfg(doctest)]\n#[doc = include_str!(\"../README.md\")]\nstruct Readme;\n";
        assert_eq!(
            problems("crates/x/src/lib.rs", &format!("{lib}{readme}")),
            0
        );
        assert_eq!(
            problems("crates/x/src/lib.rs", &format!("{lib}{readme}struct B;")),
            1
        );
        assert_eq!(problems("crates/x/src/lib.rs", &"//! x\n".repeat(121)), 1);
        assert_eq!(problems("crates/x/src/other.rs", &"//! x\n".repeat(121)), 0);
    }
}
