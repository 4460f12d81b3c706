//! Builds the Go peers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{command::program, workspace};

/// Files that both peers are made of.
const SHARED: &[&str] = &["client.go", "main.go", "report.go", "server.go"];

/// The file that drives the library.
const REAL: &str = "real.go";

/// The name of the library's module.
const LIBRARY: &str = "github.com/snapp-incubator/qsse";

/// Returns the output of `go version`; `None` without Go.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("go").arg("version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Creates a folder for something that Go builds.
pub(super) fn folder(name: &str) -> Result<PathBuf> {
    let folder = workspace::root().join("target/interop").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// Downloads the dependencies of our own peer, unless they are there.
pub(super) fn download() -> Result<()> {
    go("mod download", &source())
}

/// Checks the source of our own peer, builds it, and returns its path.
pub(super) fn own() -> Result<PathBuf> {
    let source = source();
    let unformatted = program("gofmt")
        .arg("-l")
        .within(&source)
        .arg(".")
        .output()?;
    ensure!(
        unformatted.is_empty(),
        "run gofmt -w on these files of {}:\n{unformatted}",
        source.display()
    );
    go("vet .", &source)?;
    let peer = folder("")?.join("own-peer");
    build(&source, "", &peer)?;
    Ok(peer)
}

/// Builds a peer around the library in `library`, outside of our source tree.
pub(crate) fn real(library: &Path) -> Result<PathBuf> {
    let folder = folder("real")?;
    for file in SHARED.iter().chain([&REAL]) {
        fs::copy(source().join(file), folder.join(file))
            .with_context(|| format!("copying {file}"))?;
    }
    write_module(&folder, "qsse-go-peer", library)?;
    let peer = self::folder("")?.join("real-peer");
    build(&folder, "-tags real", &peer)?;
    Ok(peer)
}

/// Makes `folder` a Go module that uses a copy of the library.
pub(super) fn write_module(folder: &Path, name: &str, library: &Path) -> Result<()> {
    let theirs = fs::read_to_string(library.join("go.mod")).context("the library's go.mod")?;
    let version = theirs.lines().find(|line| line.starts_with("go "));
    let version = version.context("the library's go.mod names no version of Go")?;
    let library = library.display();
    let text = format!(
        "module {name}\n\n{version}\n\nrequire {LIBRARY} v0.0.0\n\nreplace {LIBRARY} => {library}\n"
    );
    fs::write(folder.join("go.mod"), text).context("writing go.mod")?;
    go("mod tidy", folder)
}

/// Builds the program in `folder`.
pub(super) fn build(folder: &Path, flags: &str, to: &Path) -> Result<()> {
    let to = to.to_str().context("a path that is not UTF-8")?;
    let flags = flags.split_whitespace();
    flags
        .fold(program("go").arg("build"), |build, flag| build.arg(flag))
        .arg("-o")
        .arg(to)
        .within(folder)
        .arg(".")
        .run()
}

fn go(arguments: &str, folder: &Path) -> Result<()> {
    let arguments = arguments.split_whitespace();
    arguments
        .fold(program("go"), |go, argument| go.arg(argument))
        .within(folder)
        .run()
}

fn source() -> PathBuf {
    workspace::root().join("crates/qsse-interop/go")
}
