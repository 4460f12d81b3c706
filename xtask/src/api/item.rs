//! The lines of one item: itself, and what is public within it.

use quote::ToTokens;
use syn::{Fields, FnArg, Generics, Item, Pat, Signature, Visibility};

use super::text::text;

/// A line, and where it belongs in the list.
pub(super) struct Line {
    pub(super) path: String,
    pub(super) text: String,
}

/// Attributes that users of an item feel.
const SHOWN: [&str; 3] = ["non_exhaustive", "deprecated", "async_trait"];

/// The lines of an item that is public as `path`. Impls are no part of it.
pub(super) fn lines(item: &Item, path: &str) -> Vec<Line> {
    match item {
        Item::Const(item) => vec![line(path, format!("pub const {path}: {}", text(&item.ty)))],
        Item::Static(item) => vec![line(path, format!("pub static {path}: {}", text(&item.ty)))],
        Item::Fn(item) => vec![line(path, format!("pub {}", signature(&item.sig, path)))],
        Item::Type(item) => {
            let generics = parameters(&item.generics);
            vec![line(
                path,
                format!("pub type {path}{generics} = {}", text(&item.ty)),
            )]
        }
        Item::Struct(item) => of_struct(item, path),
        Item::Enum(item) => of_enum(item, path),
        Item::Trait(item) => of_trait(item, path),
        _ => Vec::new(),
    }
}

fn line(path: &str, text: String) -> Line {
    Line {
        path: path.to_owned(),
        text,
    }
}

fn of_struct(item: &syn::ItemStruct, path: &str) -> Vec<Line> {
    let (generics, conditions) = (parameters(&item.generics), conditions(&item.generics));
    let attributes = attributes(&item.attrs);
    let mut lines = vec![line(
        path,
        format!("{attributes}pub struct {path}{generics}{conditions}"),
    )];
    for (index, field) in item.fields.iter().enumerate() {
        if matches!(field.vis, Visibility::Public(_)) {
            let name = field.ident.as_ref().map(ToString::to_string);
            let path = format!("{path}::{}", name.unwrap_or_else(|| index.to_string()));
            lines.push(line(&path, format!("pub {path}: {}", text(&field.ty))));
        }
    }
    lines.extend(conversions([&item.fields].into_iter(), path));
    lines
}

fn of_enum(item: &syn::ItemEnum, path: &str) -> Vec<Line> {
    let (generics, conditions) = (parameters(&item.generics), conditions(&item.generics));
    let attributes = attributes(&item.attrs);
    let mut lines = vec![line(
        path,
        format!("{attributes}pub enum {path}{generics}{conditions}"),
    )];
    for variant in &item.variants {
        let path = format!("{path}::{}", variant.ident);
        let attributes = self::attributes(&variant.attrs);
        let fields = fields(&variant.fields);
        lines.push(line(&path, format!("{attributes}{path}{fields}")));
    }
    lines.extend(conversions(item.variants.iter().map(|v| &v.fields), path));
    lines
}

/// The conversions that thiserror makes of fields with `#[from]`.
fn conversions<'i>(fields: impl Iterator<Item = &'i Fields>, path: &str) -> Vec<Line> {
    let is_from = |field: &&syn::Field| field.attrs.iter().any(|a| a.path().is_ident("from"));
    let sources = fields.flat_map(Fields::iter).filter(is_from);
    sources
        .map(|field| line(path, format!("impl From<{}> for {path}", text(&field.ty))))
        .collect()
}

fn fields(fields: &Fields) -> String {
    let list = |fields: Vec<String>| fields.join(", ");
    match fields {
        Fields::Unit => String::new(),
        Fields::Unnamed(fields) => {
            let types = fields.unnamed.iter().map(|field| text(&field.ty));
            format!("({})", list(types.collect()))
        }
        Fields::Named(fields) => {
            let named = fields.named.iter().map(|field| {
                let name = field.ident.as_ref().map(ToString::to_string);
                format!("{}: {}", name.unwrap_or_default(), text(&field.ty))
            });
            format!(" {{ {} }}", list(named.collect()))
        }
    }
}

fn of_trait(item: &syn::ItemTrait, path: &str) -> Vec<Line> {
    let (generics, conditions) = (parameters(&item.generics), conditions(&item.generics));
    let attributes = attributes(&item.attrs);
    let bounds = match item.supertraits.is_empty() {
        true => String::new(),
        false => format!(": {}", text(&item.supertraits)),
    };
    let mut lines = vec![line(
        path,
        format!("{attributes}pub trait {path}{generics}{bounds}{conditions}"),
    )];
    for item in &item.items {
        match item {
            syn::TraitItem::Fn(function) => {
                let path = format!("{path}::{}", function.sig.ident);
                let kind = function.default.as_ref().map_or("required", |_| "provided");
                let signature = signature(&function.sig, &path);
                lines.push(line(&path, format!("{kind} {signature}")));
            }
            syn::TraitItem::Type(associated) => {
                let path = format!("{path}::{}", associated.ident);
                let bounds = match associated.bounds.is_empty() {
                    true => String::new(),
                    false => format!(": {}", text(&associated.bounds)),
                };
                lines.push(line(&path, format!("required type {path}{bounds}")));
            }
            syn::TraitItem::Const(constant) => {
                let path = format!("{path}::{}", constant.ident);
                let constant = format!("required const {path}: {}", text(&constant.ty));
                lines.push(line(&path, constant));
            }
            _ => {}
        }
    }
    lines
}

/// A function's signature under its whole path, without what only its body needs.
pub(super) fn signature(signature: &Signature, path: &str) -> String {
    let mut words = String::new();
    if signature.constness.is_some() {
        words += "const ";
    }
    if signature.asyncness.is_some() {
        words += "async ";
    }
    if matches!(signature.safety, syn::Safety::Unsafe(_)) {
        words += "unsafe ";
    }
    let arguments: Vec<_> = signature.inputs.iter().map(argument).collect();
    let generics = parameters(&signature.generics);
    let output = match &signature.output {
        syn::ReturnType::Default => String::new(),
        syn::ReturnType::Type(_, output) => format!(" -> {}", text(output)),
    };
    let conditions = conditions(&signature.generics);
    format!(
        "{words}fn {path}{generics}({}){output}{conditions}",
        arguments.join(", ")
    )
}

fn argument(argument: &FnArg) -> String {
    match argument {
        FnArg::Receiver(receiver) => {
            let mut receiver = receiver.clone();
            receiver.attrs.clear();
            if !matches!(receiver.kind, syn::ReceiverKind::Reference(..)) {
                receiver.mutability = None;
            }
            text(&receiver)
        }
        FnArg::Typed(typed) => {
            let name = match &*typed.pat {
                Pat::Ident(name) => name.ident.to_string(),
                _ => "_".to_owned(),
            };
            format!("{name}: {}", text(&typed.ty))
        }
    }
}

/// `<'a, T: Bound>`, or nothing.
pub(super) fn parameters(generics: &Generics) -> String {
    match generics.params.is_empty() {
        true => String::new(),
        false => format!("<{}>", text(&generics.params)),
    }
}

/// ` where …`, or nothing.
pub(super) fn conditions(generics: &Generics) -> String {
    let conditions = generics.where_clause.as_ref();
    conditions.map_or_else(String::new, |conditions| {
        format!(" {}", text(conditions).trim_end_matches(','))
    })
}

fn attributes(attributes: &[syn::Attribute]) -> String {
    let shown = |attribute: &&syn::Attribute| {
        let name = attribute.path().segments.last();
        name.is_some_and(|name| SHOWN.iter().any(|shown| name.ident == shown))
    };
    let text_of = |attribute: &syn::Attribute| {
        let name = attribute.path().segments.last().into_token_stream();
        format!("#[{name}] ")
    };
    attributes.iter().filter(shown).map(text_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(item: &str) -> Vec<String> {
        let item: Item = syn::parse_str(item).unwrap();
        lines(&item, "a::X")
            .into_iter()
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn structs_show_their_public_fields() {
        assert_eq!(
            listed("#[non_exhaustive] pub struct X<T: Eq> { pub a: Vec<T>, b: u8 }"),
            [
                "#[non_exhaustive] pub struct a::X<T: Eq>",
                "pub a::X::a: Vec<T>"
            ]
        );
        assert_eq!(
            listed("pub struct X(pub u8);"),
            ["pub struct a::X", "pub a::X::0: u8"]
        );
    }

    #[test]
    fn enums_show_their_variants() {
        assert_eq!(
            listed("pub enum X { A, B(u8, &'static str), C { d: u8 } }"),
            [
                "pub enum a::X",
                "a::X::A",
                "a::X::B(u8, &'static str)",
                "a::X::C { d: u8 }"
            ]
        );
    }

    #[test]
    fn traits_tell_what_they_require() {
        assert_eq!(
            listed(
                "pub trait X: Send { type Y: Eq; async fn f(&self, mut a: u8) -> u8; fn g(mut self) {} }"
            ),
            [
                "pub trait a::X: Send",
                "required type a::X::Y: Eq",
                "required async fn a::X::f(&self, a: u8) -> u8",
                "provided fn a::X::g(self)",
            ]
        );
    }
}
