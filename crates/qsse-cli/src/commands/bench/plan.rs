//! [`Plan`]: the publishers and subscribers of a load, and their topics.

use anyhow::Result;
use qsse_client::{Filter, Pattern, Topic};

use super::options::Options;
use super::payload::MIN_BYTES;
use crate::exit::usage;

/// The publishers and subscribers of a load, and their topics.
pub(super) struct Plan {
    pub(super) topics: Vec<Topic>,
    /// One filter for each subscriber.
    pub(super) filters: Vec<Filter>,
    pub(super) publishers: usize,
    /// The size of each event in bytes.
    pub(super) size: usize,
}

impl Plan {
    /// Creates the plan from the options.
    ///
    /// # Errors
    /// The options do not describe a load.
    pub(super) fn new(options: &Options) -> Result<Self> {
        let size = usize::try_from(options.size.as_u64()).unwrap_or(usize::MAX);
        if size < MIN_BYTES {
            return Err(usage(format!(
                "--size {size}: an event of a load has at least {MIN_BYTES} bytes, for its number and time"
            )));
        }
        let topics = options.topics.clone();
        let publishers = if options.subscribe_only {
            0
        } else {
            options.publishers as usize
        };
        let subscribers = if options.publish_only {
            0
        } else {
            options.subscribers as usize
        };
        let lost = options
            .patterns
            .iter()
            .find(|pattern| publishers > 0 && !topics.iter().any(|topic| pattern.matches(topic)));
        if let Some(pattern) = lost {
            let topics: Vec<_> = topics.iter().map(Topic::as_str).collect();
            return Err(usage(format!(
                "--pattern {pattern}: it matches none of the topics published to ({}): see --topic",
                topics.join(", ")
            )));
        }
        let filters: Vec<_> = if options.patterns.is_empty() {
            let names = topics.iter().map(|topic| Pattern::new(topic.as_str()));
            vec![Filter::new(names.collect::<Result<Vec<_>, _>>()?)?]
        } else {
            let patterns = options.patterns.iter().cloned();
            patterns
                .map(|pattern| Filter::new([pattern]))
                .collect::<Result<_, _>>()?
        };
        Ok(Self {
            topics,
            filters: filters.iter().cycle().take(subscribers).cloned().collect(),
            publishers,
            size,
        })
    }

    /// Returns the source: each publisher has its own sequence of numbers on each topic.
    pub(super) fn source(&self, publisher: usize, topic: usize) -> u32 {
        u32::try_from(publisher * self.topics.len() + topic).unwrap_or(u32::MAX)
    }

    /// Returns the topic of a source.
    pub(super) fn topic(&self, source: u32) -> &Topic {
        &self.topics[source as usize % self.topics.len()]
    }
}
