//! Wraps `rustc` to set a `cfg` for the crates of this workspace only.
//!
//! RUSTFLAGS would build every dependency again.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};

use crate::{command::Shown, workspace::root};

/// Makes a cargo command build the workspace's crates with `--cfg NAME`.
pub(crate) fn with_cfg(cargo: Shown, name: &str) -> Result<Shown> {
    let folder = root().join("target/xtask");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // Cargo distinguishes builds by the wrapper's path.
    let wrapper = folder.join(format!("rustc-{name}"));
    let script = format!("#!/bin/sh\nexec \"$@\" --cfg {name}\n");
    if fs::read_to_string(&wrapper).ok().as_ref() != Some(&script) {
        fs::write(&wrapper, script).with_context(|| wrapper.display().to_string())?;
        #[cfg(unix)]
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    }
    Ok(cargo.env("RUSTC_WORKSPACE_WRAPPER", &wrapper.to_string_lossy()))
}
