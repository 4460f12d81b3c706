//! What reads hostile bytes in qsse, as functions of bytes.
//!
//! Each [`Target`] takes any bytes. It must not panic: it asserts itself what has to hold. The same
//! functions run under cargo-fuzz, which needs a nightly compiler and follows the coverage, and
//! under `cargo xtask fuzz`, which mutates a corpus with a seeded generator and runs on stable.

pub mod drive;
mod input;
mod mutate;
mod oracle;
mod panics;
mod target;
pub mod targets;

pub use target::Target;
