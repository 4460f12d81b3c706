//! Describes errors in a tokens file without quoting it, except for known keys.

use crate::settings::nearest;

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
            let field = misspelt(message, expected);
            let field = field.map_or_else(String::new, |field| format!(" `{field}`"));
            format!("unknown field{field}, expected {expected}")
        }
        Some(expected) if begins("invalid ") && message.contains(": ") => {
            format!("a wrong type, expected {expected}")
        }
        _ if begins("missing field `") => message.into(),
        // In these, the parser quotes only signs of TOML.
        _ if !message.contains(['`', '"']) => message.into(),
        _ => "this is not TOML".into(),
    }
}

/// Returns the unknown field, if it is similar to an expected one.
fn misspelt<'a>(message: &'a str, expected: &str) -> Option<&'a str> {
    let field = message.strip_prefix("unknown field `")?;
    let (field, _) = field.split_once('`')?;
    let known = expected.split('`').skip(1).step_by(2);
    nearest(field, known).map(|_| field)
}
