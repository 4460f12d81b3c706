//! Checks that links in Markdown files lead to files and headings that exist.

use std::collections::HashMap;

use super::Problem;
use crate::workspace::File;

/// Checks the links of all Markdown files among `files`. `exists` tells whether a path exists.
pub(super) fn check(files: &[File], exists: impl Fn(&str) -> bool) -> Vec<Problem> {
    let documents: Vec<_> = files
        .iter()
        .filter(|file| file.path.ends_with(".md"))
        .collect();
    let anchors: HashMap<_, _> = documents
        .iter()
        .map(|file| (file.path.as_str(), anchors(&file.text)))
        .collect();
    let mut problems = Vec::new();
    for File { path, text } in documents {
        for (line, target) in prose(text).flat_map(|(n, line)| links(line).map(move |l| (n, l))) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let Some(file) = resolve(path, file).filter(|file| exists(file)) else {
                let message = format!("there is no {file}: correct the link");
                problems.push(Problem::at_line(path, line, message));
                continue;
            };
            let Some(headings) = anchors.get(file.as_str()) else {
                continue;
            };
            if !anchor.is_empty() && !headings.iter().any(|heading| heading == anchor) {
                let message = format!("{file} has no heading #{anchor}: correct the link");
                problems.push(Problem::at_line(path, line, message));
            }
        }
    }
    problems
}

/// Returns the lines outside of code blocks, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Returns the targets of a line's links.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let parts = line.split("](").skip(1);
    parts.filter_map(|rest| Some(rest.split_once(')')?.0.trim()))
}

/// Resolves `target` in the file at `path` against the workspace's root; `None` if it leads out of
/// the workspace.
fn resolve(path: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(path.to_owned());
    }
    let mut parts: Vec<_> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Returns the anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors = Vec::new();
    let mut times = HashMap::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let name: String = heading.trim().to_lowercase().chars().filter(kept).collect();
        let name = name.replace(' ', "-");
        let before = times.entry(name.clone()).or_insert(0);
        anchors.push(match *before {
            0 => name,
            n => format!("{name}-{n}"),
        });
        *before += 1;
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let other = "# Other\n\n## `qsse pub`, and more\n\n## Twice\n\n## Twice\n";
        let files = [file("docs/a.md", text), file("README.md", other)];
        let exists = |path: &str| ["docs/a.md", "README.md", "examples"].contains(&path);
        check(&files, exists)
            .iter()
            .map(|p| p.to_string())
            .collect()
    }

    #[test]
    fn links_to_what_is_there_are_fine() {
        let text = "# Here I am\n\n[a](#here-i-am) [b](../README.md) [c](../README.md#qsse-pub-and-more)\n\
                    [d](../examples) [e](https://example.org/#nowhere) [f](../README.md#twice-1)\n\
                    ```sh\n[g](nowhere.md)\n```\n";
        assert_eq!(problems(text), [""; 0]);
    }

    #[test]
    fn a_missing_file_and_a_missing_heading_are_found() {
        let found = problems("[a](nowhere.md)\n[b](../README.md#gone) [c](#gone) [d](../../out)\n");
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].starts_with("docs/a.md:1: there is no nowhere.md"));
        assert!(found[1].starts_with("docs/a.md:2: README.md has no heading #gone"));
        assert!(found[2].starts_with("docs/a.md:2: docs/a.md has no heading #gone"));
    }
}
