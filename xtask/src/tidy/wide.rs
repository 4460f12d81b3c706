//! Lists comment lines that are too wide: rustfmt does not wrap comments.

use super::Problem;
use crate::workspace::File;

/// The width of rustfmt.
const WIDTH: usize = 100;

/// Finds the wide lines of comments in the `src` folders.
pub(super) fn list(files: &[File]) -> Vec<Problem> {
    let sources = files.iter().filter(|file| file.path.contains("src/"));
    sources.flat_map(of_file).collect()
}

fn of_file(file: &File) -> Vec<Problem> {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    // A URL cannot be broken.
    let is_wide = |line: &str| line.chars().count() > WIDTH && !line.contains("://");
    file.text
        .lines()
        .enumerate()
        .filter(|(_, line)| is_comment(line) && is_wide(line))
        .map(|(index, line)| {
            let width = line.chars().count();
            let message = format!("{width} columns; break the comment at {WIDTH}");
            Problem::at_line(&file.path, index + 1, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        let file = File {
            path: "crates/a/src/b.rs".to_owned(),
            text: text.to_owned(),
        };
        list(&[file]).len()
    }

    #[test]
    fn only_wide_comments_are_found() {
        let wide = "x".repeat(WIDTH);
        assert_eq!(count(&format!("//! {wide}\n    /// {wide}\n// {wide}")), 3);
        assert_eq!(count(&format!("let a = \"{wide}\";\n// short")), 0);
        assert_eq!(count(&format!("// https://example.org/{wide}")), 0);
        assert_eq!(count(&format!("// {}", "é".repeat(WIDTH - 3))), 0);
    }
}
