//! Makes a copy of tokio that runs ready tasks in an order drawn from the runtime's seed.
//!
//! tokio's own scheduler runs tasks in the order in which they were woken, so a program under test
//! would never see another order. The copy differs from the version in Cargo.lock in one line and
//! by a build script; cargo's `paths` makes the build use it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{self, Metadata};

const SCHEDULER: &str = "src/runtime/scheduler/current_thread/mod.rs";

const IN_ORDER: &str = "let ret = self.tasks.pop_front();";

const SHUFFLED: &str = "if self.tasks.len() > 1 {
            let any = crate::runtime::context::thread_rng_n(self.tasks.len() as u32);
            self.tasks.swap(0, any as usize);
        }
        let ret = self.tasks.pop_front();";

const NO_SCRIPT: &str = "build = false";

/// Sets the cfg that lets the runtime take a seed. RUSTFLAGS would set it for every crate, and
/// build all of them again.
const SCRIPT: &str = r#"fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=tokio_unstable");
}
"#;

/// Makes the copy, unless it is up to date, and returns its folder.
pub(super) fn tokio() -> Result<PathBuf> {
    let metadata = Metadata::read(true)?;
    let tokio = metadata.packages.iter().find(|p| p.name == "tokio");
    let tokio = tokio.context("the workspace does not depend on tokio")?;
    let original = tokio.manifest_path.parent().context("it is a file")?;
    let folder = workspace::root().join("target/sim-tokio");
    copy(original, original, &folder)?;
    write(&folder.join("build.rs"), SCRIPT.as_bytes())?;
    Ok(folder)
}

/// Copies a folder of `original`. Leaves files alone that are up to date.
fn copy(original: &Path, folder: &Path, copy_to: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            copy(original, &path, copy_to)?;
            continue;
        }
        let below = path.strip_prefix(original)?;
        let mut bytes = fs::read(&path)?;
        if below == Path::new(SCHEDULER) {
            bytes = shuffled(&String::from_utf8(bytes)?)?.into_bytes();
        } else if below == Path::new("Cargo.toml") {
            bytes = manifest(&String::from_utf8(bytes)?)?.into_bytes();
        }
        write(&copy_to.join(below), &bytes)?;
    }
    Ok(())
}

/// Writes a file unless it has this content.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// Adds a build script, and makes the package a workspace of its own.
fn manifest(text: &str) -> Result<String> {
    ensure!(
        text.matches(NO_SCRIPT).count() == 1,
        "tokio's manifest does not say `{NO_SCRIPT}`: change xtask/src/sim/shuffled.rs"
    );
    let text = text.replace(NO_SCRIPT, r#"build = "build.rs""#);
    Ok(format!("{text}\n[workspace]\n"))
}

fn shuffled(scheduler: &str) -> Result<String> {
    ensure!(
        scheduler.matches(IN_ORDER).count() == 1,
        "tokio takes the next task elsewhere than in `{IN_ORDER}` of {SCHEDULER}: look where, and change xtask/src/sim/shuffled.rs"
    );
    Ok(scheduler.replace(IN_ORDER, SHUFFLED))
}
