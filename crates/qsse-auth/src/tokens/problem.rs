//! Describes errors in a tokens file without quoting it.

/// Returns what the problem is and where. A parser quotes the text that it rejects, which may be a
/// token. So only message forms that are known to contain none pass.
pub(super) fn describe(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .map(|span| text[..span.start].matches('\n').count() + 1);
    let place = line.map_or_else(String::new, |line| format!("line {line}: "));
    format!("{place}{}", without_values(error.message()))
}

fn without_values(message: &str) -> String {
    // The found text may contain ", expected" too; the expectation comes last.
    let expected = message.rsplit_once(", expected ").map(|(_, last)| last);
    let begins = |start: &str| message.starts_with(start);
    match expected {
        Some(expected) if begins("unknown field `") => {
            format!("unknown field, expected {expected}")
        }
        Some(expected) if begins("invalid ") && message.contains(": ") => {
            format!("a wrong type, expected {expected}")
        }
        // In these, the parser quotes only signs of TOML.
        _ if !message.contains(['`', '"']) => message.into(),
        _ => "this is not TOML".into(),
    }
}
