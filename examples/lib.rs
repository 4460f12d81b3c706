//! The examples are the files next to this one. This library runs the code in the documentation as
//! doc tests.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;

#[cfg(doctest)]
#[doc = include_str!("../crates/qsse/README.md")]
struct Facade;

#[cfg(doctest)]
#[doc = include_str!("../docs/from-go.md")]
struct FromGo;
