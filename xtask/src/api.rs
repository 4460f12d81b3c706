//! `cargo xtask api`: lists the public API of each published crate in `docs/api`, one item a line;
//! `--check` tells whether a list is out of date.
//!
//! The lists are read from the source, not asked of rustdoc, so that every toolchain gives the same
//! ones. They describe a build for Linux with all features; what a feature adds has its name behind
//! it. What only the compiler can tell is not in them: auto traits, and what macros of other crates
//! make.

mod cfg;
mod expand;
mod exports;
mod foreign;
mod impls;
mod item;
mod listing;
mod names;
mod paths;
mod source;
mod text;

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::workspace::{Metadata, Package, root};
use exports::Exports;
use listing::Listing;
use names::Names;
use source::Source;

/// Arguments of `api`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if a list is not what would be written
    #[arg(long)]
    pub(crate) check: bool,
}

const FOLDER: &str = "docs/api";

/// The most lines of a difference that are shown.
const MOST_SHOWN: usize = 40;

/// Writes the lists, or checks them. Either way fails when a foreign type is public that may not
/// be.
pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = Metadata::read(true)?;
    let libraries = metadata
        .members()
        .filter(|package| package.is_published() && package.has_library());
    let mut stale = Vec::new();
    let mut foreign = foreign::Found::default();
    for package in libraries {
        let listing = read(package)?;
        foreign.add(&listing);
        if !update(package, &listing, args.check)? {
            stale.push(package.name.as_str());
        }
    }
    let problems = foreign.problems();
    problems.iter().for_each(|problem| println!("{problem}"));
    if !problems.is_empty() {
        bail!("foreign types in public items; see FOREIGN in xtask/src/api/foreign.rs");
    }
    if !stale.is_empty() {
        bail!(
            "the public API of {} has changed: run `cargo xtask api`, and commit what it writes",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Reads a package's library.
fn read(package: &Package) -> Result<Listing> {
    let folder = package.manifest_path.parent().context("it is a file")?;
    let source = Source::read(&folder.join("src"))?;
    let dependencies = package.dependencies.iter();
    let crates = dependencies.map(|dependency| dependency.name.replace('-', "_"));
    Ok(list(&source, &package.name.replace('-', "_"), crates))
}

fn list(source: &Source, name: &str, crates: impl IntoIterator<Item = String>) -> Listing {
    let names = Names::new(source, crates);
    let mut exports = Exports::new(&names, name);
    exports.items();
    impls::list(&mut exports);
    exports.listing
}

/// Writes a crate's list, or compares it. Returns whether it is up to date now.
fn update(package: &Package, listing: &Listing, check: bool) -> Result<bool> {
    let path = format!("{FOLDER}/{}.txt", package.name);
    let wanted = listing.text(&package.name);
    let found = fs::read_to_string(root().join(&path)).unwrap_or_default();
    if wanted == found {
        return Ok(true);
    }
    let changes = difference(&found, &wanted);
    println!("{path}: {} lines differ", changes.len());
    let shown = changes.iter().take(MOST_SHOWN);
    shown.for_each(|line| println!("  {line}"));
    if check {
        return Ok(false);
    }
    fs::create_dir_all(root().join(FOLDER))?;
    fs::write(root().join(&path), wanted)?;
    println!("wrote {path}");
    Ok(true)
}

/// The lines that only one of two lists has, removed ones before added ones. Lists are sorted, so
/// nothing moves.
fn difference(old: &str, new: &str) -> Vec<String> {
    let only_in = |a: &str, b: &str, sign: char| -> Vec<String> {
        let b: Vec<_> = b.lines().collect();
        a.lines()
            .filter(|line| !b.contains(line))
            .map(|line| format!("{sign} {line}"))
            .collect()
    };
    [only_in(old, new, '-'), only_in(new, old, '+')].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of the list of a crate `a` with this text.
    fn listed(text: &str) -> Vec<String> {
        let listing = list(&Source::parse(text), "a", ["bytes".to_owned()]);
        let text = listing.text("a");
        text.lines().skip(3).map(str::to_owned).collect()
    }

    #[test]
    fn items_have_their_shortest_public_path() {
        let lines = listed(
            "pub mod m { pub struct S; pub(crate) struct Hidden; }
             mod p { pub struct T; pub struct Unreachable; impl super::m::S { pub fn f() {} } }
             pub use m::S; pub use p::T as U; pub use bytes::Bytes;",
        );
        assert_eq!(
            lines,
            [
                "pub use bytes::Bytes as a::Bytes",
                "pub struct a::S",
                "pub fn a::S::f()",
                "pub struct a::U",
                "pub mod a::m",
                "pub use a::S as a::m::S",
            ]
        );
    }

    #[test]
    fn impls_are_listed_where_users_see_them() {
        let lines = listed(
            "#[derive(Clone)] pub struct S<T>(T); struct Private; pub trait Tr {}
             impl<T> std::fmt::Debug for S<T> {} impl Tr for Private {} impl Tr for str {}
             impl IntoFuture for S<u8> { type Output = u8; }
             impl<'a, T> IntoIterator for &'a S<T> { type Item = &'a T; }
             impl PartialEq<S<u8>> for str {}",
        );
        assert_eq!(
            lines,
            [
                "impl Clone for a::S",
                "impl IntoFuture for a::S<u8> { Output = u8 }",
                "impl PartialEq<S<u8>> for str",
                "impl<'a, T> IntoIterator for &'a S<T> { Item = &'a T }",
                "impl<T> Debug for a::S<T>",
                "pub struct a::S<T>",
                "impl Tr for str",
                "pub trait a::Tr",
            ]
        );
    }

    #[test]
    fn features_and_foreign_crates_are_named() {
        let text = "pub struct S;
             #[cfg(feature = \"json\")] impl S { #[cfg(unix)] pub fn f(b: bytes::Bytes) {} }";
        assert_eq!(
            listed(text)[1],
            "pub fn a::S::f(b: bytes::Bytes)  [json, unix]"
        );
        let listing = list(&Source::parse(text), "a", ["bytes".to_owned()]);
        assert!(listing.foreign["bytes"].contains("a::S::f"));
    }

    #[test]
    fn a_difference_shows_what_went_and_what_came() {
        assert_eq!(difference("a\nb\n", "a\nc\n"), ["- b", "+ c"]);
        assert!(difference("a\n", "a\n").is_empty());
    }
}
