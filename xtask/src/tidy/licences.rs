//! Checks that the licence of every dependency permits our own licence.

use super::Problem;
use crate::workspace::Package;

/// The accepted licences: permissive ones that require no more than attribution.
const ACCEPTED: &[&str] = &[
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    // Certificates, the fallback of the platform verifier: data, not code.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    // The tables of unicode-ident.
    "Unicode-3.0",
    "Zlib",
];

pub(super) fn check(packages: &[Package]) -> Vec<Problem> {
    let problem = |package: &Package| {
        let place = format!("{} {}", package.name, package.version);
        match &package.license {
            None => Some(Problem::at(
                place,
                "declares no licence; read its files and decide",
            )),
            Some(licence) if !is_accepted(licence) => {
                let message = format!("{licence:?} is not among the licences that tidy accepts");
                Some(Problem::at(place, message))
            }
            Some(_) => None,
        }
    };
    packages.iter().filter_map(problem).collect()
}

/// Whether an SPDX expression can be met with accepted licences alone.
fn is_accepted(expression: &str) -> bool {
    // Before SPDX expressions `/` stood for OR.
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let accepted = any_of(&mut words);
    accepted && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>) -> bool {
    let mut accepted = all_of(words);
    while words.next_if_eq(&"OR").is_some() {
        accepted |= all_of(words);
    }
    accepted
}

fn all_of(words: &mut Words<'_>) -> bool {
    let mut accepted = one(words);
    while words.next_if_eq(&"AND").is_some() {
        accepted &= one(words);
    }
    accepted
}

fn one(words: &mut Words<'_>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let accepted = any_of(words);
        return words.next_if_eq(&")").is_some() && accepted;
    }
    let accepted = words
        .next()
        .is_some_and(|licence| ACCEPTED.contains(&licence));
    // An exception only ever gives more rights.
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        for expression in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "ISC AND (Apache-2.0 OR ISC) AND Zlib",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
            "(GPL-3.0 AND MIT) OR ISC",
        ] {
            assert!(is_accepted(expression), "{expression}");
        }
        for expression in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND GPL-3.0",
            "MIT AND (GPL-3.0 OR AGPL-3.0)",
            "GPL-3.0 OR (MIT AND AGPL-3.0)",
            "MIT Apache-2.0",
            "(MIT",
        ] {
            assert!(!is_accepted(expression), "{expression}");
        }
    }

    #[test]
    fn no_licence_is_no_permission() {
        let package = |licence: Option<&str>| -> Package {
            serde_json::from_value(serde_json::json!({
                "id": "a", "name": "a", "version": "1.0.0", "manifest_path": "Cargo.toml",
                "dependencies": [], "targets": [], "license": licence
            }))
            .expect("as cargo writes it")
        };
        assert_eq!(check(&[package(Some("MIT"))]), []);
        assert_eq!(check(&[package(None), package(Some("AGPL-3.0"))]).len(), 2);
    }
}
