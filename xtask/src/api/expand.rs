//! Expands the `macro_rules!` of a crate where they make items, such as setters.
//!
//! It knows what such macros need: fragments, groups and repetitions. Hygiene is none of them,
//! since items have none.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};

/// A `macro_rules!`: its arms in their order.
pub(super) struct Macro {
    arms: Vec<(Vec<Part>, Vec<Part>)>,
}

/// A piece of a pattern, or of what it becomes.
enum Part {
    Token(TokenTree),
    Group(Delimiter, Vec<Part>),
    /// `$name:kind`, or `$name` with no kind.
    Variable(String, String),
    /// `$( … ) separator operator`.
    Repeat(Vec<Part>, Option<TokenTree>, char),
}

/// What a variable stands for.
#[derive(Clone)]
enum Bound {
    One(TokenStream),
    Many(Vec<Bound>),
}

type Bindings = BTreeMap<String, Bound>;

impl Macro {
    /// Reads what stands between the braces of a `macro_rules!`.
    pub(super) fn parse(definition: TokenStream) -> Self {
        let mut arms = Vec::new();
        let mut tokens = definition.into_iter();
        while let Some(TokenTree::Group(pattern)) = tokens.next() {
            let body = tokens.find_map(|token| match token {
                TokenTree::Group(body) => Some(body),
                _ => None,
            });
            let Some(body) = body else { break };
            arms.push((parts(pattern.stream(), true), parts(body.stream(), false)));
            // The semicolon.
            tokens.next();
        }
        Self { arms }
    }

    /// Expands an invocation with the first arm that matches it.
    pub(super) fn expand(&self, arguments: &TokenStream) -> Option<TokenStream> {
        self.arms.iter().find_map(|(pattern, body)| {
            let mut input = Input::new(arguments.clone());
            let mut bindings = Bindings::new();
            let is_match = matches(pattern, &mut input, &mut bindings) && input.is_empty();
            is_match.then(|| transcribe(body, &bindings))
        })
    }
}

/// Tokens with a place in them.
#[derive(Clone)]
struct Input {
    tokens: Vec<TokenTree>,
    at: usize,
}

impl Input {
    fn new(stream: TokenStream) -> Self {
        let tokens = stream.into_iter().collect();
        Self { tokens, at: 0 }
    }

    fn is_empty(&self) -> bool {
        self.at == self.tokens.len()
    }

    fn next(&mut self) -> Option<TokenTree> {
        let token = self.tokens.get(self.at).cloned()?;
        self.at += 1;
        Some(token)
    }

    fn next_is(&mut self, wanted: &TokenTree) -> bool {
        self.next()
            .is_some_and(|token| token.to_string() == wanted.to_string())
    }

    /// Takes what a parser of syn takes.
    fn take<T: quote::ToTokens>(
        &mut self,
        parse: impl FnOnce(ParseStream<'_>) -> syn::Result<T>,
    ) -> Option<TokenStream> {
        let rest: TokenStream = self.tokens[self.at..].iter().cloned().collect();
        let with_rest = |input: ParseStream<'_>| {
            let taken = parse(input)?;
            Ok((taken, input.parse::<TokenStream>()?))
        };
        let (taken, rest) = with_rest.parse2(rest).ok()?;
        self.at = self.tokens.len() - rest.into_iter().count();
        Some(taken.to_token_stream())
    }

    /// Takes a fragment of this kind.
    fn fragment(&mut self, kind: &str) -> Option<TokenStream> {
        match kind {
            "ident" => match self.next()? {
                TokenTree::Ident(ident) => Some(TokenTree::Ident(ident).into()),
                _ => None,
            },
            "tt" => self.next().map(TokenStream::from),
            "literal" => self.take(|input| input.parse::<syn::Lit>()),
            "lifetime" => self.take(|input| input.parse::<syn::Lifetime>()),
            "meta" => self.take(|input| input.parse::<syn::Meta>()),
            "ty" => self.take(|input| input.parse::<syn::Type>()),
            "path" => self.take(|input| input.parse::<syn::Path>()),
            "vis" => self.take(|input| input.parse::<syn::Visibility>()),
            "expr" => self.take(|input| input.parse::<syn::Expr>()),
            _ => None,
        }
    }
}

/// Reads a pattern, in which variables have kinds, or a body.
fn parts(stream: TokenStream, is_pattern: bool) -> Vec<Part> {
    let mut input = Input::new(stream);
    let mut parts = Vec::new();
    while let Some(token) = input.next() {
        parts.push(match token {
            TokenTree::Punct(punct) if punct.as_char() == '$' => dollar(&mut input, is_pattern),
            TokenTree::Group(group) => {
                Part::Group(group.delimiter(), self::parts(group.stream(), is_pattern))
            }
            token => Part::Token(token),
        });
    }
    parts
}

/// What follows a `$`.
fn dollar(input: &mut Input, is_pattern: bool) -> Part {
    match input.next() {
        Some(TokenTree::Group(group)) => {
            let inner = parts(group.stream(), is_pattern);
            let (separator, operator) = repetition(input);
            Part::Repeat(inner, separator, operator)
        }
        Some(name) => {
            let mut ahead = input.clone();
            let has_kind = is_pattern && ahead.next().is_some_and(|token| token.to_string() == ":");
            let kind = match (has_kind, ahead.next()) {
                (true, Some(TokenTree::Ident(kind))) => {
                    *input = ahead;
                    kind.to_string()
                }
                _ => String::new(),
            };
            Part::Variable(name.to_string(), kind)
        }
        None => Part::Variable(String::new(), String::new()),
    }
}

fn repetition(input: &mut Input) -> (Option<TokenTree>, char) {
    let mut separator = None;
    while let Some(token) = input.next() {
        match token.to_string().as_str() {
            "*" => return (separator, '*'),
            "+" => return (separator, '+'),
            "?" => return (separator, '?'),
            _ => separator = Some(token),
        }
    }
    (separator, '*')
}

fn matches(pattern: &[Part], input: &mut Input, bindings: &mut Bindings) -> bool {
    pattern.iter().all(|part| match part {
        Part::Token(wanted) => input.next_is(wanted),
        Part::Group(delimiter, inner) => match input.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == *delimiter => {
                let mut within = Input::new(group.stream());
                matches(inner, &mut within, bindings) && within.is_empty()
            }
            _ => false,
        },
        Part::Variable(name, kind) => match input.fragment(kind) {
            Some(tokens) => {
                bindings.insert(name.clone(), Bound::One(tokens));
                true
            }
            None => false,
        },
        Part::Repeat(inner, separator, operator) => {
            let found = repeated(inner, separator.as_ref(), *operator, input);
            for name in variables(inner) {
                let each = found.iter().filter_map(|found| found.get(&name).cloned());
                bindings.insert(name.clone(), Bound::Many(each.collect()));
            }
            *operator != '+' || !found.is_empty()
        }
    })
}

fn repeated(
    inner: &[Part],
    separator: Option<&TokenTree>,
    operator: char,
    input: &mut Input,
) -> Vec<Bindings> {
    let mut found = Vec::new();
    while operator != '?' || found.is_empty() {
        let mut ahead = input.clone();
        let mut bindings = Bindings::new();
        let is_separated =
            found.is_empty() || separator.is_none_or(|separator| ahead.next_is(separator));
        if !is_separated || ahead.is_empty() || !matches(inner, &mut ahead, &mut bindings) {
            break;
        }
        *input = ahead;
        found.push(bindings);
    }
    found
}

fn variables(parts: &[Part]) -> Vec<String> {
    let of_part = |part: &Part| match part {
        Part::Token(_) => Vec::new(),
        Part::Variable(name, _) => vec![name.clone()],
        Part::Group(_, inner) | Part::Repeat(inner, _, _) => variables(inner),
    };
    parts.iter().flat_map(of_part).collect()
}

fn transcribe(body: &[Part], bindings: &Bindings) -> TokenStream {
    let mut out = TokenStream::new();
    for part in body {
        match part {
            Part::Token(token) => out.extend([token.clone()]),
            Part::Group(delimiter, inner) => {
                let group = Group::new(*delimiter, transcribe(inner, bindings));
                out.extend([TokenTree::Group(group)]);
            }
            Part::Variable(name, _) => {
                if let Some(Bound::One(tokens)) = bindings.get(name) {
                    out.extend(tokens.clone());
                }
            }
            Part::Repeat(inner, separator, _) => {
                for (index, bindings) in rounds(inner, bindings).iter().enumerate() {
                    if index > 0 {
                        out.extend(separator.clone());
                    }
                    out.extend(transcribe(inner, bindings));
                }
            }
        }
    }
    out
}

/// The bindings of each round of a repetition.
fn rounds(inner: &[Part], bindings: &Bindings) -> Vec<Bindings> {
    let repeated: Vec<_> = variables(inner)
        .into_iter()
        .filter_map(|name| match bindings.get(&name) {
            Some(Bound::Many(each)) => Some((name, each)),
            _ => None,
        })
        .collect();
    let count = repeated.iter().map(|(_, each)| each.len()).max();
    (0..count.unwrap_or(0))
        .map(|round| {
            let mut bindings = bindings.clone();
            for (name, each) in &repeated {
                if let Some(bound) = each.get(round) {
                    bindings.insert(name.clone(), bound.clone());
                }
            }
            bindings
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(definition: &str, arguments: &str) -> Option<String> {
        let definition = Macro::parse(definition.parse().unwrap());
        let expanded = definition.expand(&arguments.parse().unwrap())?;
        Some(expanded.to_string().replace(' ', ""))
    }

    #[test]
    fn repetitions_and_fragments_become_items() {
        let setters = "($($f:ident: $t:ty),* $(,)?) => { impl C { $(fn $f(v: $t) {})* } };";
        let wanted = "implC{fna(v:Vec<u8>){}fnb(v:u32){}}";
        assert_eq!(
            expanded(setters, "a: Vec<u8>, b: u32,").as_deref(),
            Some(wanted)
        );
        assert_eq!(expanded(setters, "a: 1 +"), None);
    }

    #[test]
    fn a_colon_in_the_body_is_no_kind() {
        let constant = "($n:ident) => { const $n: Self = 1; };";
        let found = expanded(constant, "A");
        assert_eq!(found.as_deref(), Some("constA:Self=1;"));
    }

    #[test]
    fn repetitions_nest_and_are_optional() {
        let nested = "($($(#[$d:meta])+ $n:ident = $l:literal;)+) => { $($(#[$d])+ $n)+ };";
        let found = expanded(nested, "#[a] #[b] X = 1; #[c] Y = \"y\";");
        assert_eq!(found.as_deref(), Some("#[a]#[b]X#[c]Y"));
        let optional = "($n:ident $(<$l:lifetime>)?) => { impl $(<$l>)? T for $n $(<$l>)? {} };";
        assert_eq!(expanded(optional, "A").as_deref(), Some("implTforA{}"));
        assert_eq!(
            expanded(optional, "A<'a>").as_deref(),
            Some("impl<'a>TforA<'a>{}")
        );
    }
}
