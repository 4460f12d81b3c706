//! The workspace's packages, as cargo sees them, and its files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::command::cargo;

/// Returns the folder of the workspace's Cargo.toml.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
}

/// The output of `cargo metadata`.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
    workspace_default_members: Vec<String>,
}

/// A package of the workspace, or a dependency.
#[derive(Deserialize, Clone)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) readme: Option<String>,
    /// The registries it may be published to; empty for "none", absent for "any".
    publish: Option<Vec<String>>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    /// The features, each with what it enables.
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// A dependency as its package declares it.
#[derive(Deserialize, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Absent for a normal dependency, else "dev" or "build".
    pub(crate) kind: Option<String>,
    pub(crate) features: Vec<String>,
}

/// Something a package builds.
#[derive(Deserialize, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Metadata {
    /// Reads the metadata for all platforms, or only for this one. Fails if Cargo.lock is out of
    /// date.
    pub(crate) fn read(this_platform_only: bool) -> Result<Self> {
        let mut arguments = "metadata --format-version 1 --locked".to_owned();
        if this_platform_only {
            arguments += " --filter-platform ";
            arguments += &host()?;
        }
        let json = cargo(&arguments).output()?;
        serde_json::from_str(&json).context("cargo metadata changed its format")
    }

    /// Returns the packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Returns the member `name`.
    pub(crate) fn member(&self, name: &str) -> Result<&Package> {
        self.members()
            .find(|package| package.name == name)
            .with_context(|| format!("the workspace has no package {name}"))
    }

    /// Whether plain `cargo test` includes `package`.
    pub(crate) fn is_default_member(&self, package: &Package) -> bool {
        self.workspace_default_members.contains(&package.id)
    }
}

impl Package {
    /// Whether it has a library, and not only programs.
    pub(crate) fn has_library(&self) -> bool {
        let is_library = |target: &Target| target.kind.iter().any(|kind| kind == "lib");
        self.targets.iter().any(is_library)
    }

    /// Whether it goes to a registry.
    pub(crate) fn is_published(&self) -> bool {
        self.publish
            .as_ref()
            .is_none_or(|registries| !registries.is_empty())
    }
}

/// A file of the workspace: its path below the root, with `/`, and what is in it.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Folders that are built or installed.
const BUILT: &[&str] = &["target", "node_modules", "dist", "build"];

/// Returns the files with one of these extensions, sorted by path. Leaves out folders that are built
/// or installed, or whose names start with a dot.
pub(crate) fn files(extensions: &[&str]) -> Result<Vec<File>> {
    let mut paths = Vec::new();
    collect(root(), &mut paths)?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|e| extensions.iter().any(|x| e == *x))
    });
    paths.sort();
    paths.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Result<File> {
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let below = path.strip_prefix(root()).expect("found below the root");
    Ok(File {
        path: below.to_string_lossy().replace('\\', "/"),
        text,
    })
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_file() {
            paths.push(entry.path());
        } else if !name.starts_with('.') && !BUILT.contains(&&*name) {
            collect(&entry.path(), paths)?;
        }
    }
    Ok(())
}

fn host() -> Result<String> {
    let version = cargo("--version --verbose").output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host
        .context("`cargo --version --verbose` names no host")?
        .to_owned())
}
