//! Checks imports within a crate: none goes through the crate's root, and no files import each
//! other in a ring.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::{Problem, code::is_test};
use crate::workspace::File;

/// Allowed rings: the modules of each, as `crate/module`, and why they belong together.
const RINGS: &[(&[&str], &str)] = &[
    (
        &["qsse-client/client", "qsse-client/connect"],
        "`Client::connect` makes a `Connect`, which makes a `Client` when awaited",
    ),
    (
        &[
            "qsse-server/builder",
            "qsse-server/server",
            "qsse-server/subscription",
        ],
        "the public handle, what makes it, and what it makes and is held by",
    ),
    (
        &[
            "qsse-sim/model",
            "qsse-sim/model::logs",
            "qsse-sim/model::reading",
            "qsse-sim/model::tokens",
        ],
        "`Model` and what it judges: one type, a file for each rule",
    ),
    (
        &[
            "qsse-sim/world",
            "qsse-sim/world::clients",
            "qsse-sim/world::rights",
            "qsse-sim/world::setbacks",
        ],
        "`World`: one type, a file for each part of it",
    ),
];

/// Checks each crate's `src`.
pub(super) fn check(files: &[File]) -> Vec<Problem> {
    let mut crates = BTreeMap::<&str, Vec<&File>>::new();
    for file in files {
        let parts = file
            .path
            .strip_prefix("crates/")
            .and_then(|path| path.split_once("/src/"));
        if let Some((name, _)) = parts.filter(|_| !is_test(&file.path)) {
            crates.entry(name).or_default().push(file);
        }
    }
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for (name, files) in crates {
        let house = House::read(name, &files);
        problems.extend(house.imports_through_the_root());
        found.extend(house.rings());
    }
    let is_allowed = |ring: &Vec<String>| RINGS.iter().any(|(allowed, _)| ring == allowed);
    for ring in found.iter().filter(|ring| !is_allowed(ring)) {
        let message = format!(
            "these files import each other in a ring: {}; move what they share to a file below them",
            ring.join(", ")
        );
        problems.push(Problem::at(&ring[0], message));
    }
    for (ring, _) in RINGS {
        if !found.iter().any(|found| found == ring) {
            problems.push(Problem::at(
                ring[0],
                "is in no such ring; take it out of xtask's RINGS",
            ));
        }
    }
    problems
}

/// A path within a crate, without `crate::`.
type Path = Vec<String>;

/// The files of a crate, and what they import from each other.
struct House<'n> {
    name: &'n str,
    /// The files by module; the root is the empty path.
    rooms: BTreeMap<Path, Room>,
}

/// A file.
#[derive(Default)]
struct Room {
    /// Its path in the workspace.
    file: String,
    /// The paths of its crate that it names, with their lines.
    names: Vec<(Path, usize)>,
    /// The names that it re-exports.
    shown: BTreeSet<String>,
    /// Where the re-exports of its own crate lead.
    exports: BTreeMap<String, Path>,
}

impl<'n> House<'n> {
    fn read(name: &'n str, files: &[&File]) -> Self {
        let mut rooms = BTreeMap::new();
        let modules: Vec<_> = files.iter().map(|file| module_of(&file.path)).collect();
        for (file, module) in files.iter().zip(&modules) {
            let Ok(syntax) = syn::parse_file(&file.text) else {
                continue;
            };
            let mut reader = Reader {
                module,
                modules: &modules,
                room: Room {
                    file: file.path.clone(),
                    ..Room::default()
                },
            };
            reader.visit_file(&syntax);
            rooms.insert(module.clone(), reader.room);
        }
        Self { name, rooms }
    }

    /// Follows a path through re-exports to a module.
    fn target(&self, path: &[String]) -> Path {
        let mut path = path.to_vec();
        // Chains of re-exports are short; the limit ends a cycle.
        for _ in 0..8 {
            let depth = (0..=path.len())
                .rev()
                .find(|depth| self.rooms.contains_key(&path[..*depth]))
                .unwrap_or(0);
            let (module, rest) = path.split_at(depth);
            let export = rest
                .first()
                .and_then(|name| self.rooms.get(module)?.exports.get(name));
            match export {
                Some(exported) => path = [exported, &rest[1..]].concat(),
                None => return module.to_vec(),
            }
        }
        path
    }

    fn imports_through_the_root(&self) -> Vec<Problem> {
        let root = self.rooms.get(&Path::new());
        let mut problems = Vec::new();
        for (_, room) in self.rooms.iter().filter(|(module, _)| !module.is_empty()) {
            for (path, line) in &room.names {
                let [name] = &path[..] else {
                    continue;
                };
                if root.is_some_and(|root| root.shown.contains(name)) {
                    let message =
                        format!("name {name} by the module that it is in, not by the crate's root");
                    problems.push(Problem::at_line(&room.file, *line, message));
                }
            }
        }
        problems
    }

    /// Returns the sets of modules that all reach each other.
    fn rings(&self) -> Vec<Vec<String>> {
        let modules: Vec<_> = self
            .rooms
            .keys()
            .filter(|module| !module.is_empty())
            .collect();
        let reached: Vec<BTreeSet<Path>> = modules
            .iter()
            .map(|module| self.reached_from(module))
            .collect();
        let mut rings = BTreeSet::new();
        for (module, from) in modules.iter().zip(&reached) {
            if !from.contains(*module) {
                continue;
            }
            let leads_back =
                |other: &usize| from.contains(modules[*other]) && reached[*other].contains(*module);
            let ring: Vec<_> = (0..modules.len())
                .filter(leads_back)
                .map(|other| format!("{}/{}", self.name, modules[other].join("::")))
                .collect();
            rings.insert(ring);
        }
        rings.into_iter().collect()
    }

    fn reached_from(&self, module: &Path) -> BTreeSet<Path> {
        let mut reached = BTreeSet::new();
        let mut next = self.imported_by(module);
        while let Some(module) = next.pop() {
            if reached.insert(module.clone()) {
                next.extend(self.imported_by(&module));
            }
        }
        reached
    }

    fn imported_by(&self, module: &Path) -> Vec<Path> {
        let names = self.rooms[module].names.iter();
        names
            .map(|(path, _)| self.target(path))
            .filter(|target| target != module && !target.is_empty())
            .collect()
    }
}

/// Collects the names in a file.
struct Reader<'m> {
    module: &'m [String],
    modules: &'m [Path],
    room: Room,
}

impl Reader<'_> {
    /// Returns the path from the crate's root, if `path` begins with `crate`, `self`, `super` or a
    /// child module.
    fn absolute(&self, path: &[String]) -> Option<Path> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let up = self.module.len().checked_sub(supers)?;
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([self.module, &path[1..]].concat()),
            "super" => Some([&self.module[..up], &path[supers..]].concat()),
            _ => {
                let within = [self.module, path].concat();
                let child = &within[..=self.module.len()];
                self.modules
                    .iter()
                    .any(|module| module == child)
                    .then_some(within)
            }
        }
    }

    fn import(&mut self, tree: &syn::UseTree, before: &[String], exports: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.import(&path.tree, &with(&path.ident), exports),
            syn::UseTree::Name(name) => self.imported(&with(&name.ident), &name.ident, exports),
            syn::UseTree::Rename(rename) => {
                self.imported(&with(&rename.ident), &rename.rename, exports)
            }
            syn::UseTree::Glob(glob) => {
                if let Some(path) = self.absolute(before) {
                    self.room
                        .names
                        .push((path, glob.star_token.spans[0].start().line));
                }
            }
            syn::UseTree::Group(group) => {
                group
                    .items
                    .iter()
                    .for_each(|tree| self.import(tree, before, exports));
            }
        }
    }

    fn imported(&mut self, path: &[String], name: &syn::Ident, exports: bool) {
        if exports {
            self.room.shown.insert(name.to_string());
        }
        let Some(path) = self.absolute(path) else {
            return;
        };
        if exports {
            self.room.exports.insert(name.to_string(), path.clone());
        }
        // A re-export of a child module is the module's interface, not a dependency.
        let is_face = exports && path.starts_with(self.module);
        if !is_face {
            self.room.names.push((path, name.span().start().line));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (syn::Item::Mod(syn::ItemMod { attrs, .. })
        | syn::Item::Fn(syn::ItemFn { attrs, .. })
        | syn::Item::Impl(syn::ItemImpl { attrs, .. })
        | syn::Item::Use(syn::ItemUse { attrs, .. })) = item
        else {
            return visit::visit_item(self, item);
        };
        if !attrs.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let exports = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &[], exports);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if let Some(absolute) = self.absolute(&parts).filter(|_| parts.len() > 1) {
            let line = path.segments[0].ident.span().start().line;
            self.room.names.push((absolute, line));
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let tokens = attribute
        .meta
        .require_list()
        .map(|list| list.tokens.to_string());
    attribute.path().is_ident("cfg") && tokens.is_ok_and(|tokens| tokens == "test")
}

/// `crates/a/src/b/c.rs` is `b::c`.
fn module_of(path: &str) -> Path {
    let within = path.split_once("/src/").map_or("", |(_, within)| within);
    let within = within.trim_end_matches(".rs");
    match within {
        "lib" | "main" => Path::new(),
        _ => within.split('/').map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(files: &[(&str, &str)]) -> (Vec<Vec<String>>, usize) {
        let file = |(name, text): &(&str, &str)| File {
            path: format!("crates/a/src/{name}.rs"),
            text: (*text).to_owned(),
        };
        let files: Vec<_> = files.iter().map(file).collect();
        let house = House::read("a", &files.iter().collect::<Vec<_>>());
        (house.rings(), house.imports_through_the_root().len())
    }

    #[test]
    fn files_that_import_each_other_are_a_ring() {
        let (rings, _) = house(&[
            ("lib", "mod b; mod c; mod d;"),
            ("b", "use crate::c::C; struct B;"),
            ("c", "fn f(d: crate::d::D) {}"),
            ("d", "use super::b::B;"),
            ("e", "use crate::b::B;"),
        ]);
        assert_eq!(rings, [["a/b", "a/c", "a/d"]]);
    }

    #[test]
    fn a_face_is_no_import_and_is_seen_through() {
        let (rings, _) = house(&[
            ("lib", "mod b;"),
            ("b", "mod inner; pub(crate) use inner::Inner;"),
            ("b/inner", "use crate::c::C;"),
            ("c", "use crate::b::Inner;"),
        ]);
        assert_eq!(rings, [["a/b::inner", "a/c"]]);
        let (rings, _) = house(&[
            ("b", "mod inner; pub use inner::I;"),
            ("b/inner", "use super::B;"),
        ]);
        assert!(rings.is_empty(), "{rings:?}");
    }

    #[test]
    fn tests_may_import_what_they_like() {
        let test = "struct B; #[cfg(test)] mod tests { use crate::c::C; }";
        let (rings, _) = house(&[("b", test), ("c", "use crate::b::B;")]);
        assert!(rings.is_empty(), "{rings:?}");
    }

    #[test]
    fn what_the_root_exports_is_named_by_its_module() {
        let lib = ("lib", "mod b; pub use b::B; pub use bytes::Bytes;");
        assert_eq!(house(&[lib, ("c", "use crate::B;")]).1, 1);
        assert_eq!(house(&[lib, ("c", "use crate::{B, Bytes};")]).1, 2);
        assert_eq!(
            house(&[lib, ("c", "fn f() { crate::B::g() }")]).1,
            0,
            "a type's own path"
        );
        assert_eq!(
            house(&[lib, ("c", "use crate::b::B;"), ("b", "struct B;")]).1,
            0
        );
    }
}
