//! [`Target`]: a function of bytes, and examples of what it takes.

/// A function of bytes that must not panic, whatever they are.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line and in the corpus.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// Returns valid inputs, from which the corpus is written.
    pub seeds: fn() -> Vec<Vec<u8>>,
}
