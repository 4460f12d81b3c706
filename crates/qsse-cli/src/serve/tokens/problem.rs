//! What is wrong with the text of a tokens file, in words that hold nothing of it but the keys that are known.

use crate::settings::nearest;

/// Where and what the problem is. A parser quotes what it stumbles over, which may be a token: only forms are let through that are
/// known to be without one.
pub(super) fn describe(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .map(|span| text[..span.start].matches('\n').count() + 1);
    let place = line.map_or_else(String::new, |line| format!("line {line}: "));
    format!("{place}{}", without_values(error.message()))
}

fn without_values(message: &str) -> String {
    // What was found may say ", expected" too; what was expected comes last.
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
        // The parser's own words quote only signs of TOML, in these.
        _ if !message.contains(['`', '"']) => message.into(),
        _ => "this is not TOML".into(),
    }
}

/// The unknown field, if it is nearly one of those expected.
fn misspelt<'a>(message: &'a str, expected: &str) -> Option<&'a str> {
    let field = message.strip_prefix("unknown field `")?;
    let (field, _) = field.split_once('`')?;
    let known = expected.split('`').skip(1).step_by(2);
    nearest(field, known).map(|_| field)
}
