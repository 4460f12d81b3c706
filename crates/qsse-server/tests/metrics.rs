//! The metrics that `docs/embedding.md` lists are those of a scrape, and the other way round.
#![cfg(feature = "prometheus")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use qsse_proto::Code;
use qsse_proto::control::Start;
use support::RawClient;

/// The names in the first column of the table under `### Metrics`, without labels, but for those
/// that the crate `qsse-http` adds.
fn documented() -> BTreeSet<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/embedding.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let (_, section) = guide.split_once("\n### Metrics\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let cells = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    cells
        .flat_map(|cell| cell.split(", "))
        .map(|name| name.trim_matches('`').split('{').next().unwrap().to_owned())
        .filter(|name| !name.starts_with("http_"))
        .collect()
}

/// The names of a scrape, without prefix and labels.
fn scraped(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = names.filter_map(|line| line.split(' ').next());
    names
        .map(|name| name.strip_prefix("qsse_qsse_").unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn every_metric_of_the_guide_is_scraped_and_every_metric_scraped_is_in_the_guide() {
    let server = support::server().topics(["people"]).await.unwrap();
    // `refused` has a label for the code, so it appears with the first refusal.
    let mut client = RawClient::connect(&server).await;
    let (code, _) = client.refused(1, &["salary"], Start::Live).await;
    assert_eq!(code, Code::TOPIC_NOT_AVAILABLE);
    let (documented, scraped) = (documented(), scraped(&server.metrics_text()));
    let undocumented: Vec<_> = scraped.difference(&documented).collect();
    let missing: Vec<_> = documented.difference(&scraped).collect();
    assert!(
        undocumented.is_empty(),
        "not in the guide: {undocumented:?}"
    );
    assert!(missing.is_empty(), "in the guide alone: {missing:?}");
}
