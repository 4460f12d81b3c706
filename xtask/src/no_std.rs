//! `cargo xtask no-std`: builds and links qsse-topic without the standard library.
//!
//! It is built for every bare-metal target that is installed. It is also linked into a static
//! library with a panic handler of its own: if any dependency used the standard library, there
//! would be two panic handlers, which is an error on every target.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::{
    command::{self, cargo},
    workspace::root,
};

/// Arguments of `no-std`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Builds qsse-topic without the standard library in every way that this machine can.
pub(crate) fn run(_: &Args) -> Result<()> {
    let lib = fs::read_to_string(root().join("crates/qsse-topic/src/lib.rs"))?;
    ensure!(
        declares_no_std(&lib),
        "qsse-topic's lib.rs does not say `no_std`"
    );
    let targets = bare_metal_targets()?;
    for target in &targets {
        cargo(&format!(
            "build --package qsse-topic --no-default-features --target {target}"
        ))
        .run()?;
    }
    if targets.is_empty() {
        println!("no bare-metal target is installed (`rustup target add thumbv7em-none-eabi`)");
    }
    link_with_own_panic_handler()
}

fn declares_no_std(lib: &str) -> bool {
    lib.lines().any(|line| {
        line.starts_with("#![no_std]")
            || line.starts_with(r#"#![cfg_attr(not(feature = "std"), no_std)]"#)
    })
}

/// The installed targets that have no operating system.
fn bare_metal_targets() -> Result<Vec<String>> {
    let sysroot = command::output("rustc", &["--print", "sysroot"])?;
    let mut targets = Vec::new();
    for entry in fs::read_dir(format!("{}/lib/rustlib", sysroot.trim()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.split('-').any(|part| part == "none") && entry.path().join("lib").is_dir() {
            targets.push(name);
        }
    }
    targets.sort();
    Ok(targets)
}

/// Writes a crate of a few lines into the target folder and builds it there.
fn link_with_own_panic_handler() -> Result<()> {
    let folder = root().join("target/xtask/no-std");
    fs::create_dir_all(folder.join("src")).context("making target/xtask/no-std")?;
    let topic = root().join("crates/qsse-topic");
    fs::write(
        folder.join("Cargo.toml"),
        MANIFEST.replace("TOPIC", &topic.to_string_lossy()),
    )?;
    fs::write(folder.join("src/lib.rs"), SOURCE)?;
    // The same versions, so that nothing has to be resolved or downloaded.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let manifest = folder.join("Cargo.toml");
    cargo("build --quiet --offline --manifest-path")
        .arg(&manifest.to_string_lossy())
        .env(
            "CARGO_TARGET_DIR",
            &root().join("target/xtask").to_string_lossy(),
        )
        .run()
        .context("qsse-topic without default features needs the standard library")
}

const MANIFEST: &str = r#"
[package]
name = "qsse-no-std"
edition = "2024"

[lib]
crate-type = ["staticlib"]

[dependencies]
qsse-topic = { path = "TOPIC", default-features = false, features = ["serde"] }

[profile.dev]
panic = "abort"

[workspace]
"#;

const SOURCE: &str = r#"
#![no_std]

use core::{alloc::{GlobalAlloc, Layout}, panic::PanicInfo, ptr::null_mut};

struct Nothing;

unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 { null_mut() }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NOTHING: Nothing = Nothing;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! { loop {} }

#[unsafe(no_mangle)]
pub extern "C" fn matches() -> bool {
    let pattern = qsse_topic::Pattern::new("ride.*");
    let topic = qsse_topic::Topic::new("ride.7");
    pattern.is_ok_and(|pattern| topic.is_ok_and(|topic| pattern.matches(&topic)))
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_std_has_to_be_said_at_the_start_of_a_line() {
        assert!(declares_no_std("//! Topics.\n#![no_std]\n"));
        assert!(declares_no_std(
            "#![cfg_attr(not(feature = \"std\"), no_std)]"
        ));
        assert!(!declares_no_std("//! Topics.\n// #![no_std]\n"));
    }
}
