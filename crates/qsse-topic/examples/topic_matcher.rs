//! Shows which patterns match which topics, and how the patterns relate to each other.
//!
//! Run it as it is, or with topics and patterns of your own, in any order:
//!
//! ```text
//! cargo run -p qsse-topic --example topic_matcher -- 'ride.*' '*.start' ride.7.start ride.start
//! ```
//!
//! What has a `*` is a pattern, everything else is a topic.

use qsse_topic::{Matcher, Pattern, Topic, TopicMap};
use std::error::Error;
use std::process::ExitCode;

const DEMO: [&str; 9] = [
    "*",
    "ride.*",
    "ride.*.start",
    "*.7.*",
    "ride.7.start",
    "ride.8.stop",
    "ride",
    "people",
    "$sys.load",
];

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        words = DEMO.map(String::from).to_vec();
    }
    match show(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn show(words: &[String]) -> Result<(), Box<dyn Error>> {
    let mut matcher = Matcher::new();
    let mut topics = TopicMap::new();
    for word in words {
        if word.contains('*') {
            matcher.insert(at_fault(word, Pattern::new(word), |e| e.offset())?, ());
        } else {
            topics.insert(at_fault(word, Topic::new(word), |e| e.offset())?, ());
        }
    }
    let mut patterns: Vec<&Pattern> = matcher.iter().map(|(pattern, ())| pattern).collect();
    patterns.sort();
    let width = words
        .iter()
        .map(|word| word.chars().count())
        .max()
        .unwrap_or(0);

    println!("Each topic, and the patterns that match it:");
    let mut names: Vec<&Topic> = topics.iter().map(|(topic, ())| topic).collect();
    names.sort();
    for topic in names {
        let mut found: Vec<&str> = matcher.matches(topic).map(|(p, ())| p.as_str()).collect();
        found.sort_unstable();
        println!("  {topic:width$}  {}", list(&found));
    }

    println!("\nEach pattern, and the topics that it matches:");
    for pattern in &patterns {
        let found: Vec<&str> = topics
            .matching(*pattern)
            .map(|(t, ())| t.as_str())
            .collect();
        println!("  {pattern:width$}  {}", list(&found));
    }

    println!("\nEach pair of patterns:");
    for (index, a) in patterns.iter().enumerate() {
        for b in &patterns[index + 1..] {
            let relation = match (a.contains(*b), b.contains(*a), a.intersects(*b)) {
                (true, _, _) => "contains",
                (_, true, _) => "is contained in",
                (_, _, true) => "overlaps",
                _ => "has nothing in common with",
            };
            println!("  {a:width$}  {relation} {b}");
        }
    }
    Ok(())
}

/// Adds to an error the word, and a mark below the byte at fault.
fn at_fault<T, E: Error>(
    word: &str,
    result: Result<T, E>,
    offset: impl Fn(&E) -> usize,
) -> Result<T, String> {
    result.map_err(|error| {
        let column = word[..offset(&error)].escape_debug().count();
        format!("{error}\n  {}\n  {:column$}^", word.escape_debug(), "")
    })
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        String::from("-")
    } else {
        names.join("  ")
    }
}
