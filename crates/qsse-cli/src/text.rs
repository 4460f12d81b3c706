//! Text that is safe to print and to paste.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;

/// Returns how this program was called, for commands to paste.
pub(crate) fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if called.contains('/') {
        quoted(&called).into_owned()
    } else {
        "qsse".into()
    }
}

/// Quotes `text` as one word for a POSIX shell.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

/// Appends `bytes`. Escapes everything that could control a terminal or forge a line: control
/// characters, marks that change the direction of writing, and bytes that are not UTF-8.
pub(crate) fn push_visible(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if is_disturbing(c) => {
                    let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

/// Returns a message in one line, whatever it contains.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_visible(&mut out, text.as_bytes());
    out
}

fn is_disturbing(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Formats `number` with commas between thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats `count` and the word in the singular or plural.
pub(crate) fn counted(count: u64, word: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {word}{s}", thousands(count))
}

/// Returns whether to use colours on this stream: `choice` is `always`, `never` or `auto`.
pub(crate) fn coloured(choice: &str, stream: &impl IsTerminal) -> bool {
    match choice {
        "always" => true,
        "never" => false,
        _ => colours_are_welcome() && stream.is_terminal(),
    }
}

/// Returns whether the environment permits colours.
pub(crate) fn colours_are_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let shown = one_line("a\x1b[31m\r\nb\t\0\u{9b}\u{202e}é\u{feff}\u{2028}");
        assert_eq!(
            shown,
            r"a\u{1b}[31m\r\nb\t\u{0}\u{9b}\u{202e}é\u{feff}\u{2028}"
        );
        let mut out = String::new();
        push_visible(&mut out, b"ok\xff\xfe!");
        assert_eq!(out, r"ok\xff\xfe!");
    }

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        assert_eq!(quoted("127.0.0.1:4242"), "127.0.0.1:4242");
        assert_eq!(quoted("ride.*"), "'ride.*'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0, 999, 1000, 1_048_576].map(thousands),
            ["0", "999", "1,000", "1,048,576"]
        );
        assert_eq!(counted(1, "event"), "1 event");
        assert_eq!(counted(2000, "event"), "2,000 events");
    }
}
