//! Packs the published crates, and lints each packed crate alone, on top of the other packed ones.
//!
//! `cargo package` would build each crate and all of its dependencies in a folder of its own.
//! Unpacked into one workspace, the crates share what earlier steps have built.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    command::{cargo, program},
    workspace::{Metadata, Package, root},
};

/// The folder of the unpacked packages, below the root: a workspace with a folder for each.
const UNPACKED: &str = "target/xtask/unpacked";

/// Packs, unpacks and lints.
pub(super) fn run() -> Result<()> {
    let metadata = Metadata::read(true)?;
    let published: Vec<_> = metadata.members().filter(|p| p.is_published()).collect();
    let unpublished = metadata.members().filter(|p| !p.is_published());
    let exclude: String = unpublished
        .map(|p| format!(" --exclude {}", p.name))
        .collect();
    // Uncommitted changes are fine: the step checks that the packages fit together.
    cargo(&format!(
        "package --workspace --allow-dirty --no-verify{exclude}"
    ))
    .run()?;
    unpack(&published)?;
    for package in &published {
        lint(&package.name)?;
    }
    Ok(())
}

fn unpack(packages: &[&Package]) -> Result<()> {
    let folder = root().join(UNPACKED);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for package in packages {
        let name = format!("{}-{}", package.name, package.version);
        let packed = root().join(format!("target/package/{name}.crate"));
        // `-m`: files in a package all have the same old time, so cargo would miss changes.
        program("tar")
            .arg("-xzmf")
            .arg(&packed.to_string_lossy())
            .within(&folder)
            .run()?;
        fs::rename(folder.join(&name), folder.join(&package.name))
            .with_context(|| format!("{name} is not what {} holds", packed.display()))?;
    }
    // The same versions and profiles, so that cargo reuses what is built.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let own = fs::read_to_string(root().join("Cargo.toml"))?;
    let names: Vec<_> = packages.iter().map(|package| &*package.name).collect();
    fs::write(folder.join("Cargo.toml"), manifest(&own, &names)?)?;
    Ok(())
}

/// The manifest of the workspace around the packages `names`, with the profiles of `own`.
fn manifest(own: &str, names: &[&str]) -> Result<String> {
    let own: toml::Table = own.parse().context("Cargo.toml")?;
    let path = |name: &&str| format!("{name:?} = {{ path = {name:?} }}\n");
    let patched: String = names.iter().map(path).collect();
    let mut manifest: toml::Table = format!(
        "workspace = {{ resolver = \"3\", members = {names:?} }}\n[patch.crates-io]\n{patched}"
    )
    .parse()?;
    if let Some(profile) = own.get("profile") {
        manifest.insert("profile".to_owned(), profile.clone());
    }
    Ok(manifest.to_string())
}

fn lint(name: &str) -> Result<()> {
    let manifest = Path::new(UNPACKED).join("Cargo.toml");
    cargo("clippy --target-dir target --manifest-path")
        .arg(&manifest.to_string_lossy())
        .arg("--package")
        .arg(name)
        .arg("--")
        .arg("-Dwarnings")
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_are_members_and_stand_for_each_other() {
        let own = "[workspace]\nmembers = ['crates/*']\n[profile.dev.package.'*']\nopt-level = 1\n";
        let manifest: toml::Table = manifest(own, &["a", "b-c"]).unwrap().parse().unwrap();
        let wanted: toml::Table = "
            workspace = { resolver = '3', members = ['a', 'b-c'] }
            patch.crates-io = { a = { path = 'a' }, b-c = { path = 'b-c' } }
            profile.dev.package.'*'.opt-level = 1
        "
        .parse()
        .unwrap();
        assert_eq!(manifest, wanted);
    }
}
