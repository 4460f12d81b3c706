//! Which items a build for Linux with all features has, and what they are gated behind.

use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// What stands behind an item's attributes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Gate {
    /// The build does not have it.
    Absent,
    /// The build has it; these are the conditions, in the words of the manifest.
    Present(Vec<String>),
}

/// Reads the `cfg` attributes of an item. What is hidden from the documentation counts as absent.
pub(super) fn gate(attributes: &[Attribute]) -> Gate {
    let mut conditions = Vec::new();
    for attribute in attributes {
        if is_hidden(attribute) {
            return Gate::Absent;
        }
        if !attribute.path().is_ident("cfg") {
            continue;
        }
        let Ok(condition) = attribute.parse_args::<Meta>() else {
            continue;
        };
        match evaluate(&condition) {
            Gate::Absent => return Gate::Absent,
            Gate::Present(more) => conditions.extend(more),
        }
    }
    Gate::Present(conditions)
}

fn is_hidden(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc")
        && matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string() == "hidden")
}

/// The derives of an item, each with its conditions.
pub(super) fn derives(attributes: &[Attribute]) -> Vec<(syn::Path, Vec<String>)> {
    let mut derives = Vec::new();
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            derives.extend(
                paths(&attribute.meta)
                    .into_iter()
                    .map(|path| (path, vec![])),
            );
        }
        if attribute.path().is_ident("cfg_attr") {
            derives.extend(conditional_derives(attribute));
        }
    }
    derives
}

fn conditional_derives(attribute: &Attribute) -> Vec<(syn::Path, Vec<String>)> {
    let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
    let Ok(parts) = attribute.parse_args_with(parser) else {
        return Vec::new();
    };
    let mut parts = parts.into_iter();
    let Some(Gate::Present(conditions)) = parts.next().map(|condition| evaluate(&condition)) else {
        return Vec::new();
    };
    parts
        .filter(|part| part.path().is_ident("derive"))
        .flat_map(|part| paths(&part))
        .map(|path| (path, conditions.clone()))
        .collect()
}

fn paths(meta: &Meta) -> Vec<syn::Path> {
    let parser = Punctuated::<syn::Path, Token![,]>::parse_terminated;
    let list = meta.require_list().ok();
    list.and_then(|list| list.parse_args_with(parser).ok())
        .map(|paths| paths.into_iter().collect())
        .unwrap_or_default()
}

fn evaluate(condition: &Meta) -> Gate {
    match condition {
        Meta::NameValue(pair) if pair.path.is_ident("feature") => {
            Gate::Present(vec![text_of(&pair.value)])
        }
        Meta::NameValue(pair) if pair.path.is_ident("target_os") => {
            match text_of(&pair.value).as_str() {
                "linux" => Gate::Present(vec!["linux".to_owned()]),
                _ => Gate::Absent,
            }
        }
        Meta::Path(path) if path.is_ident("unix") => Gate::Present(vec!["unix".to_owned()]),
        Meta::Path(path) if path.is_ident("debug_assertions") => Gate::Present(Vec::new()),
        Meta::List(list) => combined(list),
        // `test`, `doctest`, and what the project's own tasks set.
        _ => Gate::Absent,
    }
}

fn combined(list: &syn::MetaList) -> Gate {
    let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
    let parts = list.parse_args_with(parser).unwrap_or_default();
    let gates: Vec<_> = parts.iter().map(evaluate).collect();
    let present = gates.iter().filter_map(|gate| match gate {
        Gate::Present(conditions) => Some(conditions.clone()),
        Gate::Absent => None,
    });
    if list.path.is_ident("all") {
        let all: Vec<_> = present.collect();
        return match all.len() == gates.len() {
            true => Gate::Present(all.concat()),
            false => Gate::Absent,
        };
    }
    if list.path.is_ident("any") {
        let any: Vec<_> = present.map(|conditions| conditions.join("+")).collect();
        return match any.is_empty() {
            true => Gate::Absent,
            false => Gate::Present(vec![any.join("|")]),
        };
    }
    match gates.first() {
        Some(Gate::Absent) => Gate::Present(Vec::new()),
        _ => Gate::Absent,
    }
}

fn text_of(value: &syn::Expr) -> String {
    match value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) => text.value(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate_of(attributes: &str) -> Gate {
        let item: syn::ItemStruct = syn::parse_str(&format!("{attributes} struct S;")).unwrap();
        gate(&item.attrs)
    }

    fn present(conditions: &[&str]) -> Gate {
        Gate::Present(conditions.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn features_are_named_and_tests_are_absent() {
        assert_eq!(gate_of("#[cfg(feature = \"json\")]"), present(&["json"]));
        assert_eq!(
            gate_of("#[cfg(all(unix, feature = \"a\"))]"),
            present(&["unix", "a"])
        );
        assert_eq!(
            gate_of("#[cfg(any(feature = \"a\", feature = \"b\"))]"),
            present(&["a|b"])
        );
        for absent in [
            "test",
            "doctest",
            "shuttle",
            "not(unix)",
            "target_os = \"macos\"",
        ] {
            assert_eq!(
                gate_of(&format!("#[cfg({absent})]")),
                Gate::Absent,
                "{absent}"
            );
        }
        assert_eq!(gate_of("#[cfg(not(shuttle))]"), present(&[]));
        assert_eq!(gate_of("#[doc(hidden)]"), Gate::Absent);
    }

    #[test]
    fn derives_keep_their_conditions() {
        let text = "#[derive(Clone)] #[cfg_attr(feature = \"serde\", derive(A, b::B))] struct S;";
        let item: syn::ItemStruct = syn::parse_str(text).unwrap();
        let derives = derives(&item.attrs);
        let conditions: Vec<_> = derives.iter().map(|(_, when)| when.len()).collect();
        assert_eq!(conditions, [0, 1, 1]);
    }
}
