//! What is compared, behind one trait.
//!
//! Patterns come as text, in our form of it: what a candidate makes of it is part of its price, as
//! is checking it. Topics are brought into each candidate's own form before the clock starts.

mod bare;
mod mqtt;
mod nats;
mod ours;
mod zenoh;

pub(crate) use bare::Bare;
pub(crate) use mqtt::Mqtt;
pub(crate) use nats::Nats;
pub(crate) use ours::Ours;
pub(crate) use zenoh::Zenoh;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How many patterns matched, and the sum of their values.
pub(crate) type Found = (u64, u64);

/// A map from patterns to numbers that finds what matches a topic.
pub(crate) trait Candidate: Default {
    /// A topic, ready to be looked up.
    type Topic;

    /// How this candidate writes a pattern or topic; not timed.
    fn translate(text: &str) -> String {
        text.to_owned()
    }

    /// Makes a topic ready; not timed.
    fn topic(text: &str) -> Self::Topic;

    /// Puts a value under a pattern.
    fn insert(&mut self, pattern: &str, value: u32);

    /// Adds everything that matches.
    fn lookup(&self, topic: &Self::Topic, found: &mut Found);

    /// Takes a pattern out; whether it was there.
    fn remove(&mut self, pattern: &str) -> bool;
}

/// The names of the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Kind {
    /// `qsse_topic::Matcher`
    Ours,
    /// The standard library's hash map, which knows no wildcards
    Bare,
    /// The key expression tree of `zenoh-keyexpr`
    Zenoh,
    /// A sublist in the style of NATS, written for this comparison
    Nats,
    /// The topic tree of `mqtt-topic-engine`
    Mqtt,
}

impl Kind {
    pub(crate) fn knows_wildcards(self) -> bool {
        self != Self::Bare
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Bare => "bare",
            Self::Zenoh => "zenoh",
            Self::Nats => "nats",
            Self::Mqtt => "mqtt",
        })
    }
}
