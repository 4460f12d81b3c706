//! Makes text from the server safe to print and to log.

/// Replaces characters that could disturb a terminal or forge a log line.
pub(crate) fn plain(text: String) -> String {
    if text.contains(is_disturbing) {
        text.replace(is_disturbing, "\u{fffd}")
    } else {
        text
    }
}

/// Returns at most the first 64 characters, for a text of any length in an error.
pub(crate) fn short(text: &str) -> &str {
    let end = text.char_indices().nth(64);
    end.map_or(text, |(end, _)| &text[..end])
}

/// Returns whether `c` is a control character, a line separator, or changes the direction of text.
fn is_disturbing(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        )
        || matches!(c, '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(short("grün"), "grün");
        assert_eq!(short(&"ü".repeat(100)), "ü".repeat(64));
    }

    #[test]
    fn only_what_disturbs_is_replaced() {
        assert_eq!(plain("grün, 日本 ok".into()), "grün, 日本 ok");
        let forged = plain("a\r\nb\u{1b}[31mc\0d\u{202e}e\u{85}f".into());
        assert_eq!(
            forged,
            "a\u{fffd}\u{fffd}b\u{fffd}[31mc\u{fffd}d\u{fffd}e\u{fffd}f"
        );
    }
}
