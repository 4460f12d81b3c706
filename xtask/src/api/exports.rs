//! What is public: what can be reached from a crate's root.

use std::collections::{BTreeMap, BTreeSet};

use syn::Item;
use syn::visit::Visit;

use super::cfg::derives;
use super::item;
use super::listing::Listing;
use super::names::{Named, Names, name_of, segments};
use super::paths::{Paths, is_pub};
use super::source::{Gated, Module, attributes};

/// A place where an item is public.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Export {
    /// How many names it has: the shortest is the item's own path.
    length: usize,
    pub(super) path: String,
    pub(super) conditions: Vec<String>,
}

/// What is public, as far as it was found.
pub(super) struct Exports<'n> {
    pub(super) names: &'n Names<'n>,
    /// By module and name of the definition.
    pub(super) found: BTreeMap<(Module, String), BTreeSet<Export>>,
    pub(super) listing: Listing,
}

impl<'n> Exports<'n> {
    /// Finds what is public in the crate `name`.
    pub(super) fn new(names: &'n Names<'n>, name: &str) -> Self {
        let mut exports = Self {
            names,
            found: BTreeMap::new(),
            listing: Listing::default(),
        };
        exports.module(&Module::new(), name, &[], &mut BTreeSet::new());
        exports
    }

    /// Where an item of this crate is public first.
    pub(super) fn public(&self, module: &Module, path: &[String]) -> Option<&Export> {
        match self.names.resolve(module, path) {
            Named::Item(module, name) => self.found.get(&(module, name))?.first(),
            _ => None,
        }
    }

    /// Finds what is public in a module that is public as `path`.
    fn module(
        &mut self,
        module: &Module,
        path: &str,
        conditions: &[String],
        within: &mut BTreeSet<Module>,
    ) {
        if !within.insert(module.clone()) {
            return;
        }
        for gated in &self.names.source.modules[module] {
            if !is_public(&gated.item) {
                continue;
            }
            let conditions = [conditions, &gated.conditions].concat();
            if let Item::Mod(inner) = &gated.item {
                let name = inner.ident.to_string();
                let child = [module.as_slice(), std::slice::from_ref(&name)].concat();
                let path = format!("{path}::{name}");
                self.listing
                    .add(&path, format!("pub mod {path}"), &conditions);
                self.module(&child, &path, &conditions, within);
            } else if let Some(name) = name_of(&gated.item) {
                self.export(
                    module.clone(),
                    name.clone(),
                    format!("{path}::{name}"),
                    &conditions,
                );
            }
        }
        for import in self.names.imports(module).iter().filter(|i| i.is_public) {
            let conditions = [conditions, &import.conditions].concat();
            let path = format!("{path}::{}", import.name);
            self.reexport(module, &import.path, path, &conditions, within);
        }
        within.remove(module);
    }

    fn reexport(
        &mut self,
        module: &Module,
        import: &[String],
        path: String,
        conditions: &[String],
        within: &mut BTreeSet<Module>,
    ) {
        let is_crate = import.len() == 1;
        match self.names.resolve(module, import) {
            Named::Item(module, name) => self.export(module, name, path, conditions),
            Named::Module(child) => {
                self.listing
                    .add(&path, format!("pub mod {path}"), conditions);
                self.module(&child, &path, conditions, within);
            }
            Named::Foreign(_) | Named::Other => {
                let kind = if is_crate { "crate " } else { "" };
                let line = format!("pub use {kind}{} as {path}", import.join("::"));
                self.listing.add(&path, line, conditions);
                self.listing.add_foreign(&import[0], &path);
            }
        }
    }

    fn export(&mut self, module: Module, name: String, path: String, conditions: &[String]) {
        let export = Export {
            length: path.split("::").count(),
            path,
            conditions: conditions.to_vec(),
        };
        self.found.entry((module, name)).or_default().insert(export);
    }

    /// Lists what was found, without its impls.
    pub(super) fn items(&mut self) {
        for ((module, name), exports) in self.found.clone() {
            let items = self.names.source.modules[&module].iter();
            let named = items.filter(|gated| name_of(&gated.item).as_ref() == Some(&name));
            for gated in named {
                self.item(&module, gated, &exports);
            }
        }
    }

    fn item(&mut self, module: &Module, gated: &Gated, exports: &BTreeSet<Export>) {
        let mut exports = exports.iter();
        let Some(export) = exports.next() else { return };
        let when = [&export.conditions[..], &gated.conditions].concat();
        let path = &export.path;
        for line in item::lines(&gated.item, path) {
            self.listing.add(&line.path, line.text, &when);
        }
        let mut paths = Paths::default();
        for (derived, more) in derives(attributes(&gated.item)) {
            let name = derived.segments.last().map(|last| last.ident.to_string());
            let line = format!("impl {} for {path}", name.unwrap_or_default());
            self.listing.add(path, line, &[&when[..], &more].concat());
            // The derives of thiserror implement `Error` of the standard library.
            if !segments(&derived).iter().any(|name| name == "thiserror") {
                paths.visit_path(&derived);
            }
        }
        paths.visit_item(&gated.item);
        self.add_foreign(module, path, &paths);
        for other in exports {
            let line = format!("pub use {path} as {}", other.path);
            self.listing.add(&other.path, line, &other.conditions);
        }
    }

    /// Notes the foreign crates that the paths of an item name.
    pub(super) fn add_foreign(&mut self, module: &Module, item: &str, paths: &Paths) {
        for path in &paths.found {
            if let Named::Foreign(path) = self.names.resolve(module, path) {
                self.listing.add_foreign(&path[0], item);
            }
        }
    }
}

fn is_public(item: &Item) -> bool {
    match item {
        Item::Const(item) => is_pub(&item.vis),
        Item::Enum(item) => is_pub(&item.vis),
        Item::Fn(item) => is_pub(&item.vis),
        Item::Mod(item) => is_pub(&item.vis),
        Item::Static(item) => is_pub(&item.vis),
        Item::Struct(item) => is_pub(&item.vis),
        Item::Trait(item) => is_pub(&item.vis),
        Item::Type(item) => is_pub(&item.vis),
        _ => false,
    }
}
