//! Checks the manifests: settings of the workspace are inherited, and published crates complete.

use std::fs;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::Problem;
use crate::workspace::{Metadata, Package};

/// Keys that the workspace's Cargo.toml decides.
const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];

/// A shorter README does not help somebody who finds the crate in a registry.
const SHORTEST_README_BYTES: usize = 300;

pub(super) fn check(metadata: &Metadata) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for package in metadata.members() {
        let text = fs::read_to_string(&package.manifest_path)?;
        let manifest = toml::from_str(&text)
            .with_context(|| format!("reading {}", package.manifest_path.display()))?;
        problems.extend(check_inheritance(&package.name, &manifest));
        if package.is_published() {
            problems.extend(check_published(package));
            problems.extend(check_docs_rs(&package.name, &manifest));
        }
    }
    Ok(problems)
}

fn check_inheritance(name: &str, manifest: &Table) -> Vec<Problem> {
    let problem = |message: String| Problem::at(name, message);
    let mut problems = Vec::new();
    let package = manifest.get("package").and_then(Value::as_table);
    for key in INHERITED {
        if !package
            .and_then(|package| package.get(key))
            .is_some_and(is_inherited)
        {
            problems.push(problem(format!(
                "its manifest should say `{key}.workspace = true`"
            )));
        }
    }
    if !manifest.get("lints").is_some_and(is_inherited) {
        problems.push(problem(
            "its manifest should say `[lints] workspace = true`".to_owned(),
        ));
    }
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let dependencies = manifest.get(kind).and_then(Value::as_table);
        for (used, declared) in dependencies.into_iter().flatten() {
            if !is_inherited(declared) {
                problems.push(problem(format!(
                    "the version of {used} belongs in [workspace.dependencies]"
                )));
            }
        }
    }
    problems
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Checks that docs.rs shows all features; its default is the default features.
fn check_docs_rs(name: &str, manifest: &Table) -> Option<Problem> {
    let key = |table: &Table, key: &str| table.get(key)?.as_table().cloned();
    let metadata = key(manifest, "package").and_then(|package| key(&package, "metadata"));
    let docs_rs = metadata.and_then(|metadata| key(&metadata, "docs").and_then(|d| key(&d, "rs")));
    let all = docs_rs.and_then(|docs_rs| docs_rs.get("all-features")?.as_bool());
    (all != Some(true)).then(|| {
        let message = "its manifest should say `[package.metadata.docs.rs] all-features = true`";
        Problem::at(name, message)
    })
}

fn check_published(package: &Package) -> Vec<Problem> {
    let mut missing: Vec<String> = Vec::new();
    if package.description.as_deref().is_none_or(str::is_empty) {
        missing.push("a description".into());
    }
    if package.license.is_none() {
        missing.push("a licence".into());
    }
    let folder = package
        .manifest_path
        .parent()
        .expect("a manifest is in a folder");
    let readme = package
        .readme
        .as_ref()
        .map(|path| fs::read_to_string(folder.join(path)));
    match readme {
        None | Some(Err(_)) => missing.push("a README.md".into()),
        Some(Ok(text)) if text.len() < SHORTEST_README_BYTES => {
            missing.push("a README.md that says what the crate is and shows how it is used".into());
        }
        Some(Ok(text)) => {
            let features = package.features.keys().filter(|name| *name != "default");
            let unnamed = features.filter(|name| !text.contains(&format!("`{name}`")));
            missing.extend(unnamed.map(|name| format!("its feature `{name}` in README.md")));
        }
    }
    missing
        .into_iter()
        .map(|what| Problem::at(&package.name, format!("is published and needs {what}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
        package.version.workspace = true
        package.edition.workspace = true
        package.rust-version.workspace = true
        package.license.workspace = true
        lints.workspace = true
        dependencies.serde = { workspace = true, features = ['derive'] }
    ";

    fn problems(manifest: &str) -> Vec<Problem> {
        check_inheritance("a", &toml::from_str(manifest).expect("it is TOML"))
    }

    #[test]
    fn what_the_workspace_decides_is_inherited() {
        assert_eq!(problems(GOOD), []);
        for line in GOOD
            .lines()
            .filter(|line| line.contains("workspace = true\n"))
        {
            assert_eq!(problems(&GOOD.replace(line, "")).len(), 1, "without {line}");
        }
        assert_eq!(
            problems(&GOOD.replace("edition.workspace = true", "edition = '2024'")).len(),
            1
        );
        assert_eq!(
            problems(&format!("{GOOD}\ndependencies.rand = '1'")).len(),
            1
        );
        assert_eq!(
            problems(&format!("{GOOD}\ndev-dependencies.rand.version = '1'")).len(),
            1
        );
    }

    #[test]
    fn docs_rs_shows_all_features() {
        let check = |manifest: &str| check_docs_rs("a", &toml::from_str(manifest).unwrap());
        assert_eq!(check("package.metadata.docs.rs.all-features = true"), None);
        assert!(check("package.name = 'a'").is_some());
    }

    #[test]
    fn what_is_published_is_complete() {
        let package = |extra: serde_json::Value| -> Package {
            let mut package = serde_json::json!({
                "id": "a", "name": "a", "version": "1.0.0", "dependencies": [], "targets": [],
                "manifest_path": concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
                "description": "Something", "license": "MIT", "readme": "src/main.rs"
            });
            for (key, value) in extra.as_object().expect("an object") {
                package[key] = value.clone();
            }
            serde_json::from_value(package).expect("as cargo writes it")
        };
        assert_eq!(check_published(&package(serde_json::json!({}))), []);
        for (key, value) in [
            ("description", ""),
            ("readme", "no-such-file.md"),
            ("readme", "../.cargo/config.toml"),
        ] {
            let found = check_published(&package(serde_json::json!({ key: value })));
            assert_eq!(found.len(), 1, "{key} {value}");
        }
        let features = serde_json::json!({ "features": { "default": [], "no-such-feature": [] } });
        let found = check_published(&package(features));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().contains("`no-such-feature`"));
        let without_licence = package(serde_json::json!({ "license": null }));
        assert_eq!(check_published(&without_licence).len(), 1);
    }
}
