//! Packs what is published and builds each package from what was packed, on the others as packed.
//!
//! Cargo does this with a registry of its own making, and takes for granted that a version in a
//! registry never changes. Ours does, from run to run, so what cargo remembers of it is removed
//! first. That needs a target folder of its own: in the shared one it would undo other builds.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    command::cargo,
    workspace::{Metadata, root},
};

/// Packs and builds.
pub(super) fn run() -> Result<()> {
    let metadata = Metadata::read(true)?;
    let target = root().join("target/xtask/package");
    for package in metadata.members().filter(|package| package.is_published()) {
        forget_sources(&format!("{}-{}", package.name, package.version))?;
        forget_build(&target.join("debug/.fingerprint"), &package.name)?;
    }
    let unpublished = metadata.members().filter(|package| !package.is_published());
    let exclude: String = unpublished
        .map(|p| format!(" --exclude {}", p.name))
        .collect();
    // Dirty is fine: what is checked is that the packages hold together, not that they are final.
    cargo(&format!(
        "package --workspace --allow-dirty{exclude} --target-dir"
    ))
    .arg(&target.to_string_lossy())
    .run()
}

/// Removes what cargo has unpacked of `package` from registries that are a local folder, whose
/// names have no host and so start with `-`.
fn forget_sources(package: &str) -> Result<()> {
    for registry in entries(&cargo_home()?.join("registry/src"))? {
        if file_name(&registry).starts_with('-') {
            remove(&registry.join(package))?;
        }
    }
    Ok(())
}

/// Makes cargo build `package` again: its fingerprints are called `NAME-HASH`.
fn forget_build(fingerprints: &Path, package: &str) -> Result<()> {
    for fingerprint in entries(fingerprints)? {
        if file_name(&fingerprint)
            .rsplit_once('-')
            .is_some_and(|(name, _)| name == package)
        {
            remove(&fingerprint)?;
        }
    }
    Ok(())
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(env::home_dir()
        .context("there is no home folder")?
        .join(".cargo"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", folder.display())),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_builds_of_the_package_itself_are_forgotten() {
        let folder = env::temp_dir().join(format!("qsse-xtask-{}", std::process::id()));
        for name in ["qsse-0a1b", "qsse-topic-0a1b", "quinn-0a1b"] {
            fs::create_dir_all(folder.join(name)).expect("a temporary folder");
        }
        forget_build(&folder, "qsse").expect("removes");
        let mut left: Vec<_> = entries(&folder)
            .expect("there")
            .iter()
            .map(|p| file_name(p))
            .collect();
        left.sort();
        remove(&folder).expect("removes");
        assert_eq!(left, ["qsse-topic-0a1b", "quinn-0a1b"]);
        forget_build(&folder, "qsse").expect("a folder that is not there holds nothing");
    }
}
