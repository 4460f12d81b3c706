//! The impls of what is public, wherever in the crate they are.

use syn::visit::Visit;
use syn::{ImplItem, Item, ItemImpl, Type};

use super::cfg::{Gate, gate};
use super::exports::{Export, Exports};
use super::item::{self, conditions, parameters};
use super::names::{Named, segments};
use super::paths::{Paths, is_pub};
use super::source::Module;
use super::text::text;

/// Lists the public methods, and the traits that are implemented.
pub(super) fn list(exports: &mut Exports<'_>) {
    for (module, items) in &exports.names.source.modules {
        for gated in items {
            if let Item::Impl(block) = &gated.item {
                match &block.trait_ {
                    None => methods(exports, module, block, &gated.conditions),
                    Some((of, _)) => trait_impl(exports, module, block, of, &gated.conditions),
                }
            }
        }
    }
}

fn methods(exports: &mut Exports<'_>, module: &Module, block: &ItemImpl, when: &[String]) {
    let owner = path_of(&block.self_ty).map(segments);
    let Some(owner) = owner.and_then(|owner| exports.public(module, &owner)) else {
        return;
    };
    let (owner, when) = (owner.path.clone(), [&owner.conditions[..], when].concat());
    let bounds = bounds(&block.generics);
    for member in &block.items {
        let mut paths = Paths::default();
        let (attributes, path, text) = match member {
            ImplItem::Fn(function) if is_pub(&function.vis) => {
                let path = format!("{owner}::{}", function.sig.ident);
                let text = item::signature(&function.sig, &path);
                paths.visit_signature(&function.sig);
                (&function.attrs, path, text)
            }
            ImplItem::Const(constant) if is_pub(&constant.vis) => {
                let path = format!("{owner}::{}", constant.ident);
                let text = format!("const {path}: {}", text(&constant.ty));
                paths.visit_type(&constant.ty);
                (&constant.attrs, path, text)
            }
            _ => continue,
        };
        if let Gate::Present(more) = gate(attributes) {
            let when = [&when[..], &more].concat();
            let line = format!("pub {text}{bounds}");
            exports.listing.add(&path, line, &when);
            exports.add_foreign(module, &path, &paths);
        }
    }
}

fn trait_impl(
    exports: &mut Exports<'_>,
    module: &Module,
    block: &ItemImpl,
    of: &syn::Path,
    when: &[String],
) {
    let Some(owner) = owner(exports, module, block, of) else {
        return;
    };
    let line = format!(
        "impl{} {} for {}{}{}",
        parameters(&block.generics),
        text(&of.segments.last()),
        self_type(exports, module, &block.self_ty),
        conditions(&block.generics),
        associated_types(block)
    );
    let when = [&owner.conditions[..], when].concat();
    exports.listing.add(&owner.path, line, &when);
    let mut paths = Paths::default();
    paths.visit_path(of);
    paths.visit_type(&block.self_ty);
    paths.visit_generics(&block.generics);
    exports.add_foreign(module, &owner.path, &paths);
}

/// What a trait's impl is listed under: the type if it is public, else the trait, else a type in
/// its arguments. `None` if users cannot see the impl.
fn owner(
    exports: &Exports<'_>,
    module: &Module,
    block: &ItemImpl,
    of: &syn::Path,
) -> Option<Export> {
    let is_private = |path: &[String]| {
        let is_own = matches!(exports.names.resolve(module, path), Named::Item(..));
        is_own && exports.public(module, path).is_none()
    };
    let own_type = path_of(&block.self_ty).map(segments);
    if is_private(&segments(of)) || own_type.is_some_and(|own| is_private(&own)) {
        return None;
    }
    let mut paths = Paths::default();
    paths.visit_type(&block.self_ty);
    paths.visit_path(of);
    let mut public = paths
        .found
        .iter()
        .filter_map(|path| exports.public(module, path));
    public.next().cloned()
}

/// A public type of this crate by its public path, any other as it is written.
fn self_type(exports: &Exports<'_>, module: &Module, of: &Type) -> String {
    let public = match of {
        Type::Path(of) => exports
            .public(module, &segments(&of.path))
            .zip(of.path.segments.last()),
        _ => None,
    };
    match public {
        Some((export, last)) => format!("{}{}", export.path, text(&last.arguments)),
        None => text(of),
    }
}

fn associated_types(block: &ItemImpl) -> String {
    let types: Vec<_> = block
        .items
        .iter()
        .filter_map(|member| match member {
            ImplItem::Type(member) => Some(format!("{} = {}", member.ident, text(&member.ty))),
            _ => None,
        })
        .collect();
    match types.is_empty() {
        true => String::new(),
        false => format!(" {{ {} }}", types.join(", ")),
    }
}

/// The path of a type that has one, also behind a reference.
fn path_of(of: &Type) -> Option<&syn::Path> {
    match of {
        Type::Path(path) => Some(&path.path),
        Type::Reference(reference) => path_of(&reference.elem),
        _ => None,
    }
}

/// What an impl demands of its parameters, if anything.
fn bounds(generics: &syn::Generics) -> String {
    let parameters = parameters(generics);
    let conditions = conditions(generics);
    match parameters.contains(':') || !conditions.is_empty() {
        true => format!("  (impl{parameters}{conditions})"),
        false => String::new(),
    }
}
