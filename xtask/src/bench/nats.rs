//! A NATS server of a fixed version, built by Go from its module.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::command::program;
use crate::interop::peers;
use crate::workspace;

/// The Go package to build.
const PACKAGE: &str = "github.com/nats-io/nats-server/v2";

/// A fixed version, so that figures of different days can be compared.
const VERSION: &str = "v2.12.1";

/// Builds the server unless it exists, and returns its path.
pub(super) fn server() -> Result<PathBuf> {
    let folder = workspace::root().join("target/bench").join(VERSION);
    let built = folder.join("nats-server");
    if built.is_file() {
        return Ok(built);
    }
    peers::version().context("there is no Go on this machine (https://go.dev/dl)")?;
    let folder = folder.to_str().context("a path that is not UTF-8")?;
    program("go")
        .arg("install")
        .arg(&format!("{PACKAGE}@{VERSION}"))
        .env("GOBIN", folder)
        .run()
        .context("nats-server cannot be fetched")?;
    Ok(built)
}
