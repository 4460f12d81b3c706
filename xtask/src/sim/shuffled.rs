//! A tokio for the simulation that runs ready tasks in an order drawn from the runtime's seed.
//!
//! tokio's own scheduler runs them in the order in which they were woken, so that a program under test never sees another one. The
//! copy differs from the version in Cargo.lock in one place, and cargo's `paths` takes it in that version's stead.

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

/// Makes the copy, or leaves it as it is if it is that already, and returns its folder.
pub(super) fn tokio() -> Result<PathBuf> {
    let metadata = Metadata::read(true)?;
    let tokio = metadata.packages.iter().find(|p| p.name == "tokio");
    let tokio = tokio.context("the workspace does not depend on tokio")?;
    let original = tokio.manifest_path.parent().context("it is a file")?;
    let folder = workspace::root().join("target/sim-tokio");
    copy(original, original, &folder)?;
    Ok(folder)
}

/// Copies a folder of `original` to `copy`, and does not touch what is there already.
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
            // It lies within a workspace, and is none of its packages.
            bytes.extend(b"\n[workspace]\n");
        }
        let target = copy_to.join(below);
        if fs::read(&target).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, bytes).with_context(|| format!("writing {}", target.display()))?;
    }
    Ok(())
}

fn shuffled(scheduler: &str) -> Result<String> {
    ensure!(
        scheduler.matches(IN_ORDER).count() == 1,
        "tokio takes the next task elsewhere than in `{IN_ORDER}` of {SCHEDULER}: look where, and change xtask/src/sim/shuffled.rs"
    );
    Ok(scheduler.replace(IN_ORDER, SHUFFLED))
}
