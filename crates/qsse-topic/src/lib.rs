// The README is the crate's documentation, so its examples are tested.
#![doc = include_str!("../README.md")]
#![no_std]
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the outputs belong to the program, and printing panics if nobody reads"
)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod error;
mod filter;
mod into_filter;
mod limits;
mod map;
mod matcher;
mod name;
mod ordered;
mod pattern;
mod relation;
#[cfg(feature = "serde")]
mod serde_impls;
mod sieve;
mod syntax;
mod text;
mod topic;
mod topic_map;

pub use error::{ErrorKind, PatternError, TopicError};
pub use filter::{Filter, FilterError};
pub use into_filter::IntoFilter;
pub use limits::{MAX_SEGMENTS, MAX_TOPIC_BYTES};
pub use matcher::{Iter, Matcher, Matches};
pub use ordered::OrderedTopics;
pub use pattern::{Pattern, PatternRef};
pub use syntax::Segments;
pub use topic::{Topic, TopicRef};
pub use topic_map::{Matching, TopicIter, TopicMap};
