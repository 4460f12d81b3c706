//! Checks that code or a test names every requirement of docs/protocol.md.
//!
//! A clause begins with its id in bold, such as **QP-3.2**, and continues to the next id or
//! heading. It is a requirement if it says MUST.

use std::collections::BTreeMap;

use super::Problem;
use crate::workspace::File;

const DOCUMENT: &str = "docs/protocol.md";

/// What every clause's id starts with.
const PREFIX: &str = "QP-";

pub(super) fn check(texts: &[File], rust: &[File]) -> Vec<Problem> {
    let Some(document) = texts.iter().find(|file| file.path == DOCUMENT) else {
        return vec![Problem::at(
            DOCUMENT,
            "is missing; it says what goes over the wire",
        )];
    };
    let mut problems = Vec::new();
    let mut clauses = BTreeMap::new();
    for clause in clauses_of(&document.text) {
        let line = clause.line;
        if let Some(other) = clauses.insert(clause.id, clause) {
            let message = format!("{} is also the id of line {}", other.id, other.line);
            problems.push(Problem::at_line(DOCUMENT, line, message));
        }
    }
    if clauses.is_empty() {
        problems.push(Problem::at(
            DOCUMENT,
            format!("has no clause like **{PREFIX}1.1**"),
        ));
    }
    // In xtask, ids are examples.
    let citing: Vec<_> = rust
        .iter()
        .filter(|file| !file.path.starts_with("xtask/"))
        .collect();
    for clause in clauses.values().filter(|clause| clause.demands) {
        if !citing
            .iter()
            .any(|file| ids(&file.text).any(|(_, id)| id == clause.id))
        {
            let message = format!(
                "no Rust file cites {}; test it and name it there",
                clause.id
            );
            problems.push(Problem::at_line(DOCUMENT, clause.line, message));
        }
    }
    for file in citing {
        for (start, id) in ids(&file.text).filter(|(_, id)| !clauses.contains_key(id)) {
            let line = file.text[..start].matches('\n').count() + 1;
            let message = format!("cites {id}, which {DOCUMENT} does not have");
            problems.push(Problem::at_line(&file.path, line, message));
        }
    }
    problems
}

struct Clause<'a> {
    id: &'a str,
    line: usize,
    demands: bool,
}

fn clauses_of(document: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = Vec::new();
    let mut inside = false;
    for (index, line) in document.lines().enumerate() {
        let mut parts = line.split("**");
        let mut text = parts.next().unwrap_or_default();
        if line.starts_with('#') {
            inside = false;
        }
        loop {
            if let Some(clause) = clauses.last_mut().filter(|_| inside) {
                clause.demands |= text.contains("MUST");
            }
            let Some(part) = parts.next() else { break };
            if ids(part).any(|(_, id)| id == part) {
                clauses.push(Clause {
                    id: part,
                    line: index + 1,
                    demands: false,
                });
                inside = true;
            }
            text = part;
        }
    }
    clauses
}

/// The ids in `text`, with their offsets.
fn ids(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices(PREFIX).filter_map(|(start, _)| {
        let number = &text[start + PREFIX.len()..];
        let end = number
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(number.len());
        // The full stop of a sentence is not part of it.
        let number = number[..end].trim_end_matches('.');
        (!number.is_empty()).then(|| (start, &text[start..start + PREFIX.len() + number.len()]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(document: &str, rust: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let found = check(
            &[file(DOCUMENT, document)],
            &[file("crates/a/src/b.rs", rust)],
        );
        found
            .into_iter()
            .map(|problem| problem.to_string())
            .collect()
    }

    #[test]
    fn a_demand_has_to_be_cited() {
        let document = "# 1\n**QP-1.1** A length\nMUST be small.\n\n**QP-1.2** A picture.\n";
        assert!(problems(document, "// QP-1.1.").is_empty());
        let missing = problems(document, "// QP-1.12, QP-1.2");
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing[0].contains("protocol.md:2") && missing[0].contains("QP-1.1;"));
        assert!(missing[1].contains("cites QP-1.12"));
    }

    #[test]
    fn a_heading_ends_a_clause_and_several_fit_in_a_line() {
        assert!(problems("**QP-1** A.\n# Next\nIt MUST be.", "").is_empty());
        assert_eq!(problems("**QP-1** A. **QP-2** It **MUST**.", "").len(), 1);
        assert_eq!(
            problems("- **QP-1** A.\n| **QP-2** | MUST |", "// QP-2").len(),
            0
        );
    }

    #[test]
    fn a_document_without_clauses_or_with_an_id_twice_is_wrong() {
        assert_eq!(problems("# Nothing\n", "").len(), 1);
        assert_eq!(problems("**QP-1** a\n**QP-1** b\n", "").len(), 1);
        assert_eq!(check(&[], &[]).len(), 1);
    }
}
