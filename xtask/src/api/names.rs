//! What a path in a module of a crate names: an item of the crate, a module, or something of
//! another crate.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree, Visibility};

use super::source::{Module, Source};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// An item of this crate: its module and its name.
    Item(Module, String),
    Module(Module),
    /// Something of another crate: the whole path.
    Foreign(Vec<String>),
    /// A parameter, an associated type, or what the prelude has.
    Other,
}

/// A `use` of one name.
pub(super) struct Import {
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) is_public: bool,
    pub(super) conditions: Vec<String>,
}

/// The names of each module of a crate.
pub(super) struct Names<'s> {
    pub(super) source: &'s Source,
    items: BTreeMap<&'s Module, BTreeSet<String>>,
    imports: BTreeMap<&'s Module, Vec<Import>>,
    /// As they are written in paths.
    crates: BTreeSet<String>,
}

impl<'s> Names<'s> {
    /// Reads the names of a crate that depends on `crates`.
    pub(super) fn new(source: &'s Source, crates: impl IntoIterator<Item = String>) -> Self {
        let standard = ["std", "core", "alloc"].map(str::to_owned);
        let mut names = Self {
            source,
            items: BTreeMap::new(),
            imports: BTreeMap::new(),
            crates: crates.into_iter().chain(standard).collect(),
        };
        for (module, items) in &source.modules {
            let own = items.iter().filter_map(|gated| name_of(&gated.item));
            names.items.insert(module, own.collect());
            let mut imports = Vec::new();
            for gated in items {
                if let Item::Use(item) = &gated.item {
                    let is_public = matches!(item.vis, Visibility::Public(_));
                    flatten(&item.tree, &[], &mut |name, path| {
                        imports.push(Import {
                            name,
                            path,
                            is_public,
                            conditions: gated.conditions.clone(),
                        });
                    });
                }
            }
            names.imports.insert(module, imports);
        }
        names
    }

    /// The imports of a module.
    pub(super) fn imports(&self, module: &Module) -> &[Import] {
        self.imports.get(module).map_or(&[], Vec::as_slice)
    }

    /// What `path` names in `module`.
    pub(super) fn resolve(&self, module: &Module, path: &[String]) -> Named {
        self.lookup(module, path, 0)
    }

    /// `depth` counts the imports that were followed, so that a ring of them ends.
    fn lookup(&self, module: &Module, path: &[String], depth: usize) -> Named {
        let Some(first) = path.first().filter(|_| depth < 16) else {
            return Named::Other;
        };
        match first.as_str() {
            "crate" => self.within(&Module::new(), &path[1..], depth),
            "self" => self.within(module, &path[1..], depth),
            "super" => {
                let up = module[..module.len().saturating_sub(1)].to_vec();
                match path.get(1).is_some_and(|next| next == "super") {
                    true => self.lookup(&up, &path[1..], depth),
                    false => self.within(&up, &path[1..], depth),
                }
            }
            _ => match self.within(module, path, depth) {
                Named::Other if self.crates.contains(first) => Named::Foreign(path.to_vec()),
                found => found,
            },
        }
    }

    /// What `path` names below `module`.
    fn within(&self, module: &Module, path: &[String], depth: usize) -> Named {
        let Some((first, rest)) = path.split_first() else {
            return Named::Module(module.clone());
        };
        let child = [module.as_slice(), std::slice::from_ref(first)].concat();
        if self.source.modules.contains_key(&child) {
            return self.within(&child, rest, depth);
        }
        if self
            .items
            .get(module)
            .is_some_and(|items| items.contains(first))
        {
            return Named::Item(module.clone(), first.clone());
        }
        let import = self.imports(module).iter().find(|i| i.name == *first);
        match import {
            // `use x::x` and `use x` of another crate name themselves.
            Some(import) if import.path.as_slice() == [first.clone()] => {
                Named::Foreign([&import.path, rest].concat())
            }
            Some(import) => self.lookup(module, &[&import.path, rest].concat(), depth + 1),
            None => Named::Other,
        }
    }
}

/// Calls `found` with each name that a `use` binds, and its path. Globs bind none that is known
/// here.
fn flatten(tree: &UseTree, before: &[String], found: &mut dyn FnMut(String, Vec<String>)) {
    let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => flatten(&path.tree, &with(&path.ident), found),
        UseTree::Name(name) if name.ident == "self" => {
            found(before.last().cloned().unwrap_or_default(), before.to_vec());
        }
        UseTree::Name(name) => found(name.ident.to_string(), with(&name.ident)),
        UseTree::Rename(rename) => found(rename.rename.to_string(), with(&rename.ident)),
        UseTree::Group(group) => group.items.iter().for_each(|t| flatten(t, before, found)),
        UseTree::Glob(_) => {}
    }
}

/// The name that an item defines, unless it is a module.
pub(super) fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// The names of a path, without its arguments.
pub(super) fn segments(path: &syn::Path) -> Vec<String> {
    path.segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_through_imports() {
        let source = Source::parse(
            "pub mod a { pub struct A; pub mod b { use super::A as X; use bytes::Bytes; } }
             mod c { pub use crate::a::A; use serde; }",
        );
        let names = Names::new(&source, ["bytes".to_owned(), "serde".to_owned()]);
        let path = |text: &str| -> Vec<String> { text.split("::").map(str::to_owned).collect() };
        let resolve = |module: &str, text: &str| names.resolve(&path(module), &path(text));
        let a = Named::Item(path("a"), "A".to_owned());
        assert_eq!(resolve("a::b", "X"), a);
        assert_eq!(resolve("c", "A"), a);
        assert_eq!(resolve("c", "crate::a::A"), a);
        assert_eq!(resolve("a::b", "super::super::c::A"), a);
        assert_eq!(resolve("c", "super::a"), Named::Module(path("a")));
        assert_eq!(
            resolve("a::b", "Bytes"),
            Named::Foreign(path("bytes::Bytes"))
        );
        assert_eq!(
            resolve("c", "serde::Serialize"),
            Named::Foreign(path("serde::Serialize"))
        );
        assert_eq!(
            resolve("c", "std::io::Error"),
            Named::Foreign(path("std::io::Error"))
        );
        assert_eq!(resolve("c", "T"), Named::Other);
    }
}
