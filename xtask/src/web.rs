//! `cargo xtask web`: builds and tests the client in TypeScript, with Node and, for the tests of
//! pages, with Chromium.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{
    artifacts,
    command::{Shown, program},
    workspace,
};

/// Arguments of `web`.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Fail if there is no browser, instead of skipping its tests
    #[arg(long)]
    browser: bool,
}

/// The oldest Node that the client supports.
const NODE: u32 = 20;

/// Names of Chromium, in the order in which they are tried.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Installs what the client is built with, builds it, and runs its tests. What is missing is
/// reported, and what needs it is skipped.
pub(crate) fn run(args: &Args) -> Result<()> {
    match node() {
        Some(version) if version >= NODE => {}
        found => {
            let found = found.map_or_else(|| "no Node".into(), |version| format!("Node {version}"));
            println!(
                "\nSKIPPED: there is {found} on this machine, so the client in TypeScript was not tested.\n\
                 SKIPPED: install Node {NODE} or newer with npm (https://nodejs.org), and run\n\
                 SKIPPED: `cargo xtask web` again.\n"
            );
            return Ok(());
        }
    }
    if !npm(&["ci", "--ignore-scripts"]).status()?.success() {
        println!(
            "\nSKIPPED: npm cannot install what the client is built with, so it was not tested.\n\
             SKIPPED: with a network, or another registry, run `cargo xtask web` again.\n"
        );
        return Ok(());
    }
    let qsse = artifacts::program("bin", "qsse")?;
    let qsse = qsse.to_str().context("a path that is not UTF-8")?;
    npm(&["run", "build"]).run()?;
    npm(&["run", "size"]).run()?;
    npm(&["run", "bundle", "--", "--check"]).run()?;
    npm(&["test"]).env("QSSE", qsse).run()?;
    let Some(browser) = browser() else {
        if args.browser {
            bail!("there is no Chromium: install it, or set CHROMIUM to its path");
        }
        println!(
            "\nSKIPPED: there is no Chromium on this machine, so nothing was tested in a browser.\n\
             SKIPPED: install it (`apt-get install chromium`), or set CHROMIUM to its path, and run\n\
             SKIPPED: `cargo xtask web` again.\n"
        );
        return Ok(());
    };
    let example = artifacts::program("example", "web")?;
    let example = example.to_str().context("a path that is not UTF-8")?;
    npm(&["run", "browser"])
        .env("QSSE", qsse)
        .env("EXAMPLE", example)
        .env("CHROMIUM", &browser)
        .run()
}

fn npm(arguments: &[&str]) -> Shown {
    let npm = program("npm").within(&folder());
    arguments
        .iter()
        .fold(npm, |npm, argument| npm.arg(argument))
}

fn folder() -> PathBuf {
    workspace::root().join("crates/qsse-js")
}

/// Returns the major version of Node, if it is there together with npm.
fn node() -> Option<u32> {
    answer("npm")?;
    major(&answer("node")?)
}

fn major(version: &str) -> Option<u32> {
    let number = version.trim().strip_prefix('v')?;
    number.split('.').next()?.parse().ok()
}

fn browser() -> Option<String> {
    if let Ok(path) = std::env::var("CHROMIUM") {
        return Some(path);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| BROWSERS.map(|name| folder.join(name)))
        .find(|path| path.is_file())
        .and_then(|path| path.to_str().map(Into::into))
}

/// Returns what a program says about its version.
fn answer(name: &str) -> Option<String> {
    let mut command = Command::new(name);
    let output = command.arg("--version").stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_node_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("20.1.0"), None);
        assert_eq!(major(""), None);
    }
}
