//! What one publish pays to find its subscribers, and the questions around it.
//!
//! ```text
//! cargo bench -p qsse-topic
//! ```

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use qsse_topic::{MAX_SEGMENTS, Matcher, Pattern, Topic, TopicMap, TopicRef};
use std::hint::black_box;

fn topic(text: &str) -> Topic {
    Topic::new(text).expect("the topic is valid")
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("the pattern is valid")
}

/// Adds all values that match, so that every entry is really looked at.
fn sum(matcher: &Matcher<u64>, topic: &Topic) -> u64 {
    matcher
        .matches(black_box(topic))
        .map(|(_, value)| value)
        .sum()
}

/// Names only: the price of one hash lookup, at any size.
fn exact(c: &mut Criterion) {
    let mut group = c.benchmark_group("exact");
    for size in [10, 1_000, 100_000] {
        let matcher: Matcher<u64> = (0..size)
            .map(|n| (pattern(&format!("ride.{n}.start")), n))
            .collect();
        let topic = topic("ride.7.start");
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| sum(&matcher, &topic));
        });
    }
    group.finish();
}

/// Names and wildcards of several shapes, of which four match.
fn mixed(c: &mut Criterion) {
    let mut group = c.benchmark_group("mixed");
    for size in [10, 1_000, 100_000] {
        let matcher: Matcher<u64> = (0..size)
            .flat_map(|n| {
                [
                    (format!("ride.{n}.start"), n),
                    (format!("ride.{n}.*"), n),
                    (format!("*.{n}.start"), n),
                    (format!("order.*.{n}"), n),
                ]
            })
            .chain([(String::from("ride.*"), 1)])
            .map(|(text, value)| (pattern(&text), value))
            .collect();
        let topic = topic("ride.7.start");
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| sum(&matcher, &topic));
        });
    }
    group.finish();
}

/// Every mixture of `a` and `*`, 16 deep, met by a usual topic and by the worst one.
fn hostile(c: &mut Criterion) {
    let matcher: Matcher<u64> = (0..1_u64 << MAX_SEGMENTS)
        .map(|bits| {
            let segments: Vec<&str> = (0..MAX_SEGMENTS)
                .map(|at| if bits >> at & 1 == 1 { "*" } else { "a" })
                .collect();
            (pattern(&segments.join(".")), bits)
        })
        .collect();
    let mut group = c.benchmark_group("hostile");
    group.bench_function("usual", |b| {
        let topic = topic("ride.7.start");
        b.iter(|| sum(&matcher, &topic));
    });
    group.bench_function("stranger, 16 deep", |b| {
        let topic = topic(&["b"; MAX_SEGMENTS].join("."));
        b.iter(|| sum(&matcher, &topic));
    });
    group.bench_function("all 65,536 match", |b| {
        let topic = topic(&["a"; MAX_SEGMENTS].join("."));
        b.iter(|| sum(&matcher, &topic));
    });
    group.finish();
}

/// A subscription that comes and goes among 10,000.
fn churn(c: &mut Criterion) {
    let mut matcher: Matcher<u64> = (0..10_000)
        .map(|n| (pattern(&format!("ride.{n}.*")), n))
        .collect();
    let pattern = pattern("ride.*.start");
    c.bench_function("insert and remove", |b| {
        b.iter(|| {
            matcher.insert(black_box(&pattern).clone(), 1);
            matcher.remove(&pattern)
        });
    });
}

/// One pattern and one topic, and checking a name that came over the wire.
fn single(c: &mut Criterion) {
    let mut group = c.benchmark_group("single");
    let (starts, start) = (pattern("ride.*.start"), topic("ride.7.start"));
    group.bench_function("matches", |b| {
        b.iter(|| black_box(&starts).matches(black_box(&start)))
    });
    group.bench_function("check a name", |b| {
        b.iter(|| TopicRef::new(black_box("ride.7.start")).is_ok());
    });
    group.finish();
}

/// Among 100 x 100 x 100 topics.
fn reverse(c: &mut Criterion) {
    let topics: TopicMap<u64> = (0..1_000_000)
        .map(|n| {
            (
                topic(&format!("c{}.r{}.e{}", n / 10_000, n / 100 % 100, n % 100)),
                n,
            )
        })
        .collect();
    let mut group = c.benchmark_group("reverse, a million topics");
    for text in ["c7.r7.e7", "c7.r7.*", "c7.*.e7", "*.r7.e7"] {
        let pattern = pattern(text);
        group.bench_function(text, |b| {
            b.iter(|| {
                topics
                    .matching(black_box(&pattern))
                    .map(|(_, value)| value)
                    .sum::<u64>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exact, mixed, hostile, churn, single, reverse);
criterion_main!(benches);
