//! The modules of a crate as its files have them: macros of the crate expanded, and without what
//! the build has not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use syn::Item;

use super::cfg::{Gate, gate};
use super::expand::Macro;

/// A module's path below the crate's root, which is the empty path.
pub(super) type Module = Vec<String>;

/// An item with the conditions under which the build has it, those of its modules included.
pub(super) struct Gated {
    pub(super) item: Item,
    pub(super) conditions: Vec<String>,
}

/// All modules of a crate.
pub(super) struct Source {
    pub(super) modules: BTreeMap<Module, Vec<Gated>>,
}

impl Source {
    /// Reads the crate whose root file is in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        Self::of(&mut |module| read(folder, module))
    }

    /// Reads the modules that `file` gives, the root's first.
    fn of(file: &mut dyn FnMut(&[String]) -> Result<syn::File>) -> Result<Self> {
        let mut reader = Reader {
            macros: BTreeMap::new(),
            modules: BTreeMap::new(),
            file,
        };
        let root = (reader.file)(&[])?;
        reader.module(Module::new(), root.items, &[])?;
        let Reader {
            macros, modules, ..
        } = reader;
        let mut source = Self {
            modules: BTreeMap::new(),
        };
        for (module, items) in modules {
            let expanded = items.into_iter().flat_map(|item| expand(item, &macros));
            source.modules.insert(module, expanded.collect());
        }
        Ok(source)
    }

    /// Reads a crate of one file, for tests.
    #[cfg(test)]
    pub(super) fn parse(text: &str) -> Self {
        Self::of(&mut |_| Ok(syn::parse_file(text)?)).expect("it is Rust")
    }
}

fn read(folder: &Path, module: &[String]) -> Result<syn::File> {
    let path = match module {
        [] => folder.join("lib.rs"),
        _ => existing(folder.join(module.join("/"))),
    };
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    syn::parse_file(&text).with_context(|| path.display().to_string())
}

/// `a/b.rs`, or else `a/b/mod.rs`.
fn existing(module: PathBuf) -> PathBuf {
    let file = module.with_extension("rs");
    match file.exists() {
        true => file,
        false => module.join("mod.rs"),
    }
}

struct Reader<'f> {
    macros: BTreeMap<String, Macro>,
    modules: BTreeMap<Module, Vec<Gated>>,
    file: &'f mut dyn FnMut(&[String]) -> Result<syn::File>,
}

impl Reader<'_> {
    fn module(&mut self, module: Module, items: Vec<Item>, conditions: &[String]) -> Result<()> {
        let mut own = Vec::new();
        for item in items {
            let Gate::Present(more) = gate(attributes(&item)) else {
                continue;
            };
            let conditions = [conditions, &more].concat();
            match &item {
                Item::Mod(inner) => self.child(&module, inner, &conditions)?,
                Item::Macro(definition) if definition.mac.path.is_ident("macro_rules") => {
                    let name = definition.ident.as_ref().map(ToString::to_string);
                    let parsed = Macro::parse(definition.mac.tokens.clone());
                    self.macros.insert(name.unwrap_or_default(), parsed);
                }
                _ => {}
            }
            own.push(Gated { item, conditions });
        }
        self.modules.insert(module, own);
        Ok(())
    }

    fn child(
        &mut self,
        module: &[String],
        inner: &syn::ItemMod,
        conditions: &[String],
    ) -> Result<()> {
        let child = [module, &[inner.ident.to_string()]].concat();
        let items = match &inner.content {
            Some((_, items)) => items.clone(),
            None => (self.file)(&child)?.items,
        };
        self.module(child, items, conditions)
    }
}

/// What an invocation of one of the crate's macros becomes; any other item stays.
fn expand(gated: Gated, macros: &BTreeMap<String, Macro>) -> Vec<Gated> {
    let Item::Macro(invocation) = &gated.item else {
        return vec![gated];
    };
    let name = invocation.mac.path.segments.last().map(|last| &last.ident);
    let expanded = name
        .and_then(|name| macros.get(&name.to_string()))
        .and_then(|found| found.expand(&invocation.mac.tokens))
        .and_then(|tokens| syn::parse2::<syn::File>(tokens).ok());
    let items = expanded.map(|file| file.items).unwrap_or_default();
    items
        .into_iter()
        .map(|item| Gated {
            item,
            conditions: gated.conditions.clone(),
        })
        .collect()
}

/// The attributes of an item.
pub(super) fn attributes(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_keep_their_conditions_and_macros_are_expanded() {
        let source = Source::parse(
            "macro_rules! make { ($n:ident) => { struct $n; }; }
             #[cfg(feature = \"json\")] mod a { #[cfg(unix)] struct B; #[cfg(test)] struct C; }
             make!(D); compile_error!(\"x\");",
        );
        let a = &source.modules[&vec!["a".to_owned()]];
        assert_eq!(a.len(), 1);
        assert_eq!(a[0].conditions, ["json", "unix"]);
        let root = &source.modules[&Module::new()];
        let structs = root
            .iter()
            .filter(|gated| matches!(gated.item, Item::Struct(_)));
        assert_eq!(structs.count(), 1);
    }
}
