//! Makes text from the peer safe to print.

use qsse_proto::limits::REASON_BYTES;

/// Converts at most [`REASON_BYTES`] of `bytes` to text. Replaces characters that could disturb a
/// terminal or forge a log line.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if is_disturbing(c) { '\u{fffd}' } else { c })
        .collect();
    cut(&text).to_owned()
}

/// Returns the longest prefix of `text` that has at most [`REASON_BYTES`] and ends between
/// characters.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(REASON_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns whether `c` is a control character, a line separator, or a mark that changes the
/// direction of text.
fn is_disturbing(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = format!("{}äöü", "x".repeat(REASON_BYTES - 1));
        assert_eq!(cut(&long).len(), REASON_BYTES - 1);
        assert_eq!(cut(&"y".repeat(1000)).len(), REASON_BYTES);
    }

    #[test]
    fn what_disturbs_a_terminal_is_replaced() {
        let shown = printable(b"a\r\nb\x1b[31m\0\xff\xe2\x80\xae");
        assert_eq!(
            shown,
            "a\u{fffd}\u{fffd}b\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}"
        );
    }
}
