//! Rust in the spacing that rustfmt gives it, on one line.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// The text of a piece of syntax.
pub(super) fn text(syntax: &impl ToTokens) -> String {
    let mut words = Vec::new();
    flatten(syntax.to_token_stream(), &mut words);
    join(&words)
}

/// Makes words of tokens: `::`, `->` and lifetimes are one each.
fn flatten(stream: TokenStream, words: &mut Vec<String>) {
    let mut joined = false;
    for token in stream {
        let is_joint = matches!(&token, TokenTree::Punct(p)
            if p.spacing() == proc_macro2::Spacing::Joint && !matches!(p.as_char(), '<' | '&'));
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                words.push(open.to_owned());
                flatten(group.stream(), words);
                if words.last().is_some_and(|word| word == ",") {
                    words.pop();
                }
                words.push(close.to_owned());
            }
            token => match words.last_mut().filter(|_| joined) {
                Some(word) => word.push_str(&token.to_string()),
                None => words.push(token.to_string()),
            },
        }
        joined = is_joint && words.last().is_some_and(|word| !word.ends_with('>'));
    }
    words.retain(|word| !word.is_empty());
}

fn join(words: &[String]) -> String {
    let mut line = String::new();
    let mut before = "";
    for word in words {
        if !line.is_empty() && is_apart(before, word) {
            line.push(' ');
        }
        line.push_str(word);
        before = word;
    }
    line
}

/// Whether a space stands between two words.
fn is_apart(before: &str, after: &str) -> bool {
    let is_keyword = matches!(
        before,
        "mut" | "dyn" | "impl" | "as" | "in" | "const" | "where" | "unsafe" | "async"
    );
    match (before, after) {
        ("(" | "[" | "<" | "::" | "&" | "*" | "?" | "#" | "!", _) => false,
        (_, ")" | "]" | ">" | "," | ";" | ":" | "::") => false,
        (_, "<") => is_keyword || is_operator(before),
        (_, "(") => is_keyword || is_operator(before) || before == "," || before.starts_with('\''),
        _ => true,
    }
}

fn is_operator(word: &str) -> bool {
    matches!(word, "->" | "=" | "+" | ":" | "=>" | "|" | ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_signatures_look_as_in_source() {
        for line in [
            "Result<Option<Bytes>, io::Error>",
            "&'static [u8]",
            "&'a mut (A, B)",
            "Box<dyn Fn(&str) -> Vec<u8> + Send>",
            "impl Into<String> + 'static",
            "<T as IntoFuture>::Output",
            "[u8; 32]",
            "*const T",
        ] {
            let syntax: syn::Type = syn::parse_str(line).unwrap();
            assert_eq!(text(&syntax), line);
        }
        let line = "where T: ?Sized + for<'a> Fn(&'a T), U: 'static";
        let syntax: syn::WhereClause = syn::parse_str(line).unwrap();
        assert_eq!(text(&syntax), line);
        let line = "fn f<'a, const N: usize, T>(self: Pin<&mut Self>, x: &'a [T; N]) -> (u8, T)";
        let syntax: syn::Signature = syn::parse_str(line).unwrap();
        assert_eq!(text(&syntax), line);
    }
}
