//! The data set `rides-v1`: patterns and topics as a fleet, a shop and their sensors would use
//! them, drawn from a fixed seed.
//!
//! A topic has 2 to 8 segments, mostly 4 or 5: a domain, then words and ids in turn, and an event
//! at its end. What is drawn is long-tailed: the first of 16 domains has a tenth of all topics,
//! and an id is as likely to be below 300 as between 300 and 100,000. An event's name is never in
//! the middle of a topic, so that "one segment or more" and "none or more" at the end of a pattern
//! admit the same topics, and every candidate gets its own cheapest form of it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// So many topics are looked up.
const TOPICS: usize = 200_000;

/// Beginnings of topics.
const DOMAINS: [&str; 16] = [
    "ride",
    "order",
    "vehicle",
    "driver",
    "passenger",
    "payment",
    "sensor",
    "depot",
    "invoice",
    "parcel",
    "station",
    "charger",
    "account",
    "fleet",
    "route",
    "weather",
];

/// What stands between ids.
const WORDS: [&str; 24] = [
    "city", "zone", "trip", "leg", "stop", "battery", "motor", "door", "brake", "cabin", "meter",
    "item", "line", "refund", "address", "phone", "session", "device", "firmware", "tyre",
    "camera", "lidar", "seat", "light",
];

/// Ends of topics.
const EVENTS: [&str; 20] = [
    "start",
    "stop-at",
    "position",
    "created",
    "changed",
    "removed",
    "accepted",
    "refused",
    "paid",
    "failed",
    "opened",
    "closed",
    "charged",
    "moved",
    "assigned",
    "rated",
    "seen",
    "lost",
    "found",
    "heartbeat",
];

/// How often a topic has 2, 3, up to 8 segments, in a hundred.
const DEPTHS: [u64; 7] = [4, 14, 28, 26, 15, 8, 5];

/// What the patterns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Set {
    /// Names only; every topic looked up is one of them
    Names,
    /// 80 % names, 10 % with a `*` in the middle, 10 % with one at the end; half of the topics
    /// looked up are also patterns
    Mixed,
    /// No names, half with a `*` in the middle, half with one at the end
    Wild,
}

impl std::fmt::Display for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Names => "names",
            Self::Mixed => "mixed",
            Self::Wild => "wild",
        })
    }
}

/// What was drawn, as shares and means.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    /// Mean bytes of a pattern.
    pub(crate) bytes: f64,
    /// Mean segments of a pattern.
    pub(crate) segments: f64,
}

/// Draws `count` distinct patterns and the topics, and writes each to its file, one a line.
pub(crate) fn write(set: Set, count: usize, folder: &Path) -> Result<About> {
    let mut draw = Draw(0x5eed_0007);
    let (mut patterns, mut seen) = (Vec::with_capacity(count), HashSet::new());
    let mut names = Vec::new();
    while patterns.len() < count {
        let topic = draw.topic();
        let pattern = match (set, draw.below(10)) {
            (Set::Names, _) | (Set::Mixed, 2..) => topic.clone(),
            (Set::Mixed, 0) | (Set::Wild, 0..5) => draw.middle(&topic),
            _ => draw.end(&topic),
        };
        if seen.insert(pattern.clone()) {
            if pattern == topic {
                names.push(topic);
            }
            patterns.push(pattern);
        }
    }
    let topics: Vec<String> = (0..TOPICS)
        .map(|n| match set {
            Set::Mixed if n % 2 == 0 => draw.topic(),
            Set::Names | Set::Mixed => names[draw.below(names.len() as u64) as usize].clone(),
            Set::Wild => draw.topic(),
        })
        .collect();
    std::fs::write(folder.join("patterns"), patterns.join("\n"))?;
    std::fs::write(folder.join("topics"), topics.join("\n"))?;
    let sum = |measure: fn(&String) -> usize| patterns.iter().map(measure).sum::<usize>() as f64;
    Ok(About {
        bytes: sum(String::len) / count as f64,
        segments: sum(|pattern| pattern.split('.').count()) / count as f64,
    })
}

/// Shuffles in place, always in the same way.
pub(crate) fn shuffle<T>(items: &mut [T]) {
    let mut draw = Draw(0x5eed_0008);
    for at in (1..items.len()).rev() {
        items.swap(at, draw.below(at as u64 + 1) as usize);
    }
}

/// A small generator of numbers that are good enough, and the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// One of them, the first ones more often than the last.
    fn skewed<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let count = words.len() as u64;
        let at = self.below(count).min(self.below(count));
        words[at as usize]
    }

    /// 1 to 100,000, each magnitude as often as any other.
    fn id(&mut self) -> u64 {
        let unit = self.next() as f64 / u64::MAX as f64;
        100_000_f64.powf(unit) as u64
    }

    fn topic(&mut self) -> String {
        let mut dice = self.below(100);
        let mut depth = 2;
        for share in DEPTHS {
            if dice < share {
                break;
            }
            dice -= share;
            depth += 1;
        }
        let mut topic = String::from(self.skewed(&DOMAINS));
        for at in 1..depth - 1 {
            if at % 2 == 1 {
                write!(topic, ".{}", self.id()).expect("a string takes everything");
            } else {
                write!(topic, ".{}", self.skewed(&WORDS)).expect("a string takes everything");
            }
        }
        topic.push('.');
        topic.push_str(self.skewed(&EVENTS));
        topic
    }

    /// The topic with a `*` for one of its segments before the last, the first one rarely.
    fn middle(&mut self, topic: &str) -> String {
        let mut segments: Vec<&str> = topic.split('.').collect();
        let before_last = segments.len() as u64 - 1;
        let mut at = self.below(before_last);
        if at == 0 && self.below(10) > 0 {
            at = before_last - 1;
        }
        segments[at as usize] = "*";
        segments.join(".")
    }

    /// The topic cut short, with a `*` for one segment or more at its end.
    fn end(&mut self, topic: &str) -> String {
        let segments: Vec<&str> = topic.split('.').collect();
        let before_last = segments.len() as u64 - 1;
        let kept = 1 + self.below(before_last).max(self.below(before_last)) as usize;
        format!("{}.*", segments[..kept].join("."))
    }
}
