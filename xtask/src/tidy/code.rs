//! Removes comments, literals and tests from Rust source, for checks that search for words.

/// Returns `source` without comments and the content of literals. Lines keep their numbers.
pub(super) fn without_comments_and_literals(source: &str) -> String {
    let mut rest = source;
    let mut code = String::with_capacity(source.len());
    // Within a name, `r"` and `'` begin no literal.
    let mut in_name = false;
    while let Some(next) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = (!in_name).then(|| raw_string(rest)).flatten() {
            length
        } else if next == '"' {
            quoted(rest, '"')
        } else if next == '\'' && is_char_literal(rest) {
            quoted(rest, '\'')
        } else {
            in_name = next.is_alphanumeric() || next == '_';
            code.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        in_name = false;
        let (skipped, after) = rest.split_at(length);
        // A space stays, so that the code around it does not become one word.
        code.push(' ');
        code.extend(skipped.chars().filter(|&c| c == '\n'));
        rest = after;
    }
    code
}

/// Returns the source before its module of tests.
pub(super) fn without_tests(source: &str) -> &str {
    let inline_tests = source
        .match_indices("#[cfg(test)]\nmod ")
        .find(|(start, found)| {
            let declaration = source[start + found.len()..]
                .lines()
                .next()
                .unwrap_or_default();
            declaration.ends_with('{')
        });
    inline_tests.map_or(source, |(start, _)| &source[..start])
}

/// Whether a file has only tests or benchmarks, judged by its path.
pub(super) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || path
            .split('/')
            .any(|folder| folder == "tests" || folder == "benches")
}

/// Returns the lines of `code` that contain `word` as a whole word.
pub(super) fn lines_with_word<'a>(
    code: &'a str,
    word: &'a str,
) -> impl Iterator<Item = usize> + 'a {
    let has_word = move |line: &str| {
        line.match_indices(word).any(|(start, _)| {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            !line[..start].ends_with(is_part) && !line[start + word.len()..].starts_with(is_part)
        })
    };
    code.lines()
        .enumerate()
        .filter(move |(_, line)| has_word(line))
        .map(|(index, _)| index + 1)
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at.min(rest.len())
}

/// The length of the raw string that `rest` starts with.
fn raw_string(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|p| rest.starts_with(p))?;
    let hashes = rest[prefix.len()..]
        .bytes()
        .take_while(|&b| b == b'#')
        .count();
    let start = prefix.len() + hashes;
    if !rest[start..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = start + 1;
    Some(
        rest[inside..]
            .find(&end)
            .map_or(rest.len(), |at| inside + at + end.len()),
    )
}

/// The length of the literal between two `quote`s that `rest` starts with.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Distinguishes `'a'` from the lifetime `'a`.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_go_and_code_stays() {
        for (source, code) in [
            ("a // unsafe", "a  "),
            ("a /* x /* unsafe */ y */ b", "a   b"),
            (r#"f("unsafe \" unsafe", b)"#, "f( , b)"),
            (r##"f(r#"say "unsafe""#, b)"##, "f( , b)"),
            (r"'\'' x 'u' y", "  x   y"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            (r#"for"unsafe""#, "for "),
            ("é // ü", "é  "),
        ] {
            assert_eq!(without_comments_and_literals(source), code, "{source}");
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = "/*\n\n*/ a\n\"x\ny\" b\n// c\nd";
        let code = without_comments_and_literals(source);
        assert_eq!(code.lines().count(), source.lines().count());
        assert_eq!(lines_with_word(&code, "d").collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn words_are_whole() {
        let code = "unsafe_code\nunsafe {\nvery_unsafe\nunsafe";
        assert_eq!(lines_with_word(code, "unsafe").collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn only_an_inline_module_of_tests_ends_the_code() {
        assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n}"), "a\n");
        assert_eq!(
            without_tests("#[cfg(test)]\nmod tests;\nb"),
            "#[cfg(test)]\nmod tests;\nb"
        );
        assert!(is_test("crates/a/tests/b.rs") && is_test("crates/a/src/net/tests.rs"));
        assert!(!is_test("crates/a/src/testing.rs"));
    }
}
