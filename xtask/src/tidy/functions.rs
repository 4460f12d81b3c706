//! Lists long and deeply nested functions. The list does not fail the check.
//!
//! A function that stays long or deep has a reason here. Those without one are counted in a note.

use std::fmt;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::{Problem, code::is_test};
use crate::workspace::File;

/// Functions with more lines are listed.
const LINES: usize = 60;

/// Functions with deeper nesting are listed.
const DEPTH: usize = 4;

/// Why a function stays as it is: its file, its name, the reason.
type Reason = (&'static str, &'static str, &'static str);

const REASONS: &[Reason] = &[
    (
        "crates/qsse-interop/src/record.rs",
        "scenes",
        "a list of conversations, without logic",
    ),
    (
        "crates/qsse-sim/src/generate.rs",
        "op",
        "one arm for each kind of operation",
    ),
    (
        "crates/qsse-sim/src/reading.rs",
        "take",
        "one arm for each thing that a subscription yields",
    ),
    (
        "crates/qsse-sim/src/check.rs",
        "first_wanted",
        "one arm for each start, with the reason beside it",
    ),
    (
        "crates/qsse-sim/src/world/setbacks.rs",
        "damage",
        "one arm for each part of a store that is damaged",
    ),
    (
        "crates/qsse-sim/src/publishing.rs",
        "single",
        "one publish from its start to what became of it",
    ),
    (
        "crates/qsse-soak/src/restart.rs",
        "restart",
        "the measurement in its order, with what it prints",
    ),
    (
        "crates/qsse-soak/src/crash.rs",
        "endure",
        "the measurement in its order, with what it prints",
    ),
    (
        "crates/qsse-soak/src/stalled.rs",
        "all",
        "the measurement in its order, with what it prints",
    ),
    (
        "crates/qsse-soak/src/synced.rs",
        "run",
        "the measurement in its order, with what it prints",
    ),
    (
        "xtask/src/api/expand.rs",
        "transcribe",
        "repetitions nest in groups by their nature",
    ),
];

/// A function that is listed.
#[derive(Debug, PartialEq)]
pub(super) struct Long {
    place: String,
    name: String,
    lines: usize,
    depth: usize,
    reason: Option<&'static str>,
}

impl Long {
    /// Whether it has no reason.
    pub(super) fn is_open(&self) -> bool {
        self.reason.is_none()
    }
}

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            name,
            lines,
            depth,
            reason,
        } = self;
        let reason = reason.unwrap_or("no reason given");
        write!(
            f,
            "{lines:>4} lines, {depth} deep  {name}  {place}: {reason}"
        )
    }
}

/// Returns the long or deep functions of all `src` folders, the longest first.
pub(super) fn list(files: &[File]) -> Vec<Long> {
    let is_source = |file: &&File| file.path.contains("/src/") && !is_test(&file.path);
    let mut long: Vec<_> = files.iter().filter(is_source).flat_map(of_file).collect();
    long.sort_by(|a, b| (b.lines, b.depth, &a.place).cmp(&(a.lines, a.depth, &b.place)));
    long
}

/// Reports reasons for functions that are short now, or gone.
pub(super) fn stale_reasons(files: &[File]) -> Vec<Problem> {
    let long = list(files);
    let is_stale = |(path, name, _): &&Reason| {
        let is_it = |long: &Long| long.name == *name && long.place.starts_with(path);
        !long.iter().any(is_it)
    };
    let stale = REASONS.iter().filter(is_stale);
    stale
        .map(|(path, name, _)| {
            let message = format!("{name} needs no place in xtask's REASONS any more");
            Problem::at(*path, message)
        })
        .collect()
}

fn reason(reasons: &[Reason], path: &str, name: &str) -> Option<&'static str> {
    let found = reasons
        .iter()
        .find(|(file, function, _)| *file == path && *function == name);
    found.map(|(_, _, reason)| *reason)
}

fn of_file(file: &File) -> Vec<Long> {
    let mut reader = Reader {
        path: &file.path,
        found: Vec::new(),
    };
    if let Ok(syntax) = syn::parse_file(&file.text) {
        reader.visit_file(&syntax);
    }
    reader.found
}

struct Reader<'f> {
    path: &'f str,
    found: Vec<Long>,
}

impl Reader<'_> {
    fn function(&mut self, name: &syn::Ident, block: &syn::Block) {
        let (start, end) = (block.span().start().line, block.span().end().line);
        let mut depth = Depth::default();
        depth.visit_block(block);
        let long = Long {
            place: format!("{}:{}", self.path, name.span().start().line),
            name: name.to_string(),
            lines: end + 1 - start,
            depth: depth.deepest,
            reason: reason(REASONS, self.path, &name.to_string()),
        };
        if long.lines > LINES || long.depth > DEPTH {
            self.found.push(long);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }
}

/// Measures how deep blocks are nested. An `else if` is as deep as its `if`.
#[derive(Default)]
struct Depth {
    now: usize,
    deepest: usize,
}

impl Depth {
    fn within(&mut self, visit: impl FnOnce(&mut Self)) {
        self.now += 1;
        self.deepest = self.deepest.max(self.now);
        visit(self);
        self.now -= 1;
    }
}

impl<'ast> Visit<'ast> for Depth {
    fn visit_expr(&mut self, expression: &'ast syn::Expr) {
        match expression {
            syn::Expr::If(branch) => {
                self.visit_expr(&branch.cond);
                self.within(|depth| depth.visit_block(&branch.then_branch));
                match branch.else_branch.as_ref().map(|(_, other)| &**other) {
                    Some(other @ syn::Expr::If(_)) => self.visit_expr(other),
                    Some(other) => self.within(|depth| visit::visit_expr(depth, other)),
                    None => {}
                }
            }
            syn::Expr::Match(_)
            | syn::Expr::ForLoop(_)
            | syn::Expr::While(_)
            | syn::Expr::Loop(_)
            | syn::Expr::Async(_)
            | syn::Expr::Block(_) => self.within(|depth| visit::visit_expr(depth, expression)),
            syn::Expr::Closure(closure) if matches!(*closure.body, syn::Expr::Block(_)) => {
                visit::visit_expr(self, expression);
            }
            _ => visit::visit_expr(self, expression),
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Vec<Long> {
        of_file(&File {
            path: "crates/a/src/b.rs".into(),
            text: format!("fn f() {{\n{body}\n}}\n"),
        })
    }

    #[test]
    fn long_functions_are_listed() {
        assert!(of(&"x();\n".repeat(LINES - 3)).is_empty());
        let long = of(&"x();\n".repeat(LINES));
        assert_eq!((long[0].lines, long[0].depth), (LINES + 3, 0));
        assert_eq!(long[0].place, "crates/a/src/b.rs:1");
    }

    #[test]
    fn a_reason_belongs_to_a_function_of_a_file() {
        let reasons = [("crates/a/src/b.rs", "f", "one arm for each kind")];
        let found = |path, name| reason(&reasons, path, name);
        assert_eq!(
            found("crates/a/src/b.rs", "f"),
            Some("one arm for each kind")
        );
        assert_eq!(found("crates/a/src/b.rs", "g"), None);
        assert_eq!(found("crates/a/src/c.rs", "f"), None);
        assert!(of(&"x();\n".repeat(LINES))[0].is_open());
    }

    #[test]
    fn deep_functions_are_listed_and_else_if_is_no_deeper() {
        let deep = "loop { if a { match b { _ => for c in d { while e { f(); } } } } }";
        assert_eq!(of(deep)[0].depth, 5);
        let flat =
            "if a { } else if b { } else if c { } else if d { } else if e { } else { loop {} }";
        assert!(of(flat).is_empty());
    }
}
